"""Fixtures of the reconciler's tests: a shop with the sandbox as its PSP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.reconciler.shop import Shop, opened
from tests.sandbox.worlds import Receiver
from tests.support.ports import free_port


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook endpoint that acknowledges what it is sent and keeps it; see `Shop.webhooks`."""
    kept = Receiver(f"http://127.0.0.1:{free_port()}/webhooks/stripe")
    app = web.Application()
    app.router.add_post("/webhooks/stripe", kept.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, kept.host, kept.port).start()
    yield kept
    await runner.cleanup()


@pytest.fixture
async def shop(dsn: str, redis_url: str, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Shop]:
    """A shop over a fresh database."""
    async with opened(dsn, redis_url, tmp_path, receiver) as shop:
        yield shop
