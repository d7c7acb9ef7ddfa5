"""Phases that begin at rows of ours: take those that have waited too long, ask the PSP about each, and settle
what it says. A PSP that does not answer leaves the row as it was.
"""

from __future__ import annotations

import asyncio

from db import reconcile
from db.reconcile import Attempt, Candidate
from psp.reads import ReadError
from reconciler import awaited, orphans, repair
from reconciler.compare import DELETED
from reconciler.run import Asked, Run
from runtime import clock, limits, telemetry

CALLS_AT_ONCE = 8
"""Rows of one phase that are asked about at the same time: enough to hide a second's latency."""
LEASE_S = 120.0
"""A killed reconciler's rows are another's after this; longer than a batch of calls that all time out."""
BACKOFF_FIRST_S = 60.0
BACKOFF_MAX_S = 86_400.0
"""Pauses double from the first to the cap: what waits for a person is asked about once a day."""
AWAY = "psp_away"
"""Stands with rows that were not asked about, because the PSP had failed all those before them."""
_SPECIAL = {orphans.PHASE: orphans.settle, awaited.PHASE: awaited.settle}
"""Phases that one read of one object does not settle."""


async def run_phase(run: Run, phase: str, after_s: float) -> None:
    """One turn of a phase: at most RECONCILE_BATCH_ROWS rows that have waited for `after_s` seconds."""
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        candidates = await reconcile.claim(
            connection,
            phase,
            list(run.sources),
            after_s,
            run.settings.reconcile_batch_rows,
            lease_s=LEASE_S,
            hurry=run.hurry,
            dry_run=run.order.dry_run,
        )
    attempts: list[Attempt] = []
    while candidates:
        part, candidates = candidates[:CALLS_AT_ONCE], candidates[CALLS_AT_ONCE:]
        done = await asyncio.gather(*(look_at(run, phase, candidate) for candidate in part))
        attempts += done
        if len(part) == CALLS_AT_ONCE and all(attempt.error for attempt in done):
            attempts += [Attempt(left.source, left.object_id, AWAY) for left in candidates]
            break
    if not run.order.dry_run:
        async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
            await reconcile.settle(
                connection, phase, attempts, backoff_first_s=BACKOFF_FIRST_S, backoff_max_s=BACKOFF_MAX_S
            )


async def look_at(run: Run, phase: str, candidate: Candidate) -> Attempt:
    """Ask about one row and settle the answer; an error of the PSP is on record, not raised."""
    asked = run.sources[candidate.source]
    run.counts["looked_at"] += 1
    try:
        special = _SPECIAL.get(phase)
        if special is not None:
            await special(run, asked, candidate)
        closed = special is None and await _settle(run, asked, phase, candidate)
    except ReadError as error:
        run.errors[f"{phase}: {candidate.source} {error.kind}"] += 1
        return Attempt(candidate.source, candidate.object_id, error.kind)
    return Attempt(candidate.source, candidate.object_id, None, closed)


async def _settle(run: Run, asked: Asked, phase: str, candidate: Candidate) -> bool:
    """Whether the matter is closed for good."""
    kind = candidate.read_kind or asked.reader.kind_of(candidate.read_id)
    if kind is None:
        return True  # an object of a kind that means nothing to us
    await asked.turn()
    sighting = await asked.reader.read(kind, candidate.read_id, clock.now_unix_s())
    if sighting is None:
        detail = f"{kind} {candidate.read_id} is not at the PSP"
        await repair.gone(run, asked, phase, candidate.object_id, detail, DELETED)
        return candidate.read_kind is None
    about = f"; waiting for {candidate.waited_s / 60:.0f} min" if candidate.waited_s else ""
    appended = await repair.settle(run, asked, phase, [sighting], about)
    telemetry.logger().info(
        "looked_at", phase=phase, source=asked.source, object_id=candidate.object_id, status=sighting.status,
        waited_s=round(candidate.waited_s), appended=appended,
    )  # fmt: skip
    # A named object is told about once; a row of ours is asked about until it has moved on.
    return candidate.read_kind is None
