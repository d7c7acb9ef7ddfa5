"""Providers as a test sees them: the card processor's sandbox, and a Stripe that answers what it is told."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from tests.support.ports import free_port
from tests.support.processes import Processes, Running

PANDA_KEY = "panda-key-for-tests-0001"


@dataclass
class Panda:
    """A running sandbox of the card processor, and its control plane."""

    url: str
    running: Running
    http: aiohttp.ClientSession = field(repr=False)

    async def has(self, card_id: str, user_id: str, status: str = "active") -> None:
        """Put a card in."""
        async with self.http.put(
            f"{self.url}/sandbox/cards/{card_id}", json={"userId": user_id, "status": status}
        ) as answer:
            assert answer.status == 200, await answer.text()

    async def fault(self, **fault: object) -> None:
        """Script a misfortune."""
        async with self.http.post(f"{self.url}/sandbox/faults", json=fault) as answer:
            assert answer.status == 200, await answer.text()

    async def asked(self) -> list[str]:
        """What it was asked for with the right key, in order."""
        async with self.http.get(f"{self.url}/sandbox/asked") as answer:
            found: list[str] = await answer.json()
            return found


@contextlib.asynccontextmanager
async def panda_of(processes: Processes) -> AsyncIterator[Panda]:
    """Start it as a process of the test."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    running = await processes.start_ready(
        "-m",
        "psp.sandbox.panda",
        url=f"{url}/health/live",
        environment={"PANDA_SANDBOX_PORT": str(port), "PANDA_API_KEY": PANDA_KEY},
    )
    async with aiohttp.ClientSession() as http:
        yield Panda(url, running, http)


@contextlib.asynccontextmanager
async def answering(status: int, body: bytes, **headers: str) -> AsyncIterator[str]:
    """A provider that gives one and the same answer to everything; its URL."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
