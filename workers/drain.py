"""Drains the inbox: claim what is due, apply it, until nothing is left. Woken by the doorbell, and by time
alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping

from db import events, traces
from db.events import ClaimedEvent
from db.pool import WORLD_IS_BUSY, type_connection, type_pool
from psp.reading import Expected
from runtime import clock, limits, telemetry
from workers import apply, redeliveries
from workers.shapes import Shapes

_ALONE_FROM_ATTEMPTS = 2
"""An event that has been begun this often without an outcome is claimed alone: it may be what kills the
worker.
"""
_FEW = limits.claim_batch_rows_max // 10
_GATHER_S = 0.01
"""After a batch of few the next ones may gather for this long: at 500 a second claiming one by one would cost
Postgres four times as much, for 5 ms.
"""


class Drainer:
    """One per worker process; `run_once` never runs twice at a time."""

    def __init__(self, pool: type_pool, expected: Mapping[str, Expected]) -> None:
        """`expected` tells what each receiver endpoint is for."""
        self._pool = pool
        self._expected = expected
        self._unfinished: list[ClaimedEvent] = []
        self._claiming = asyncio.Lock()
        self._shapes = Shapes()
        self.wake = asyncio.Event()
        self.is_busy = False
        """Whether a drain is under way: what comes meanwhile is seen by it or by the next."""
        self.counts: Counter[str] = Counter()

    async def run_once(self) -> Counter[str]:
        """Judge redeliveries, then apply until nothing is due; returns how many events ended in which state.

        Raises an error of WORLD_IS_BUSY when the database goes away; the events then stay due.
        """
        counts: Counter[str] = Counter()
        async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
            if self._unfinished:
                await events.release_claims(connection, self._unfinished)
                self._unfinished = []
            while judged := await redeliveries.judge(connection):
                counts += judged
            counts += await self._work(connection, may_have_help=True)
            if counts["parked"] and await events.wake_parked_arrived(connection):
                counts += await self._work(connection, may_have_help=False)  # a helper had its parent
        self.counts += counts
        if counts:
            telemetry.logger().info("drained", **counts)
        return counts

    async def _work(self, connection: type_connection, may_have_help: bool) -> Counter[str]:
        """Claim and apply until nothing is due. A full batch means a backlog: then other connections work
        beside this one, because while Postgres writes one batch this process can decide the next.
        """
        counts: Counter[str] = Counter()
        helping: list[asyncio.Task[Counter[str]]] = []
        try:
            while claimed := await self._claim(connection):
                if may_have_help and not helping and len(claimed) == limits.claim_batch_rows_max:
                    helping = [asyncio.create_task(self._help()) for _ in range(limits.drain_helpers)]
                began_ns = clock.now_unix_ns()
                try:
                    counts += await apply.apply_batch(connection, claimed, self._expected, self._shapes)
                except WORLD_IS_BUSY:
                    self._unfinished += claimed  # the attempts that its absence cost are given back
                    raise
                await traces.applied(connection, claimed, began_ns)
                if len(claimed) < _FEW:
                    await asyncio.sleep(_GATHER_S)
        except asyncio.CancelledError:
            for helper in helping:
                helper.cancel()
            raise
        finally:
            if helping:
                await asyncio.wait(helping)
        return sum((helper.result() for helper in helping), counts)

    async def _claim(self, connection: type_connection) -> list[ClaimedEvent]:
        """The next batch. One claim at a time: two at once would share the list out row by row, and events of
        one object would meet in two batches, of which one must then be decided anew.
        """
        async with self._claiming:
            return await events.claim_due(
                connection, limits.claim_batch_rows_max, limits.claim_lease_s, _ALONE_FROM_ATTEMPTS
            )

    async def _help(self) -> Counter[str]:
        """The same on another connection; its failure is no more than the absence of help."""
        try:
            async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
                return await self._work(connection, may_have_help=False)
        except WORLD_IS_BUSY as error:
            telemetry.logger().warning("help_lost", exc_info=error)
            return Counter()

    async def run(self, stop: asyncio.Event, idle_s: float) -> None:
        """Drain whenever woken, and at least every `idle_s` seconds, until stopped."""
        stopped = asyncio.create_task(stop.wait())
        while not stop.is_set():
            self.wake.clear()
            self.is_busy = True
            try:
                await self.run_once()
            except WORLD_IS_BUSY as error:
                telemetry.logger().warning("database_away", exc_info=error)
                await asyncio.sleep(0.2)
                continue
            except Exception as error:  # noqa: BLE001 - the inbox must be drained whatever one turn met
                telemetry.logger().error("drain_failed", exc_info=error)
            finally:
                self.is_busy = False
            woken = asyncio.create_task(self.wake.wait())
            await asyncio.wait({woken, stopped}, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await woken
        stopped.cancel()
