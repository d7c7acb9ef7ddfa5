"""Starts real receivers on databases and ports of their own and hands out what a test needs to talk to
them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from db import checks
from tests.receiver.deliveries import OLD_SECRET, SECRET
from tests.receiver.log_rows import LogRows
from tests.receiver.wire import Answer, Wire, connected, exchange
from tests.support.processes import Processes, Running

if TYPE_CHECKING:
    from tests.conftest import Servers


@dataclass(frozen=True)
class Receiver:
    """A running receiver with its log."""

    port: int
    running: Running
    rows: LogRows
    environment: Mapping[str, str]

    async def answer_to(self, data: bytes) -> Answer:
        """Send raw bytes on a connection of their own and return the first final answer."""
        return await exchange(self.port, data)

    def connected(self) -> contextlib.AbstractAsyncContextManager[Wire]:
        """A connection of one's own."""
        return connected(self.port)


def receiver_environment(dsn: str, redis_url: str, port: int, **more: str) -> dict[str, str]:
    """Settings of a receiver under test; senders name their own address, so 127.0.0.0/8 counts as a proxy."""
    return {
        "DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "INGEST_PORT": str(port),
        "STRIPE_WEBHOOK_SECRETS": f"{OLD_SECRET},{SECRET}",
        "TRUSTED_PROXIES": "127.0.0.0/8",
        **more,
    }


async def start_receiver(processes: Processes, environment: Mapping[str, str]) -> Running:
    """Start `python -m ingest` and wait until it could commit."""
    url = f"http://127.0.0.1:{environment['INGEST_PORT']}/health/ready"
    return await processes.start_ready("-m", "ingest", url=url, environment=environment)


@contextlib.asynccontextmanager
async def database_of_its_own(
    servers: Servers, admin: asyncpg.Connection, template: str
) -> AsyncIterator[str]:
    """A fresh migrated database for longer than one test; its books must be right at the end."""
    name = f"sluice_receiver_{secrets.token_hex(6)}"
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield servers.dsn_of(name)
        connection = await asyncpg.connect(servers.dsn_of(name))
        try:
            broken = {check: rows for check, rows in (await checks.run(connection)).items() if rows}
        finally:
            await connection.close()
        assert not broken, f"invariants and how many rows break each: {broken}"
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
