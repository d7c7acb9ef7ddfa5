"""Fixtures of the sandbox's tests: a sandbox in this process, and a receiver that keeps what it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from psp.sandbox.settings import HyperswitchSettings
from runtime.values import Secret
from tests.sandbox.merchants import (
    HYPERSWITCH_KEY,
    HYPERSWITCH_SECRET,
    Mailbox,
    Shop,
    mailbox_open,
    shop_at,
)
from tests.sandbox.worlds import Receiver, World, world_at
from tests.support.ports import free_port
from tests.support.processes import Processes


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


@pytest.fixture
async def both_psps(tmp_path: Path, receiver: Receiver, mailbox: Mailbox) -> AsyncIterator[World]:
    """The same with a Hyperswitch-shaped merchant beside Stripe's."""
    switched = HyperswitchSettings(mailbox.url, Secret(HYPERSWITCH_SECRET), Secret(HYPERSWITCH_KEY))
    async with world_at(tmp_path, receiver.url, hyperswitch=switched) as opened:
        yield opened


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """A webhook endpoint for Hyperswitch's letters."""
    async with mailbox_open() as opened:
        yield opened


@pytest.fixture
async def shop(tmp_path: Path, processes: Processes, mailbox: Mailbox) -> AsyncIterator[Shop]:
    """A shop at a sandbox process without misfortunes."""
    async with shop_at(tmp_path, processes, mailbox.url) as opened:
        yield opened
