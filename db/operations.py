"""Heartbeats, alerts, partitions and retention: what keeps the house in order, no event and no money."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from db.pool import REFUSED, WORLD_IS_BUSY, type_connection, type_pool
from db.queries import OPERATIONS
from runtime import limits, telemetry

_LAST_WORD_S = 1.0


async def beat(
    connection: type_connection,
    process: str,
    instance: str,
    started_at: datetime,
    counters: Mapping[str, int],
) -> None:
    """Say that a process is alive, with its counters since start."""
    await connection.execute(OPERATIONS.beat, process, instance, started_at, json.dumps(dict(counters)))


async def stop_beating(connections: type_pool, process: str, instance: str) -> None:
    """Take the heartbeat of a process away that ends in order, within a second: where the database is away it
    stays behind and grows stale, like that of a process that was killed.
    """
    try:
        async with asyncio.timeout(_LAST_WORD_S), connections.acquire() as connection:
            await connection.execute(OPERATIONS.stop_beating, process, instance)
    except (*WORLD_IS_BUSY, REFUSED):
        telemetry.logger().warning("heartbeat_left_behind")


async def forget_heartbeats(connection: type_connection) -> None:
    """Remove processes that have been silent for a day."""
    await connection.execute(OPERATIONS.forget_heartbeats)


async def raise_alerts(connection: type_connection, alerts: Sequence[tuple[str, str, str | None]]) -> None:
    """Open alerts (name, subject, detail); one that is open already is not repeated."""
    if alerts:
        await connection.execute(
            OPERATIONS.raise_alerts, [a[0] for a in alerts], [a[1] for a in alerts], [a[2] for a in alerts]
        )


async def close_settled_alerts(connection: type_connection) -> None:
    """Close the alerts whose matter has settled itself."""
    await connection.execute(OPERATIONS.close_settled_alerts)


async def make_partitions(connection: type_connection, days_ahead: int) -> int:
    """Make the log's daily partitions ahead; returns how many were new. Raises an error of WORLD_IS_BUSY
    when somebody's transaction is in their way; then none was made.
    """
    made = await connection.fetchval(
        OPERATIONS.make_partitions, days_ahead, timeout=limits.partitions_made_s_max
    )
    return int(made)


async def tell_of_missing_partitions(connection: type_connection, why: str) -> None:
    """Open an alert where today or tomorrow has no partition."""
    if await connection.fetchval(OPERATIONS.lacks_partitions):
        await raise_alerts(connection, [("partitions_missing", "webhook_log", why)])


async def drop_partitions(connection: type_connection, keep_from: date) -> int:
    """Drop the log's daily partitions wholly before `keep_from` that hold nothing open; returns how many."""
    return int(await connection.fetchval(OPERATIONS.drop_partitions, keep_from))


async def delete_expired_keys(connection: type_connection, before: datetime, rows_max: int) -> int:
    """Delete one batch of idempotency keys that are older; returns how many."""
    status = await connection.execute(OPERATIONS.delete_expired_keys, before, rows_max)
    return int(status.rpartition(" ")[2])


async def delete_expired_tail(connection: type_connection, before: datetime, rows_max: int) -> int:
    """Delete one batch of expired rows that no dropped partition took; returns how many."""
    status = await connection.execute(OPERATIONS.delete_expired_tail, before, rows_max)
    return int(status.rpartition(" ")[2])
