"""Finds events that the PSP has and our log has not, and repairs by appending them; never writes state.

Two lists are walked: what no endpoint has acknowledged, as far back as the PSP keeps it, and all events since
the last walk. The second also finds what we had acknowledged and lost. It measures, too, how complete we are.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from billing.facts import NotForUs
from db import events, pulse, reconcile
from db.completeness import Measure
from db.findings import Finding
from psp import mappers
from psp.providers import RECEIVERS
from psp.reading import Expected
from psp.reads import ListedEvent, Span
from reconciler import repair
from reconciler.run import Asked, Run
from reconciler.streams import walk
from runtime import limits

PHASE = "undelivered_events"
IDS = "event_ids"
"""The cursor of the walk over all events."""
IN_TIME_S = 60
"""An event that had its outcome so many seconds after it happened counts as handled in time; the grace is
never longer, so a younger one is listed again by the next run, and counted there.
"""
_REACH_S = 29 * 86_400
"""How far the first run looks back for what was not acknowledged: Stripe lists events for 30 days."""
_IDS_REACH_S = 86_400
"""How far the first run looks back over all events."""
_HEARD_WITHIN_S = 7 * 86_400.0
"""A type that nobody has sent us for so long is one that our endpoint is not subscribed to any more."""
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
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        heard = await pulse.heard_types(connection, asked.source, _HEARD_WITHIN_S)
    tally: _Tally | None = None
    async for span, page in walk(
        run, asked, IDS, lambda last: since(_IDS_REACH_S, last), lambda span: reader.events(span, False)
    ):
        whole = await _with_bodies(run, asked, page.items)
        concern = [event for event in whole if _concerns_us(asked, event, heard)]
        tally = tally or _Tally(span, run.grace_s)
        await _measure(run, asked, concern, tally)
        await _repair(run, asked, concern, "in the PSP's list, not in the log")
    if tally is not None:
        # A walk that fails is begun anew, and counts nothing until then.
        run.measures.append(
            Measure(asked.source, tally.since, tally.until, IN_TIME_S, tally.begun, dict(tally.types))
        )


class _Tally:
    """Events by type, how many and how many in time, of a span that no other walk counts: it ends where no
    event can be in time any more that is not, and the next walk's begins there.
    """

    def __init__(self, span: Span, grace_s: int) -> None:
        self.since = span.since + _OVERLAP_S + grace_s - IN_TIME_S
        self.until = span.until + grace_s - IN_TIME_S
        self.begun = span.after is None
        self.types: dict[str, tuple[int, int]] = {}

    def count(self, event: ListedEvent, known: tuple[str, float | None] | None) -> None:
        """`known` is the event's state here and when it had its outcome; None: it is not here. One that is
        older than the span counts only if no walk has seen it before: then it is not here.
        """
        if event.created > self.until or (event.created <= self.since and known is not None):
            return
        applied_at = known[1] if known is not None else None
        in_time = applied_at is not None and applied_at - event.created <= IN_TIME_S
        listed, before = self.types.get(event.type, (0, 0))
        self.types[event.type] = (listed + 1, before + in_time)


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


def _concerns_us(asked: Asked, event: ListedEvent, heard: Container[str]) -> bool:
    """Whether its type is one of those that are sent to us, or else means anything to us: then it should be.
    What an endpoint was once sent must be in the log, though it says nothing.
    """
    if event.type in heard:
        return True
    mapper = mappers.of_source(asked.source)
    if event.body is None or mapper is None:
        return event.body is None  # the inbox has it
    fact = mapper.read(event.body, Expected()).fact
    return not (isinstance(fact, NotForUs) and fact.reason == "unhandled_type")


async def _measure(run: Run, asked: Asked, page: Sequence[ListedEvent], tally: _Tally) -> None:
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        known = await reconcile.events_here(connection, asked.source, [event.id for event in page])
    for event in page:
        tally.count(event, known.get(event.id))


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
