"""Runs the phases and puts every run on record: who asked, what was found, what failed. Repairs only by
appending.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime

from db import findings
from db.findings import PHASES, Order
from db.pool import type_pool
from psp.stripe.client import StripeApi, StripeCallError
from reconciler import undelivered
from runtime import limits, process, telemetry
from runtime.doorbell import Doorbell
from runtime.settings import Settings

_GRACE_S = 60
"""A webhook may be on its way this long before its event counts as undelivered; never longer than the
interval.
"""


class Reconciler:
    """One per process; runs at the interval, when an operator asked for it, and for the command line."""

    def __init__(self, settings: Settings, pool: type_pool, doorbell: Doorbell) -> None:
        self._settings = settings
        self._pool = pool
        self._doorbell = doorbell
        # A requested run and that of the interval would list the same events twice at the same time.
        self._one_at_a_time = asyncio.Lock()
        self.totals: Counter[str] = Counter()
        """Since start, for the heartbeat."""

    async def run_once(self, order: Order, now: datetime, instance: str | None = None) -> Counter[str]:
        """One run at `now`, on record for the process of this name; returns its counts. A phase's failure is
        on record, not raised. Without a provider that can be asked there is no run.
        """
        if self._settings.stripe_secret_key is None:
            return Counter()
        async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
            await findings.start_run(connection, order, instance)
        return await self._run(order, now)

    async def run_requested(self, now: datetime) -> int:
        """Run what operators have asked for since the last time, oldest first; returns how many runs."""
        runs = 0
        while order := await self._pick_up():
            await self._run(order, now)
            runs += 1
        return runs

    async def _pick_up(self) -> Order | None:
        async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
            await findings.fail_abandoned_runs(connection, limits.heartbeat_stale_s)
            return await findings.pick_up_run(connection, process.instance())

    async def _run(self, order: Order, now: datetime) -> Counter[str]:
        async with self._one_at_a_time:
            try:
                return await self._run_phases(order, now)
            except Exception as error:
                # Whoever asked waits for this record; the fault itself is the loop's to tell.
                async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
                    await findings.finish_run(connection, order.id, "failed", {}, [type(error).__name__])
                raise

    async def _run_phases(self, order: Order, now: datetime) -> Counter[str]:
        counts: Counter[str] = Counter()
        errors: list[str] = []
        done = 0
        key = self._settings.stripe_secret_key
        if key is None:
            errors.append("no provider can be asked: STRIPE_SECRET_KEY is not set")
        else:
            grace_s = int(min(_GRACE_S, self._settings.reconcile_interval_s))
            run = undelivered.Run(order.id, int(now.timestamp()), grace_s, order.dry_run, order.object)
            async with StripeApi(key.reveal(), self._settings.stripe_api_base) as api:
                for phase in order.phases:
                    try:
                        counts += await _RUN_PHASE[phase](self._pool, api, run)
                        done += 1
                    except StripeCallError as error:
                        errors.append(f"{phase}: {error.kind}")
        status = "succeeded" if not errors else "partial" if done else "failed"
        async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
            await findings.finish_run(connection, order.id, status, counts, errors)
        if counts["repaired"]:
            self._doorbell.ring()
        self._count(counts, status, now)
        telemetry.logger().info("reconciled", run_id=str(order.id), status=status, errors=errors, **counts)
        return counts

    def _count(self, counts: Counter[str], status: str, now: datetime) -> None:
        self.totals["runs"] += 1
        self.totals[f"runs_{status}"] += 1
        for name in ("missing_event", "repaired"):
            self.totals[name] += counts[name]
        self.totals["last_run_unix_s"] = int(now.timestamp())


_RUN_PHASE = {undelivered.PHASE: undelivered.run_once}
assert tuple(_RUN_PHASE) == PHASES, "what may be asked for is what can be run"
