"""One real receiver process per test module, on a database and a port of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import pytest

from runtime import guardian
from tests.receiver.deliveries import Sender
from tests.receiver.log_rows import LogRows
from tests.receiver.running import Receiver, database_of_its_own, receiver_environment, start_receiver
from tests.support.ports import free_port
from tests.support.processes import Processes, processes_in

if TYPE_CHECKING:
    from tests.conftest import Servers


@pytest.fixture(scope="module")
async def receiver_database(servers: Servers, admin: asyncpg.Connection, template: str) -> AsyncIterator[str]:
    """The database of the module's receiver."""
    async with database_of_its_own(servers, admin, template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def module_processes(
    children: guardian.Children, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Processes]:
    """Processes that live as long as the module."""
    async with processes_in(tmp_path_factory.mktemp("receiver"), children) as processes:
        yield processes


@pytest.fixture(scope="module")
async def receiver(
    receiver_database: str,
    redis_database: str,
    module_processes: Processes,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Receiver]:
    """The module's receiver; a module adds settings of its own in a dict named `RECEIVER_SETTINGS`."""
    more = getattr(request.module, "RECEIVER_SETTINGS", {})
    environment = receiver_environment(receiver_database, redis_database, free_port(), **more)
    running = await start_receiver(module_processes, environment)
    connection = await asyncpg.connect(receiver_database)
    try:
        yield Receiver(int(environment["INGEST_PORT"]), running, LogRows(connection), environment)
    finally:
        await connection.close()
    assert running.process.poll() is None, running.output()


@pytest.fixture
def sender() -> Sender:
    """A sender with a request id and an address that nobody else has."""
    return Sender()
