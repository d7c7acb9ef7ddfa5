"""Finds events that the PSP has and our log has not, and repairs by appending them; never writes state.

Two lists are walked: what no endpoint has acknowledged, as far back as the PSP keeps it, and all events since
the last walk. The second also finds what we had acknowledged and lost. It measures, too, how complete we are.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from billing.facts import NotForUs
from db import events, reconcile
from db.findings import Finding
from psp import mappers
from psp.providers import RECEIVERS
from psp.reading import Expected
from psp.reads import ListedEvent
from reconciler import repair
from reconciler.run import Asked, Run
from reconciler.streams import walk
from runtime import limits

PHASE = "undelivered_events"
IDS = "event_ids"
"""The cursor of the walk over all events."""
IN_TIME_S = 60.0
"""An event that had its outcome so many seconds after it happened counts as handled in time."""
_REACH_S = 29 * 86_400
"""How far the first run looks back for what was not acknowledged: Stripe lists events for 30 days."""
_IDS_REACH_S = 86_400
"""How far the first run looks back over all events."""
_OVERLAP_S = 600
"""Looked at again by the next run: a list may lag behind what happened."""


async def run_phase(run: Run, asked: Asked) -> None:
    """Append what the inbox lacks. Raises ReadError; what was appended before stays appended."""

    def since(reach_s: int, last: int | None) -> int:
        return run.started_at - reach_s if last is None else last - _OVERLAP_S

    reader = asked.reader
    async for _, page in walk(
        run, asked, PHASE, lambda last: since(_REACH_S, last), lambda span: reader.events(span, True)
    ):
        await _repair(run, asked, await _with_bodies(run, asked, page.items), "undelivered")
    async for _, page in walk(
        run, asked, IDS, lambda last: since(_IDS_REACH_S, last), lambda span: reader.events(span, False)
    ):
        whole = await _with_bodies(run, asked, page.items)
        concern = [event for event in whole if _concerns_us(asked, event)]
        await _measure(run, asked, concern)
        await _repair(run, asked, concern, "in the PSP's list, not in the log")


async def _with_bodies(run: Run, asked: Asked, page: Sequence[ListedEvent]) -> list[ListedEvent]:
    """The events with their bodies; where a list holds none, those of events that we lack are fetched."""
    bare = [event for event in page if event.body is None]
    if not bare:
        return list(page)
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        known = await reconcile.events_here(connection, asked.source, [event.id for event in bare])
    return [await _whole(run, asked, event, known) for event in page]


async def _whole(run: Run, asked: Asked, event: ListedEvent, known: Container[str]) -> ListedEvent:
    if event.body is not None or event.id in known:
        return event
    await asked.turn()
    return replace(event, body=await asked.reader.event_body(event))


def _concerns_us(asked: Asked, event: ListedEvent) -> bool:
    """Whether its type means anything to us: nobody subscribes an endpoint to the others."""
    mapper = mappers.of_source(asked.source)
    if event.body is None or mapper is None:
        return event.body is None  # the inbox has it
    fact = mapper.read(event.body, Expected()).fact
    return not (isinstance(fact, NotForUs) and fact.reason == "unhandled_type")


async def _measure(run: Run, asked: Asked, page: Sequence[ListedEvent]) -> None:
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        known = await reconcile.events_here(connection, asked.source, [event.id for event in page])
    for event in page:
        run.events_listed[asked.source, event.type] += 1
        _, applied_at = known.get(event.id, ("", None))
        if applied_at is not None and applied_at - event.created <= IN_TIME_S:
            run.events_in_time[asked.source, event.type] += 1


async def _repair(run: Run, asked: Asked, page: Sequence[ListedEvent], why: str) -> None:
    about = [event for event in page if event.body is None or _is_about(asked, event.body, run.order.object)]
    run.counts["listed"] += len(about)
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection, connection.transaction():
        await reconcile.lock_appends(connection)
        known = await reconcile.events_here(connection, asked.source, [event.id for event in about])
        missing = [
            event for event in about if event.id not in known and (asked.source, event.id) not in run.seen
        ]
        run.seen.update((asked.source, event.id) for event in missing)
        repaired = not run.order.dry_run
        await repair.record(
            connection,
            run,
            PHASE,
            [
                Finding(asked.source, "missing_event", event.id, f"{event.type}: {why}", repaired)
                for event in missing
            ],
        )
        if missing and repaired:
            await events.append(
                connection,
                [repair.delivery(run, asked, event.body) for event in missing if event.body is not None],
            )


def _is_about(asked: Asked, body: bytes, wanted: str | None) -> bool:
    if wanted is None:
        return True
    return RECEIVERS[asked.source].read_envelope(body).object_id == wanted.partition(":")[2]
