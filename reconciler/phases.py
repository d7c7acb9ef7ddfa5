"""The phases of a run, in their order: one table. What each looks at stands in the view
`reconcile_candidate`, how an object is read in `psp/<name>/reads.py`, what counts as a difference in
`compare`, and how it is mended in `repair`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from db.findings import PHASES
from psp.reads import ReadError
from reconciler import awaited, diff, orphans, rows, undelivered
from reconciler.run import Asked, Run
from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase begins at rows of ours that have waited for `after` seconds, or at lists of the PSP's."""

    name: str
    after: Callable[[Settings], float] | None = None
    lists: Callable[[Run, Asked], Awaitable[None]] | None = None


TABLE = {
    phase.name: phase
    for phase in (
        Phase(undelivered.PHASE, lists=undelivered.run_phase),
        Phase("generation_failures", after=lambda _settings: 0.0),
        Phase(
            awaited.PHASE,
            after=lambda settings: min(awaited.AFTER_S, settings.reconcile_interval_s),
        ),
        Phase("stuck_orders", after=lambda settings: settings.reconcile_order_stuck_after_s),
        Phase("stuck_refunds", after=lambda settings: settings.reconcile_refund_stuck_after_s),
        Phase(orphans.PHASE, after=lambda settings: settings.reconcile_refund_orphan_after_s),
        Phase("stuck_subscriptions", after=lambda settings: settings.reconcile_subscription_stuck_after_s),
        Phase("stuck_checkout_sessions", after=lambda settings: settings.reconcile_checkout_stuck_after_s),
        Phase(diff.OBJECT_DIFF, lists=diff.run_objects),
        Phase(diff.MONEY, lists=diff.run_money),
    )
}
assert tuple(TABLE) == PHASES, "what may be asked for is what can be run"


async def run_phase(run: Run, name: str) -> None:
    """One turn of a phase; what the PSP failed is on record in `run.errors`, and what was mended stays."""
    phase = TABLE[name]
    if phase.after is not None:
        await rows.run_phase(run, name, phase.after(run.settings))
        return
    assert phase.lists is not None
    for asked in run.sources.values():
        try:
            await phase.lists(run, asked)
        except ReadError as error:
            run.errors[f"{name}: {asked.source} {error.kind}"] += 1
