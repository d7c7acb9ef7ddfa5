"""A running API for developers on a fresh database, with a sandbox of each provider that it calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from psp.reading import Expected
from tests.api.house import House, running
from tests.api.seed import Seed, worker_pool
from tests.customers.market import Market, open_market
from tests.customers.providers import PANDA_KEY, Panda, panda_of
from tests.sandbox.worlds import KEY, World, world_at
from tests.support.ports import free_port
from tests.support.processes import Processes
from workers.drain import Drainer


@pytest.fixture
async def stripe(tmp_path: Path) -> AsyncIterator[World]:
    """A sandbox of Stripe in this process; nobody listens to its events."""
    async with world_at(tmp_path, f"http://127.0.0.1:{free_port()}/") as world:
        yield world


@pytest.fixture
async def worker(dsn: str) -> AsyncIterator[None]:
    """A worker's drain loop in this process: what customers want is applied, and no call is made."""
    connections, stop = await worker_pool(dsn), asyncio.Event()
    draining = asyncio.create_task(Drainer(connections, {"stripe": Expected()}).run(stop, idle_s=0.02))
    yield
    stop.set()
    await draining
    await connections.close()


@pytest.fixture
async def panda(processes: Processes) -> AsyncIterator[Panda]:
    """A sandbox of the card processor, as a process."""
    async with panda_of(processes) as started:
        yield started


@pytest.fixture
async def shop(dsn: str, redis_url: str, stripe: World) -> AsyncIterator[House]:
    """An API that sells through the sandbox."""
    async with running(dsn, redis_url, STRIPE_SECRET_KEY=KEY, STRIPE_API_BASE=stripe.url) as started:
        yield started


@pytest.fixture
async def issuer(dsn: str, redis_url: str, panda: Panda) -> AsyncIterator[House]:
    """An API whose customers have cards."""
    async with running(dsn, redis_url, PANDA_API_URL=panda.url, PANDA_API_KEY=PANDA_KEY) as started:
        yield started


@pytest.fixture
async def market(tmp_path: Path, dsn: str, redis_url: str, processes: Processes) -> AsyncIterator[Market]:
    """An API that sells through the sandbox, with a receiver and a worker behind it."""
    async with open_market(tmp_path, dsn, redis_url, processes) as opened:
        yield opened


@pytest.fixture
async def seed(dsn: str) -> AsyncIterator[Seed]:
    """Fills the test's database, and reads from it what the API must not be asked for."""
    connection = await asyncpg.connect(dsn)
    workers = await worker_pool(dsn)
    yield Seed(connection, workers)
    await workers.close()
    await connection.close()
