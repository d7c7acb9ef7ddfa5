"""Finds deliveries by filter, newest first, in steps of bounded cost; never reads a log to its end in one go.

What an index can tell is found over all days at once. Anything else walks back day by day and looks at each
delivery, until the page is full or the search has looked at its share: then it says from where to go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from db.log_ids import Span, below, newest_day, split
from db.pool import type_connection
from db.reads import AUDIT, DeliveryFilter, DeliveryRow, by_index, deliveries_at

looked_at_max = 100_000
"""Deliveries that one search looks at: about a tenth of a second."""
_looked_at_first = 2_000
_looked_at_step = 20_000
"""The first look is short, because a filter usually finds something near."""
candidates_max = 1_000
"""Deliveries that are read whole at a time, where an index tells one of several filters."""
candidates_rounds_max = 10
_refused_first = timedelta(days=1)
"""So far before today reaches the first look for refusals."""
open_events_max = 200
"""With more events in an open state than this, walking back finds some sooner than asking for each."""

_OPEN = frozenset(("pending", "parked", "quarantined"))

type_place = tuple[int, datetime]
"""Id and time of receipt: with both, a delivery is read from its one partition."""


@dataclass(frozen=True, slots=True)
class Found:
    """Deliveries, newest first. `go_on_below`: the search ended early, and goes on below this id."""

    rows: list[DeliveryRow]
    go_on_below: int | None


async def list_deliveries(
    connection: type_connection,
    narrowed: DeliveryFilter,
    span: Span,
    rows_max: int,
    share: int = looked_at_max,
) -> Found:
    """At most so many deliveries of a span that pass the filter, newest first; looks at about `share` of
    them.
    """
    async with connection.transaction(readonly=True):
        now = await by_index(connection)
        indexed = await _index_for(connection, narrowed)
        if indexed is not None:
            return await _by_index(connection, indexed, narrowed, _parts(indexed[0], span, now), rows_max)
        return await _Walk(connection, narrowed, rows_max, share).back(span, now)


async def _index_for(connection: type_connection, narrowed: DeliveryFilter) -> tuple[str, str] | None:
    """The query that finds what passes one of the filters, and that filter's value; None: no index does."""
    if narrowed.event_id is not None:
        return AUDIT.find_by_event, narrowed.event_id
    if narrowed.object_id is not None:
        return AUDIT.find_by_object, narrowed.object_id
    if narrowed.verdict is not None and narrowed.verdict != "ok":
        return AUDIT.find_refused, narrowed.verdict
    if narrowed.state in _OPEN:
        events = await connection.fetchval(AUDIT.count_open, narrowed.state, open_events_max + 1)
        if events <= open_events_max:
            return AUDIT.find_open, narrowed.state
    return None


def _parts(query: str, span: Span, now: datetime) -> list[Span]:
    """Refusals come all the time or in waves: the newest fill a page, and most days need not be opened."""
    if query != AUDIT.find_refused:
        return [span]
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    parts = split(span, today - _refused_first)
    return [part for part in parts if part.received_from < part.received_until] or [span]


async def _by_index(
    connection: type_connection,
    indexed: tuple[str, str],
    narrowed: DeliveryFilter,
    parts: list[Span],
    rows_max: int,
) -> Found:
    rows: list[DeliveryRow] = []
    query, value = indexed
    wanted = rows_max if _filters(narrowed) == 1 else max(rows_max, candidates_max)
    span, *parts = parts
    for _ in range(candidates_rounds_max):
        places = _places(await connection.fetch(query, *span, value, wanted))
        rows += await deliveries_at(connection, places, narrowed)
        if len(rows) >= rows_max:
            return Found(rows[:rows_max], None)
        if len(places) == wanted:
            span = below(span, places[-1][0])
        elif parts:
            span, *parts = parts
        else:
            return Found(rows, None)
    return Found(rows, span.id_until)


def _places(rows: Iterable[Any]) -> list[type_place]:
    return [(row["id"], row["received_at"]) for row in rows]


def _filters(narrowed: DeliveryFilter) -> int:
    return sum(getattr(narrowed, name) is not None for name in DeliveryFilter.__slots__)


class _Walk:
    """One search that looks at each delivery."""

    def __init__(
        self, connection: type_connection, narrowed: DeliveryFilter, rows_max: int, share: int
    ) -> None:
        self._connection = connection
        self._narrowed = narrowed
        self._rows_max = rows_max
        self._rows: list[DeliveryRow] = []
        self._left = share
        self._look = _looked_at_first if _filters(narrowed) else rows_max

    async def back(self, span: Span, now: datetime) -> Found:
        """Search a span from its newest day on."""
        while True:
            day, before = newest_day(span, now)
            left = self._left
            rest = await self._search(day)
            if rest is not None or len(self._rows) == self._rows_max:
                return Found(self._rows, None if rest is None else rest.id_until)
            if before.received_from >= before.received_until:
                return Found(self._rows, None)
            span = before
            if self._left == left:
                # A day without any delivery: over as many more as there are in one go.
                deliveries, newest_id = await self._look_back(before, 1)
                if not deliveries:
                    return Found(self._rows, None)
                span = below(before, newest_id + 1)

    async def _search(self, span: Span) -> Span | None:
        """Search one day; returns what is left of it when the share is used up before its end."""
        while self._left > 0:
            look = min(self._look, self._left)
            self._rows += await self._find(span, look)
            if len(self._rows) == self._rows_max:
                return None
            deliveries, oldest_id = await self._look_back(span, look)
            self._left -= deliveries
            if deliveries < look:
                return None
            self._look = _looked_at_step
            span = below(span, oldest_id)
        return span

    async def _find(self, span: Span, look: int) -> list[DeliveryRow]:
        narrowed = self._narrowed
        found = await self._connection.fetch(
            AUDIT.find_any,
            *span,
            look,
            narrowed.source,
            narrowed.endpoint,
            narrowed.origin,
            narrowed.verdict,
            narrowed.event_type,
            narrowed.ip,
            narrowed.state,
            narrowed.reason,
            self._rows_max - len(self._rows),
        )
        return await deliveries_at(self._connection, _places(found), narrowed)

    async def _look_back(self, span: Span, deliveries_max: int) -> tuple[int, int]:
        """How many of its newest deliveries a span holds, up to so many, and the id of the oldest of them."""
        row = await self._connection.fetchrow(AUDIT.look_back, *span, deliveries_max)
        assert row is not None
        return row["deliveries"], row["oldest_id"]
