"""The stub PSP of the benches, from outside: started, told what is true, and made to answer late. Knows no
receiver.
"""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from bench.rig import Rig
from db import embedded

_ASKED_S = 60.0
"""A backfill that has not asked by then never will: the slowest, Django's start, takes 5 s."""


@dataclass(frozen=True, slots=True)
class Psp:
    """A running stub."""

    port: int

    @property
    def url(self) -> str:
        """The API base of a receiver that asks it."""
        return f"http://127.0.0.1:{self.port}"

    async def told(self, truth: dict[str, object]) -> None:
        """From now on the PSP shows this object."""
        await self._send("POST", "/truth", truth)

    async def hold(self, object_id: str) -> None:
        """The next answer about this object waits for `go`, and says what was true when it was asked for."""
        await self._send("POST", f"/hold/{object_id}")

    async def asked(self, object_id: str) -> bool:
        """Return when somebody waits for the answer that is held; False: nobody does after a minute."""
        try:
            await self._send("GET", f"/asked/{object_id}")
        except TimeoutError:
            return False
        return True

    async def go(self, object_id: str) -> None:
        """Give the answer that is held."""
        await self._send("POST", f"/go/{object_id}")

    async def calls(self) -> int:
        """How often the PSP was asked so far."""
        return int(await self._send("GET", "/calls"))

    async def _send(self, method: str, path: str, body: dict[str, object] | None = None) -> str:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ASKED_S)) as client,
            client.request(method, f"{self.url}{path}", json=body) as response,
        ):
            response.raise_for_status()
            return await response.text()


async def start_psp(rig: Rig) -> Psp:
    """A stub of its own for one receiver."""
    port = embedded.free_port()
    await rig.start_listening("psp", "-m", "bench.peers.psp_stub", str(port), port=port)
    return Psp(port)
