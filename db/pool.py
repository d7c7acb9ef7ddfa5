"""Connections to Postgres: each process takes on its own role, and nothing waits for ever."""

from __future__ import annotations

import asyncpg

from db.queries import EVENTS
from runtime import limits

type_connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
"""What the functions of this room take: a connection of one's own, or one on loan from a pool."""

type_row = asyncpg.Record
"""A row as it was read, by column."""

type_pool = asyncpg.Pool
"""What processes hold; only this room knows whose pool it is."""

WORLD_IS_BUSY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,  # a connection that died in a transaction raises this, without any SQLSTATE
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    ConnectionError,
    OSError,
    TimeoutError,
)
"""Errors that say nothing about the work: the same work may succeed in a second."""

LOST_RACE = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""Another worker was first: load again and decide again."""

REFUSED = asyncpg.PostgresError
"""Anything else the database says about the data itself."""

_SETTINGS_OF_ROLE = {"sluice_worker": {"enable_seqscan": "off", "plan_cache_mode": "force_generic_plan"}}
"""A worker's statements find a batch of rows by their keys. Left to itself Postgres reads a small table whole
instead, and keeps the plan while the table grows; with the lists' lengths unknown it cannot.
"""


def _server_settings(role: str | None, application: str) -> dict[str, str]:
    settings = {
        "application_name": application,
        "lock_timeout": str(limits.lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(limits.idle_in_transaction_timeout_ms),
        "timezone": "UTC",
    }
    if role is not None:
        settings |= {"role": role, **_SETTINGS_OF_ROLE.get(role, {})}
    return settings


async def connect(dsn: str, role: str | None, application: str) -> asyncpg.Connection:
    """One connection as `role` (None: as the login itself). Raises an error of WORLD_IS_BUSY when there is
    none.
    """
    return await asyncpg.connect(
        dsn,
        timeout=limits.command_timeout_s,
        command_timeout=limits.command_timeout_s,
        server_settings=_server_settings(role, application),
    )


async def create_pool(dsn: str, role: str, application: str, size_max: int) -> asyncpg.Pool:
    """A pool as `role`; it opens connections when they are asked for, so a process can start before
    Postgres.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size_max,
        command_timeout=limits.command_timeout_s,
        timeout=limits.command_timeout_s,
        server_settings=_server_settings(role, application),
    )


async def durability_faults(connection: type_connection) -> list[str]:
    """Why this server may not hold money: settings under which a commit can be lost. Empty when all is
    well.
    """
    row = await connection.fetchrow(EVENTS.durability_settings)
    assert row is not None
    faults = []
    if row["fsync"] != "on":
        faults.append("Postgres runs with fsync off: an acknowledged delivery could be lost")
    if row["synchronous_commit"] == "off":
        faults.append("Postgres runs with synchronous_commit off: an acknowledged delivery could be lost")
    if row["full_page_writes"] != "on":
        faults.append("Postgres runs with full_page_writes off: a crash could tear acknowledged rows")
    return faults


async def can_commit(connection: type_connection) -> bool:
    """Whether an append could be committed through this connection now."""
    return bool(await connection.fetchval(EVENTS.can_commit))
