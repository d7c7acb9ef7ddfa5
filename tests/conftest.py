"""Fixtures for all tests: real servers once per session, a fresh database per test, and honest books after
each.

`DATABASE_URL` and `REDIS_URL`, when set, are used instead of embedded servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import redis
import uvloop

from db import checks, embedded
from db.migrate import migrate
from runtime import guardian, telemetry
from tests.support.processes import ROOT, Processes, processes_in

BOOKS_LEFT_BROKEN = "books_left_broken"

server_settings = {"shared_buffers": "128MB"}
"""As durable as production: the receiver refuses to start on a Postgres that could lose what it
acknowledged."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers of this session are: a database to make others from, and a Redis database to fill."""

    admin_dsn: str
    redis_url: str

    def dsn_of(self, database: str) -> str:
        """The same server, another database."""
        return urlunsplit(urlsplit(self.admin_dsn)._replace(path=f"/{database}"))


def pytest_configure(config: pytest.Config) -> None:
    # What runs inside a test logs as its process does. structlog's own default draws every local variable of
    # every frame where `rich` is installed: seconds for fifty failures at once, and payloads in the report.
    telemetry.configure("tests")
    config.addinivalue_line(
        "markers",
        f"{BOOKS_LEFT_BROKEN}(reason): breaks an invariant on purpose, so they are not checked afterwards",
    )


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[guardian.Children]:
    """The record of all child processes of this session; a guardian ends them should pytest itself be
    killed."""
    record = guardian.Children(tmp_path_factory.mktemp("run"))
    watcher = subprocess.Popen(
        [sys.executable, "-m", "runtime.guardian", str(record.run_dir)],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    yield record
    assert watcher.stdin is not None
    watcher.stdin.close()
    watcher.wait()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, children: guardian.Children) -> Iterator[Servers]:
    """Postgres and a Redis-compatible server for the whole session."""
    state = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as running:
        admin_dsn = os.environ.get("DATABASE_URL", "")
        if not admin_dsn:
            postgres = embedded.Postgres(state, settings=server_settings, children=children)
            postgres.start()
            running.callback(postgres.stop)
            admin_dsn = postgres.url_of("postgres")
        redis_url = os.environ.get("REDIS_URL", "")
        if not redis_url:
            valkey = embedded.Valkey(state, children=children)
            valkey.start()
            running.callback(valkey.stop)
            redis_url = valkey.url
        yield Servers(admin_dsn, redis_url)


@pytest.fixture(scope="session")
async def admin(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """A connection that may create and drop databases."""
    connection = await asyncpg.connect(servers.admin_dsn)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def template(servers: Servers, admin: asyncpg.Connection) -> AsyncIterator[str]:
    """The name of a migrated database that nobody is connected to."""
    name = f"sluice_template_{secrets.token_hex(4)}"
    await admin.execute(f"CREATE DATABASE {name}")
    await migrate(servers.dsn_of(name))
    yield name
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def dsn(
    servers: Servers, admin: asyncpg.Connection, template: str, request: pytest.FixtureRequest
) -> AsyncIterator[str]:
    """A fresh, migrated database; after the test every invariant of `sql/queries/checks.sql` must hold in
    it."""
    name = f"sluice_test_{secrets.token_hex(6)}"
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield servers.dsn_of(name)
    try:
        if request.node.get_closest_marker(BOOKS_LEFT_BROKEN) is None:
            broken = await _broken_invariants(servers.dsn_of(name))
            assert not broken, f"invariants and how many rows break each: {broken}"
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def _broken_invariants(dsn: str) -> dict[str, int]:
    connection = await asyncpg.connect(dsn)
    try:
        return {name: rows for name, rows in (await checks.run(connection)).items() if rows}
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def redis_database(servers: Servers) -> str:
    """The Redis database of this session; one that already holds somebody's keys is refused."""
    with redis.Redis.from_url(servers.redis_url) as client:
        keys = int(client.dbsize())
    assert keys == 0, (
        f"REDIS_URL names a database with {keys} keys; the tests empty it, so give them another number"
    )
    return servers.redis_url


@pytest.fixture
def redis_url(redis_database: str) -> str:
    """An empty Redis database."""
    with redis.Redis.from_url(redis_database) as client:
        client.flushdb()
    return redis_database


@pytest.fixture
async def processes(tmp_path: Path, children: guardian.Children) -> AsyncIterator[Processes]:
    """Starts our processes as real children; they end with the test."""
    async with processes_in(tmp_path, children) as started:
        yield started
