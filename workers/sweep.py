"""The sweep: finds in Postgres alone what a doorbell missed, and keeps the house in order. Needs neither
Redis nor arq.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta

from db import events, operations, pool, rollup
from db.pool import type_pool
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


class Retention:
    """Makes partitions ahead and removes payloads that have had their time; dedupe keys stay."""

    def __init__(self, settings: Settings, connections: type_pool) -> None:
        self._settings = settings
        self._connections = connections

    async def run_once(self, now: datetime | None = None) -> Counter[str]:
        """One round at `now` (default: the present); returns partitions made and dropped, and rows
        deleted.
        """
        now = now or clock.now()
        async with self._connections.acquire(timeout=limits.pool_acquire_s) as connection:
            made = await operations.make_partitions(connection, limits.partitions_ahead_days)
        # A role of its own: the one that may delete from the log, and may do nothing else.
        retiring = await pool.connect(self._settings.database_url, "sluice_retention", "sluice-retention")
        try:
            keep_from = (now - timedelta(days=self._settings.webhook_log_retention_days)).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            dropped = await operations.drop_partitions(retiring, keep_from.date())
            deleted = 0
            while batch := await operations.delete_expired_tail(
                retiring, keep_from, limits.retention_batch_rows
            ):
                deleted += batch
                await asyncio.sleep(limits.retention_pause_s)
            await rollup.forget(retiring, keep_from)
        finally:
            await retiring.close()
        return +Counter(partitions_made=made, partitions_dropped=dropped, rows_deleted=deleted)
