"""Compares whole lists of objects, the PSP's and ours, for a bounded window: what one side has and the other
has not, what differs, and whether the money of both adds up. Writes no state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from billing.units import shown
from db import reconcile
from db.findings import Finding
from psp.reads import Page, ReadError, Sighting, Span
from reconciler import repair
from reconciler.compare import EXTRA, MISMATCH, MISSED, Difference, Money, compare, money, wanted
from reconciler.run import Asked, Run
from reconciler.streams import walk
from runtime import clock, limits

OBJECT_DIFF = "object_diff"
MONEY = "money_tie_out"
WINDOW_S = 86_400
"""Every run compares what was created in the last day: older objects' changes come with their events."""
_EDGE_S = 300
"""Between when the PSP creates an object and when we hear of it; only what is well inside the window must be
on its list."""
_MOVES_MONEY = ("checkout_session", "payment", "refund", "dispute")


async def run_objects(run: Run, asked: Asked) -> None:
    """Every kind of object, parents first, both ways. Raises ReadError at the end, for all that failed."""
    failed: list[str] = []
    for kind in asked.reader.listed:
        try:
            await _compare_kind(run, asked, kind)
        except ReadError as error:
            failed.append(error.kind)
    if failed:
        raise ReadError(failed[0])


async def _compare_kind(run: Run, asked: Asked, kind: str) -> None:
    seen: set[str] = set()
    begun = ended = False
    async for span, page in walk(
        run,
        asked,
        f"{OBJECT_DIFF}:{kind}",
        lambda _last: run.started_at - WINDOW_S,
        partial(_page, asked, kind),
    ):
        run.counts["compared"] += len(page.items)
        # A walk that goes on where the last run had to stop has not seen what came before.
        begun, ended = begun or span.after is None, page.after is None
        seen.update(sighting.id for sighting in page.items)
        await repair.settle(run, asked, OBJECT_DIFF, page.items)
    if begun and ended:
        await _only_here(run, asked, kind, seen)


async def _page(asked: Asked, kind: str, span: Span) -> Page[Sighting]:
    return await asked.reader.page(kind, span, clock.now_unix_s())


async def _only_here(run: Run, asked: Asked, kind: str, seen: set[str]) -> None:
    """What we have of the window and the PSP has not listed: each is asked for before anything is said."""
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        ids = await reconcile.here_since(
            connection,
            asked.source,
            kind,
            run.started_at - WINDOW_S + _EDGE_S,
            run.started_at - run.grace_s,
            seen,
            run.settings.reconcile_batch_rows,
        )
    for object_id in ids:
        await asked.turn()
        sighting = await asked.reader.read(kind, object_id, clock.now_unix_s())
        if sighting is None:
            detail = f"{kind}: known here, unknown at the PSP"
            await repair.gone(run, asked, OBJECT_DIFF, object_id, detail, EXTRA)
        else:
            await repair.settle(run, asked, OBJECT_DIFF, [sighting])


async def run_money(run: Run, asked: Asked) -> None:
    """Sums of top-ups, refunds and disputes, by the PSP's objects and by our books; names each object that
    makes a difference. Raises ReadError.
    """
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    differ: list[tuple[Money, Difference | None]] = []
    for kind in (kind for kind in _MOVES_MONEY if kind in asked.reader.listed):
        async for _, page in walk(
            run,
            asked,
            f"{MONEY}:{kind}",
            lambda _last: run.started_at - WINDOW_S,
            partial(_page, asked, kind),
        ):
            for one, difference in await _moved(run, asked, page.items):
                sums[one.what, one.unit][0] += one.there
                sums[one.what, one.unit][1] += one.here
                if one.there != one.here:
                    differ.append((one, difference))
    run.counts["money_objects_differ"] += len(differ)
    run.counts["money_sums_agree"] += sum(there == here for there, here in sums.values())
    run.counts["money_sums_differ"] += sum(there != here for there, here in sums.values())
    if differ:
        await _report(run, asked, differ)


async def _moved(run: Run, asked: Asked, page: Sequence[Sighting]) -> list[tuple[Money, Difference | None]]:
    """What each object has moved, and why that may not be the same on both sides yet."""
    told = [(fact, sighting) for sighting in page for _, fact in repair.facts_of(asked, sighting)]
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        here = await reconcile.look(connection, asked.source, wanted(fact for fact, _ in told))
    # The last thing that an object says counts: a dispute that took money and gave it back has moved none.
    last = {
        sighting.id: (one, compare(fact, here, sighting.asked_at))
        for fact, sighting in told
        if (one := money(fact, here)) is not None
    }
    return list(last.values())


async def _report(run: Run, asked: Asked, differ: Sequence[tuple[Money, Difference | None]]) -> None:
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        waiting = await reconcile.open_events_of(connection, asked.source, [one.id for one, _ in differ])
        found = [
            Finding(
                asked.source,
                # What an event will still move, waiting or missing, is late; the rest is a person's matter.
                MISSED if one.id in waiting else difference.kind if difference else MISMATCH,
                one.id,
                f"{one.what}: {shown(one.there, one.unit)} at the PSP, "
                f"{shown(one.here, one.unit)} in our books",
                False,
            )
            for one, difference in differ
        ]
        await repair.record(connection, run, MONEY, found)
