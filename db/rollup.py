"""Counts over the log by the minute: has them counted, and reads them; never a count that grows with the
log.

A closed minute is counted once, and anew when one of its events changes late; until then, one sweep at most,
its states are those of before. What is younger than the last counted minute is read from the log.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from db.log_ids import span_of_time
from db.pool import type_connection
from db.queries import Queries
from db.reads import by_index
from runtime import limits

ROLLUP = Queries("rollup.sql")

_MINUTE = timedelta(minutes=1)
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""Buckets lie on whole multiples since then."""
_CLASS_GROWS = 1.04
_CLASS_FIRST_S = 0.0001
"""The classes of waits are those of `wait_class` in `sql/schema/0035_rollup.sql`."""
wait_accuracy = 0.02
"""How far a quantile of waits can be off: the middle of its class stands for all that is in it."""


@dataclass(frozen=True, slots=True)
class DeliveryCount:
    """Deliveries of one bucket of time, source, verdict and event state (None: refused)."""

    bucket: datetime
    source: str
    verdict: str
    state: str | None
    deliveries: int


@dataclass(frozen=True, slots=True)
class Waits:
    """How many events waited how long for their outcome, by class of wait."""

    by_class: Mapping[int, int]

    @property
    def events(self) -> int:
        """How many had an outcome."""
        return sum(self.by_class.values())

    def quantile_s(self, share: float) -> float | None:
        """Seconds within which this share of the events had their outcome, to `wait_accuracy`; None of none.

        Pure.
        """
        below, wanted = 0, math.ceil(self.events * share)
        for number in sorted(self.by_class):
            below += self.by_class[number]
            if below >= max(wanted, 1):
                return _middle_s(number)
        return None


def _middle_s(number: int) -> float:
    return _CLASS_FIRST_S * _CLASS_GROWS**number * 2 / (1 + _CLASS_GROWS) if number else _CLASS_FIRST_S / 2


async def step(connection: type_connection) -> bool:
    """Count what has closed since the last step; returns whether there was anything. Safe on any number of
    workers.
    """
    return bool(await connection.fetchval(ROLLUP.rollup_step, limits.rollup_span_s, limits.rollup_rows_max))


async def forget(connection: type_connection, before: datetime) -> None:
    """Forget the minutes before this time."""
    await connection.execute(ROLLUP.forget_minutes, before)


@dataclass(frozen=True, slots=True)
class Counts:
    """What came in a span: deliveries in order of time, and the waits of the events that had an outcome, by
    bucket of their first delivery.
    """

    deliveries: list[DeliveryCount]
    waits: dict[datetime, Waits]

    @property
    def all_waits(self) -> Waits:
        """Those of the whole span."""
        return Waits(sum((Counter(waits.by_class) for waits in self.waits.values()), Counter()))


async def counted(connection: type_connection, since: datetime, until: datetime, bucket_s: float) -> Counts:
    """Count a span in buckets of these seconds; call it in a snapshot."""
    await by_index(connection)
    rolled_until = await connection.fetchval(ROLLUP.rolled_until)
    first = _BEGINNING - (_BEGINNING - since) // _MINUTE * _MINUTE
    last = min(_BEGINNING + (until - _BEGINNING) // _MINUTE * _MINUTE, rolled_until)
    if bucket_s % 60 or last <= first:
        first = last = since
    deliveries: Counter[tuple[datetime, str, str, str | None]] = Counter()
    waits: dict[datetime, dict[int, int]] = {}
    rows = await connection.fetch(ROLLUP.count_minutes, bucket_s, first, last)
    rows += await _of_log(connection, bucket_s, [(since, first), (last, until)])
    for bucket, source, verdict, state, wait, of_log, events in rows:
        if source is not None:
            deliveries[bucket, source, verdict, state] += of_log
        if wait is not None:
            by_class = waits.setdefault(bucket, {})
            by_class[wait] = by_class.get(wait, 0) + events
    in_order = sorted(deliveries.items(), key=lambda each: (*each[0][:3], each[0][3] or ""))
    return Counts(
        [DeliveryCount(*key, number) for key, number in in_order],
        {bucket: Waits(by_class) for bucket, by_class in waits.items()},
    )


async def _of_log(
    connection: type_connection, bucket_s: float, edges: Sequence[tuple[datetime, datetime]]
) -> list[Any]:
    spans = [span_of_time(since, until, None) for since, until in edges if since < until]
    if not spans:
        return []
    await connection.execute(ROLLUP.plan_side_by_side)
    rows = []
    for span in spans:
        rows += await connection.fetch(
            ROLLUP.count_deliveries, bucket_s, *span, limits.counted_side_by_side_rows_max
        )
    await connection.execute(ROLLUP.plan_by_key_again)
    return rows


async def count(
    connection: type_connection, since: datetime, until: datetime, bucket_s: float
) -> tuple[list[DeliveryCount], Waits]:
    """Deliveries of a span by bucket, and how fast its events had their outcome."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = await counted(connection, since, until, bucket_s)
    return found.deliveries, found.all_waits


async def longest_pending(
    connection: type_connection, since: datetime, until: datetime, bucket_s: float
) -> dict[datetime, float]:
    """Seconds that the oldest pending event of each bucket of receipt has waited."""
    rows = await connection.fetch(ROLLUP.pending_by_bucket, bucket_s, *span_of_time(since, until, None))
    return {row["bucket"]: row["longest_s"] for row in rows}
