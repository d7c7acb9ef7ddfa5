"""One API and one seed per test, on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.api.house import House, running
from tests.api.seed import Seed, worker_pool


@pytest.fixture
async def house(dsn: str, redis_url: str) -> AsyncIterator[House]:
    """A running API."""
    async with running(dsn, redis_url) as started:
        yield started


@pytest.fixture
async def seed(dsn: str) -> AsyncIterator[Seed]:
    """Fills the test's database."""
    connection = await asyncpg.connect(dsn)
    workers = await worker_pool(dsn)
    yield Seed(connection, workers)
    await workers.close()
    await connection.close()
