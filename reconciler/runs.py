"""Runs the phases and puts every run on record: who asked, what was found, what failed. Repairs only by
appending.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from db import findings
from db.pool import type_pool
from psp.stripe.client import StripeApi, StripeUnavailableError
from reconciler import undelivered
from runtime import limits, telemetry
from runtime.doorbell import Doorbell
from runtime.settings import Settings

PHASES = (undelivered.PHASE,)
_GRACE_S = 60
"""A webhook may be on its way this long before its event counts as undelivered; never longer than the
interval.
"""


class Reconciler:
    """One per process; `run_once` may be called by the interval, by an operator or by the command line."""

    def __init__(self, settings: Settings, pool: type_pool, doorbell: Doorbell) -> None:
        self._settings = settings
        self._pool = pool
        self._doorbell = doorbell

    async def run_once(
        self,
        run_id: UUID,
        now: datetime,
        requested_by: str,
        phases: Sequence[str] = PHASES,
        dry_run: bool = False,
    ) -> Counter[str]:
        """One run of the given phases at `now`; returns its counts. A phase's failure is on record, not
        raised.
        """
        key = self._settings.stripe_secret_key
        if key is None:
            return Counter()  # no provider can be asked
        counts: Counter[str] = Counter()
        errors: list[str] = []
        async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
            await findings.start_run(connection, run_id, requested_by, phases, dry_run)
        grace_s = int(min(_GRACE_S, self._settings.reconcile_interval_s))
        run = undelivered.Run(run_id, int(now.timestamp()), grace_s, dry_run)
        done = 0
        async with StripeApi(key.reveal(), self._settings.stripe_api_base) as api:
            for phase in phases:
                try:
                    counts += await _RUN_PHASE[phase](self._pool, api, run)
                    done += 1
                except StripeUnavailableError as error:
                    errors.append(f"{phase}: {error.kind}")
        status = "succeeded" if not errors else "partial" if done else "failed"
        async with self._pool.acquire(timeout=limits.pool_acquire_s) as connection:
            await findings.finish_run(connection, run_id, status, counts, errors)
        if counts["repaired"]:
            self._doorbell.ring()
        telemetry.logger().info("reconciled", run_id=str(run_id), status=status, errors=errors, **counts)
        return counts


_RUN_PHASE = {undelivered.PHASE: undelivered.run_once}
