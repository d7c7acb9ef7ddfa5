"""Fixtures of the sandbox's tests: a sandbox in this process, and a receiver that keeps what it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.sandbox.worlds import Receiver, World, world_at
from tests.support.ports import free_port


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook endpoint that keeps every request and answers 200, or what a test tells it to."""
    kept = Receiver(f"http://127.0.0.1:{free_port()}/webhooks/stripe")
    app = web.Application()
    app.router.add_post("/webhooks/stripe", kept.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, kept.host, kept.port).start()
    yield kept
    await runner.cleanup()


@pytest.fixture
async def world(tmp_path: Path, receiver: Receiver) -> AsyncIterator[World]:
    """A sandbox without misfortunes."""
    async with world_at(tmp_path, receiver.url) as opened:
        yield opened
