"""How ids of the log run with time: arithmetic that lets a look-up by id or time read few partitions. No I/O.

An id holds the milliseconds of the receipt above 20 bits of sequence (`sql/schema/0001_log_and_inbox.sql`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

SEQUENCE_BITS = 20
ID_MAX = 2**63 - 1
"""The largest bigint."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_US = timedelta(microseconds=1)


class Span(NamedTuple):
    """Rows with `id_from <= id < id_until` and `received_from <= received_at < received_until`."""

    id_from: int
    id_until: int
    received_from: datetime
    received_until: datetime


def span_of_id(log_id: int) -> Span:
    """The span that holds exactly the row of this id. The id's milliseconds are the receipt's, rounded."""
    at = _time_of(log_id)
    return Span(log_id, min(log_id + 1, ID_MAX), at - _MS, at + 2 * _MS)


def span_of_ids(first: int, last: int) -> Span:
    """The span that holds the rows of all ids from `first` to `last`."""
    return Span(
        first, min(last + 1, ID_MAX), span_of_id(first).received_from, span_of_id(last).received_until
    )


def span_of_time(since: datetime | None, until: datetime | None, before_id: int | None) -> Span:
    """The span of receipts from `since` to before `until`, with ids below `before_id`; None: no bound."""
    id_from, id_until = 0, ID_MAX
    received_from, received_until = _EPOCH, _END_OF_TIME
    if since is not None:
        received_from = since
        id_from = _first_id_at(since - _MS)
    if until is not None:
        received_until = until
        id_until = _first_id_at(until + 2 * _MS)
    if before_id is not None:
        id_until = min(id_until, before_id)
        received_until = min(received_until, _time_of(before_id) + 2 * _MS)
    return Span(id_from, id_until, received_from, received_until)


def below(span: Span, before_id: int) -> Span:
    """The part of a span whose ids are below this one."""
    return Span(
        span.id_from,
        min(span.id_until, before_id),
        span.received_from,
        min(span.received_until, _time_of(before_id) + 2 * _MS),
    )


def split(span: Span, at: datetime) -> tuple[Span, Span]:
    """The part of a span that came after this whole millisecond, and the rest: each id is in one of them."""
    first = _first_id_at(at + _MS)
    later = span._replace(id_from=max(span.id_from, first), received_from=max(span.received_from, at))
    return later, below(span, first)


def newest_day(span: Span, now: datetime) -> tuple[Span, Span]:
    """The part of a span on its newest day (UTC) up to `now`, with anything later, and the rest before it."""
    last = max(min(span.received_until - _US, now), _EPOCH)
    midnight = last.replace(hour=0, minute=0, second=0, microsecond=0)
    if midnight <= span.received_from:
        return span, span._replace(received_until=span.received_from)
    return (
        span._replace(id_from=max(span.id_from, _first_id_at(midnight - _MS)), received_from=midnight),
        span._replace(id_until=min(span.id_until, _first_id_at(midnight + 2 * _MS)), received_until=midnight),
    )


def _time_of(log_id: int) -> datetime:
    return _EPOCH + (log_id >> SEQUENCE_BITS) * _MS


def _first_id_at(at: datetime) -> int:
    return max(0, min(((at - _EPOCH) // _MS) << SEQUENCE_BITS, ID_MAX))
