"""Reads one object at its PSP, for whoever names it by kind and id, and settles it. Writes no state."""

from __future__ import annotations

from db import reconcile
from db.findings import OBJECT
from psp.reads import ASKED_KINDS, ReadError
from reconciler import orphans, repair, rows, undelivered
from reconciler.run import Run
from runtime import clock, limits


async def run_object(run: Run, named: str) -> None:
    """`named` is kind:id, the id ours or the PSP's. Errors are on record in `run.errors`."""
    kind, _, object_id = named.partition(":")
    if kind not in ASKED_KINDS or not object_id:
        run.errors[f"{OBJECT}: no such kind of object can be asked about"] += 1
        return
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        known = await reconcile.to_read(connection, kind, object_id)
        orphaned = await reconcile.waiting(
            connection, orphans.PHASE, object_id, run.settings.reconcile_refund_orphan_after_s
        )
    for candidate in known:
        if candidate.source in run.sources:
            await rows.look_at(run, OBJECT, candidate)
    for candidate in orphaned:
        if kind == "refund" and candidate.source in run.sources:
            await rows.look_at(run, orphans.PHASE, candidate)
    if not known and not orphaned:
        await _by_its_id_there(run, kind, object_id)
    if undelivered.PHASE in run.order.phases:
        for asked in run.sources.values():
            try:
                await undelivered.run_phase(run, asked)
            except ReadError as error:
                run.errors[f"{undelivered.PHASE}: {asked.source} {error.kind}"] += 1


async def _by_its_id_there(run: Run, kind: str, object_id: str) -> None:
    """We know of no such object: perhaps a PSP does."""
    read_kind = "payment" if kind == "order" else kind
    for asked in run.sources.values():
        await asked.turn()
        run.counts["looked_at"] += 1
        try:
            sighting = await asked.reader.read(read_kind, object_id, clock.now_unix_s())
        except ReadError as error:
            run.errors[f"{OBJECT}: {asked.source} {error.kind}"] += 1
            continue
        if sighting is not None:
            await repair.settle(run, asked, OBJECT, [sighting])
