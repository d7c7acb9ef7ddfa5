"""Postgres and Valkey that a test may break: started for one module, stopped, frozen and healed at will."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from db import embedded
from db.migrate import migrate
from runtime import guardian
from tests.support.poll import until

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="needs /proc to see a process and its children"
)


class ScratchPostgres:
    """A migrated Postgres of a test's own, with the ways in which it can fail."""

    def __init__(
        self, state_dir: Path, children: guardian.Children, settings: Mapping[str, str] | None = None
    ) -> None:
        self.server = embedded.Postgres(
            state_dir, settings={"shared_buffers": "32MB", **(settings or {})}, children=children
        )

    @property
    def dsn(self) -> str:
        """The migrated database as superuser."""
        return self.server.url

    async def start(self) -> None:
        """Start it, after a crash too, and wait until it answers."""
        await asyncio.to_thread(self.server.start)

    async def stop_immediately(self) -> None:
        """End it without a checkpoint and without a word to its clients, as `pg_ctl stop -m immediate`
        does."""
        pid = int(self.server.pid_file.read_text(encoding="ascii").split("\n", 1)[0])
        guardian.send(pid, signal.SIGQUIT)
        await asyncio.to_thread(self.server.stop)

    async def prepare(self) -> None:
        """Create and migrate the database."""
        await embedded.ensure_database(self.server)
        await migrate(self.dsn)

    async def execute(self, statement: str) -> None:
        """Run one statement as superuser on a connection of its own."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def settled(self, setting: str, value: str) -> None:
        """Wait until new connections see this value: a reload is not instant."""

        async def seen() -> bool:
            connection = await asyncpg.connect(self.dsn)
            try:
                return bool(await connection.fetchval("SELECT current_setting($1) = $2", setting, value))
            finally:
                await connection.close()

        await until(seen, 20, f"{setting} to be {value}")

    async def terminate_backends(self) -> None:
        """End every client's connection from the server's side."""
        await self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """Every process of the server stands still, connections stay open: a hang, not an absence."""
        pids = guardian.working_in(self.server.data_dir)
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """Somebody holds the strongest lock on a table, as a careless migration would."""
        connection = await asyncpg.connect(self.dsn)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()


class ScratchValkey:
    """A Redis-compatible server of a test's own, with the ways in which it can fail."""

    def __init__(self, state_dir: Path, children: guardian.Children) -> None:
        self.server = embedded.Valkey(state_dir, children=children)

    @property
    def url(self) -> str:
        """Its database 0."""
        return self.server.url

    async def start(self) -> None:
        """Start it and wait until it answers."""
        await asyncio.to_thread(self.server.start)

    async def stop(self) -> None:
        """Kill it; what it had not written to its file is lost."""
        await asyncio.to_thread(self.server.kill)

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """It stands still and keeps its connections open."""
        pid = int(self.server.pid_file.read_text(encoding="ascii"))
        try:
            os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def scratch_postgres(
    state_dir: Path, children: guardian.Children, settings: Mapping[str, str] | None = None
) -> AsyncIterator[ScratchPostgres]:
    """A running, migrated Postgres for the block."""
    postgres = ScratchPostgres(state_dir, children, settings)
    await postgres.start()
    try:
        await postgres.prepare()
        yield postgres
    finally:
        await asyncio.to_thread(postgres.server.stop)


@contextlib.asynccontextmanager
async def scratch_valkey(state_dir: Path, children: guardian.Children) -> AsyncIterator[ScratchValkey]:
    """A running Valkey for the block."""
    valkey = ScratchValkey(state_dir, children)
    await valkey.start()
    try:
        yield valkey
    finally:
        await asyncio.to_thread(valkey.server.stop)
