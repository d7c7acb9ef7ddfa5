"""The sweep: finds in Postgres alone what a doorbell missed, and keeps the house in order. Needs neither
Redis nor arq.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from db import events, operations, pool, rollup
from db.pool import type_connection, type_pool
from runtime import clock, limits, process
from runtime.settings import Settings
from workers.drain import Drainer


class Sweep:
    """Runs every SWEEP_INTERVAL beside the drain loop, and wakes it."""

    def __init__(self, connections: type_pool, drainer: Drainer) -> None:
        self._connections = connections
        self._drainer = drainer
        self._started_at = clock.now()

    async def run_once(self) -> Counter[str]:
        """Wake what can go on, end what has waited too long, beat; returns the counts of each."""
        async with self._connections.acquire(timeout=limits.pool_acquire_s) as connection:
            counts = Counter(
                woken=await events.wake_parked_arrived(connection),
                expired=await events.expire_parked(connection),
            )
            await operations.close_settled_alerts(connection)
            await operations.beat(
                connection, "worker", process.instance(), self._started_at, self._drainer.counts
            )
            await operations.forget_heartbeats(connection)
            await rollup.step(connection)
        self._drainer.wake.set()
        return +counts


class Partitions:
    """Makes the log's partitions ahead. Where a transaction is in the way for longer than a lock may be
    waited for, the next turn tries again, a minute later.
    """

    def __init__(self, connections: type_pool) -> None:
        self._connections = connections

    async def run_once(self) -> int:
        """One try; returns how many were made. Raises an error of WORLD_IS_BUSY when it could not be, once
        people are told where that matters: today or tomorrow has no partition.
        """
        async with self._connections.acquire(timeout=limits.pool_acquire_s) as connection:
            try:
                return await operations.make_partitions(connection, limits.partitions_ahead_days)
            except pool.WORLD_IS_BUSY as busy:
                await operations.tell_of_missing_partitions(connection, type(busy).__name__)
                raise


class Retention:
    """Removes payloads and idempotency keys that have had their time. Dedupe keys of events stay."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run_once(self, now: datetime | None = None) -> Counter[str]:
        """One round at `now` (default: the present); returns partitions dropped, and rows and idempotency
        keys deleted.
        """
        now = now or clock.now()
        # A role of its own: the one that may delete from the log, and may do nothing else.
        retiring = await pool.connect(self._settings.database_url, "sluice_retention", "sluice-retention")
        try:
            keep_from = (now - timedelta(days=self._settings.webhook_log_retention_days)).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            dropped = await operations.drop_partitions(retiring, keep_from.date())
            deleted = await _in_batches(operations.delete_expired_tail, retiring, keep_from)
            keys_from = now - timedelta(days=limits.idempotency_key_days)
            keys = await _in_batches(operations.delete_expired_keys, retiring, keys_from)
            await rollup.forget(retiring, keep_from)
        finally:
            await retiring.close()
        return +Counter(partitions_dropped=dropped, rows_deleted=deleted, keys_deleted=keys)


async def _in_batches(
    delete: Callable[[type_connection, datetime, int], Awaitable[int]],
    connection: type_connection,
    before: datetime,
) -> int:
    """Delete until nothing is left, with a pause after each batch so that others get on; returns how many."""
    deleted = 0
    while batch := await delete(connection, before, limits.retention_batch_rows):
        deleted += batch
        await asyncio.sleep(limits.retention_pause_s)
    return deleted
