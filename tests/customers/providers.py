"""Providers as a test sees them: the card processor's sandbox, and a Stripe that answers what it is told."""

from __future__ import annotations

import asyncio
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


@dataclass
class Forwarder:
    """Stands between us and a provider, and spoils answers: `spoil` holds what happens to the next POSTs.

    `500` answers so after the provider has done the work, and goes on doing so under that idempotency key, as
    Stripe would; `hang` and `drop` let the provider work and never tell; `429` asks to wait, and nothing is
    done, nor with `mute`, which never answers. `asked` are the POSTs that came in: path and idempotency key.
    """

    url: str
    target: str
    spoil: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)

    async def take(self, request: web.Request, client: aiohttp.ClientSession) -> web.StreamResponse:
        """Forward one request."""
        body, key = await request.read(), request.headers.get("Idempotency-Key", "")
        spoilt = ""
        if request.method == "POST":
            self.asked.append((request.path, key))
            if key in self.kept:
                return web.Response(status=500, body=b"{}", headers={"Idempotent-Replayed": "true"})
            spoilt = self.spoil.pop(0) if self.spoil else ""
        if spoilt == "429":
            return web.Response(status=429, body=b"{}", headers={"Retry-After": "1"})
        if spoilt == "mute":
            await asyncio.sleep(_HANG_S)
            return _cut(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        async with client.request(
            request.method, f"{self.target}{request.path_qs}", data=body, headers=headers
        ) as answer:
            raw = await answer.read()
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_HEADERS}
        if spoilt == "500":
            self.kept.add(key)
            return web.Response(status=500, body=b"{}")
        if spoilt in ("hang", "drop"):
            if spoilt == "hang":
                await asyncio.sleep(_HANG_S)
            return _cut(request)
        return web.Response(status=answer.status, body=raw, headers=kept)


def _cut(request: web.Request) -> web.Response:
    """The connection ends without an answer, unless whoever asked has gone before."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


_HANG_S = 15.0
"""Longer than any of our clients waits."""
_HOP_HEADERS = (
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "content-encoding",
    "date",
    "server",
)


@contextlib.asynccontextmanager
async def forwarding(target: str) -> AsyncIterator[Forwarder]:
    """A forwarder to this provider."""
    port = free_port()
    forwarder = Forwarder(f"http://127.0.0.1:{port}", target)
    async with aiohttp.ClientSession(auto_decompress=False) as client:

        async def take(request: web.Request) -> web.StreamResponse:
            return await forwarder.take(request, client)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield forwarder
        finally:
            await runner.cleanup()
