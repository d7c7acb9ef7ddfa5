"""Runs the phases and puts every run on record: who asked, what was found, what failed. Repairs only by
appending.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from db import completeness, findings, reconcile
from db.findings import OBJECT, PHASES, REPAIRED, Order
from db.pool import type_pool
from psp import readers
from psp.reads import Reader
from reconciler import one, phases, watch
from reconciler.run import INTERVAL, Asked, Run
from runtime import limits, process, telemetry
from runtime.doorbell import Doorbell
from runtime.settings import Settings

_GRACE_S = 60
"""A webhook may be on its way this long before its event counts as undelivered; never longer than the
interval.
"""
NOBODY_TO_ASK = "no provider can be asked: STRIPE_SECRET_KEY is not set"


class Reconciler:
    """One per process; runs at the interval, when an operator asked for it, and for the command line."""

    def __init__(self, settings: Settings, pool: type_pool, doorbell: Doorbell) -> None:
        self._settings = settings
        self._pool = pool
        self._doorbell = doorbell
        # A requested run and that of the interval would list the same events twice at the same time.
        self._one_at_a_time = asyncio.Lock()
        self.totals: Counter[str] = Counter({f"{REPAIRED}{phase}": 0 for phase in (*PHASES, OBJECT)})
        """Since start, for the heartbeat; every phase from the start, so that its first repair is a rise."""

    async def run_once(
        self, order: Order, now: datetime, instance: str | None = None
    ) -> tuple[str, Counter[str]]:
        """One run at `now`, on record for the process of this name; returns its status and counts. A phase's
        failure is on record, not raised. At the interval there is no run without a provider to ask.
        """
        if order.requested_by == INTERVAL and not _can_ask(self._settings):
            await watch.watch_invariants(self._pool)
            return "succeeded", Counter()
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

    async def _run(self, order: Order, now: datetime) -> tuple[str, Counter[str]]:
        async with self._one_at_a_time, readers.opened(self._settings) as opened:
            run = self._begun(order, now, opened)
            try:
                if not order.dry_run:
                    await watch.take_note(self._pool, now)
                done = await self._run_phases(run)
                await self._aftermath(run)
            except Exception as error:
                # Whoever asked waits for this record; the fault itself is the loop's to tell.
                run.errors[type(error).__name__] += 1
                await self._end(run, "failed")
                raise
            status = "succeeded" if not run.errors else "partial" if done else "failed"
            await self._end(run, status)
        if run.counts["repaired"]:
            self._doorbell.ring()
        self._count(run, status, now)
        telemetry.logger().info(
            "reconciled", run_id=str(order.id), status=status, errors=_sentences(run.errors), **run.counts
        )
        return status, run.counts

    def _begun(self, order: Order, now: datetime, opened: Mapping[str, Reader]) -> Run:
        sources: dict[str, Asked] = {}
        errors: Counter[str] = Counter()
        for source, reader in opened.items():
            endpoint = readers.endpoint_of(self._settings, source, reader)
            if endpoint is None:
                errors[f"{source}: no endpoint takes the mode of its key"] += 1
            else:
                sources[source] = Asked(source, endpoint, reader)
        if not opened:
            errors[NOBODY_TO_ASK] += 1
        grace_s = int(min(_GRACE_S, self._settings.reconcile_interval_s))
        run = Run(order, self._settings, self._pool, sources, int(now.timestamp()), grace_s)
        run.errors += errors
        return run

    async def _run_phases(self, run: Run) -> bool:
        """Whether anything was done without an error."""
        if not run.sources:
            return False
        if run.order.object is not None:
            await one.run_object(run, run.order.object)
            return run.counts["looked_at"] > run.errors.total()
        flawless = 0
        for name in run.order.phases:
            before, errors = Counter(run.counts), run.errors.total()
            await phases.run_phase(run, name)
            run.by_phase[name] = run.counts - before
            failed = run.errors.total() - errors
            flawless += failed == 0 or run.by_phase[name]["looked_at"] > failed
        return flawless > 0

    async def _aftermath(self, run: Run) -> None:
        """What a run leaves behind besides findings; one about a single object leaves nothing."""
        if run.order.object is None and not run.order.dry_run:
            broken = await watch.watch_invariants(self._pool)
            run.counts["invariants_broken"] = len(broken)
            async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
                await reconcile.forget_attempts(connection)
                await completeness.add(connection, run.order.id, run.measures)

    async def _end(self, run: Run, status: str) -> None:
        shares = {one.source: completeness.share(one.types) for one in run.measures}
        measured = {source: found for source, found in shares.items() if found is not None}
        counts: dict[str, Any] = {**+run.counts, "phases": run.by_phase}
        if measured:
            counts["completeness"] = measured
        async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
            await findings.finish_run(
                connection,
                run.order.id,
                status,
                counts,
                _sentences(run.errors),
            )

    def _count(self, run: Run, status: str, now: datetime) -> None:
        self.totals["runs"] += 1
        self.totals[f"runs_{status}"] += 1
        self.totals["missing_event"] += run.counts["missing_event"]
        for phase, repaired in run.repaired.items():
            self.totals[f"{REPAIRED}{phase}"] += repaired
        self.totals["last_run_unix_s"] = int(now.timestamp())


def _can_ask(settings: Settings) -> bool:
    return settings.stripe_secret_key is not None or (
        settings.hyperswitch_enabled
        and settings.hyperswitch_url is not None
        and settings.hyperswitch_api_key is not None
    )


def _sentences(errors: Counter[str]) -> list[str]:
    return [text if times == 1 else f"{text} ({times} times)" for text, times in sorted(errors.items())]
