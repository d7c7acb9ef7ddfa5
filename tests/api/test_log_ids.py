"""Ids and times of the log: the ranges that prune days must never lose a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from api import filters
from db.log_ids import ID_MAX, SEQUENCE_BITS, span_of_id, span_of_time, split
from tests.api.seed import Seed, refused

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
times = st.integers(10**12, 7 * 10**15).map(lambda us: _EPOCH + timedelta(microseconds=us))
sequences = st.integers(0, (1 << SEQUENCE_BITS) - 1)


def id_of(at: datetime, sequence: int) -> int:
    """The id the database makes: milliseconds, rounded half away from zero, above the sequence."""
    microseconds = (at - _EPOCH) // timedelta(microseconds=1)
    return ((microseconds + 500) // 1000 << SEQUENCE_BITS) | sequence


@given(times, sequences)
def test_span_of_an_id_holds_its_row(at: datetime, sequence: int) -> None:
    """The row of an id lies in the id's span, and the span is some milliseconds long."""
    log_id = id_of(at, sequence)
    span = span_of_id(log_id)

    assert span.id_from <= log_id < span.id_until
    assert span.received_from <= at < span.received_until
    assert span.received_until - span.received_from < timedelta(milliseconds=10)


@given(times, times, times, sequences)
def test_span_of_time_loses_no_row(at: datetime, since: datetime, until: datetime, sequence: int) -> None:
    """Every row between the two times lies in the id range as well."""
    log_id = id_of(at, sequence)
    span = span_of_time(since, until, None)

    if since <= at < until:
        assert span.id_from <= log_id < span.id_until
        assert span.received_from <= at < span.received_until


@given(times, sequences, times, sequences)
def test_span_below_a_cursor_loses_no_row(at: datetime, sequence: int, later: datetime, other: int) -> None:
    """Every row below a cursor's id lies in the time range that the cursor implies."""
    log_id, cursor = id_of(at, sequence), id_of(later, other)
    span = span_of_time(None, None, cursor)

    assert (log_id < span.id_until) == (log_id < cursor)
    if log_id < cursor:
        assert span.received_from <= at < span.received_until


@given(times, sequences, times, st.integers(-3, 3))
def test_a_split_span_holds_each_row_once(at: datetime, sequence: int, around: datetime, off: int) -> None:
    """And in order: what is in the later part has the higher id. Looked at closely around the split."""
    around = around.replace(microsecond=around.microsecond // 1000 * 1000)
    for received_at in (at, around + timedelta(microseconds=off * 499)):
        log_id = id_of(received_at, sequence)
        later, rest = split(span_of_time(None, None, None), around)
        holding = [
            part
            for part in (later, rest)
            if part.id_from <= log_id < part.id_until
            and part.received_from <= received_at < part.received_until
        ]

        assert len(holding) == 1
        assert rest.id_until == later.id_from


@given(st.integers(1, ID_MAX))
def test_cursor_round_trip(before_id: int) -> None:
    """A cursor reads back as the place it was made for."""
    assert filters.decode_cursor(filters.encode_cursor(before_id)) == before_id


async def test_database_makes_such_ids(seed: Seed) -> None:
    """What the database makes of its clock lies in the span of the id it made."""
    ids = await seed.append(*(refused(b"{}") for _ in range(20)))

    for log_id in ids:
        at = await seed.value("SELECT received_at FROM webhook_log WHERE id = $1", log_id)
        span = span_of_id(log_id)
        assert span.received_from <= at < span.received_until
        assert log_id >> SEQUENCE_BITS == id_of(at, 0) >> SEQUENCE_BITS
