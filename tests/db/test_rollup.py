"""The roll-up holds what the log holds: each closed minute once, and anew when an event changes late."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from db import rollup
from db.log_ids import span_of_time
from db.reads import by_index
from db.rollup import ROLLUP, Waits
from runtime import limits

FILL = """
WITH made AS (
    SELECT n, now() - interval '2 hours' + n * interval '119 minutes' / $1 AS at,
           CASE WHEN n % 5 = 0 THEN 'bad_sig' ELSE 'ok' END AS verdict
    FROM generate_series(1, $1::integer) n
), logged AS (
    INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, event_id, body, body_bytes,
                             body_sha256, headers, request_id, requests, batch_ordinal)
    SELECT ((extract(epoch FROM at) * 1000)::bigint << 20) | n, at, 'stripe', 'stripe', verdict,
           'evt_' || n % 200, '', 0, '', '[]', 'r', CASE verdict WHEN 'ok' THEN 1 ELSE 1 + n % 3 END, 0
    FROM made
    RETURNING id, received_at, source, event_id, verdict
)
INSERT INTO webhook_event (source, event_id, log_id, received_at, body_sha256, state, reason, applied_at)
SELECT DISTINCT ON (event_id) source, event_id, id, received_at, '',
       CASE WHEN id % 10 = 0 THEN 'quarantined' ELSE 'ignored' END, 'x',
       CASE WHEN id % 10 > 0 THEN received_at + id % 1000 * interval '1 ms' END
FROM logged WHERE verdict = 'ok' ORDER BY event_id, id
"""
BEGIN = "UPDATE rollup_progress SET rolled_until = date_trunc('minute', now() - interval '2 hours')"
OF_LOG = """
SELECT date_bin(make_interval(secs => $3), l.received_at, timestamptz '2000-01-01 00:00:00Z') AS bucket,
       l.source, l.verdict, e.state, sum(l.requests)::bigint AS deliveries
FROM webhook_log l
LEFT JOIN webhook_event e ON l.verdict = 'ok' AND e.source = l.source AND e.event_id = l.event_id
WHERE l.received_at >= $1 AND l.received_at < $2 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
WAITS_OF_LOG = """
SELECT extract(epoch FROM applied_at - received_at)::double precision FROM webhook_event
WHERE received_at >= $1 AND received_at < $2 AND applied_at IS NOT NULL ORDER BY 1
"""

pytestmark = pytest.mark.books_left_broken("events that no worker has judged")


@pytest.fixture
async def log(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Two hours of deliveries up to a minute ago, none of them counted."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(FILL, 600)
    await connection.execute(BEGIN)
    yield connection
    await connection.close()


async def rolled(log: asyncpg.Connection) -> None:
    """All steps that there are."""
    while await rollup.step(log):
        pass


async def assert_equals_the_log(log: asyncpg.Connection, bucket_s: float = 300.0) -> None:
    """Counts and waits of a span that begins and ends within minutes."""
    until = datetime.now(UTC)
    since = until - timedelta(minutes=random.Random(7).uniform(90, 119))
    expected = [tuple(row) for row in await log.fetch(OF_LOG, since, until, bucket_s)]
    waited = [row[0] for row in await log.fetch(WAITS_OF_LOG, since, until)]

    counts, waits = await rollup.count(log, since, until, bucket_s)

    found = [(each.bucket, each.source, each.verdict, each.state, each.deliveries) for each in counts]
    assert expected == found
    assert len(waited) == waits.events
    median = waits.quantile_s(0.5)
    assert median is not None
    assert waited[(len(waited) - 1) // 2] == pytest.approx(median, rel=rollup.wait_accuracy)


async def test_counts_are_those_of_the_log(log: asyncpg.Connection) -> None:
    """Before anything was counted, half way, and at the end; in buckets of minutes and of seconds."""
    await assert_equals_the_log(log)
    await log.fetchval("SELECT rollup_step('30 minutes', 100000)")
    await log.fetchval("SELECT rollup_step('30 minutes', 100000)")
    await assert_equals_the_log(log)
    await rolled(log)
    await assert_equals_the_log(log)
    await assert_equals_the_log(log, 45.0)

    counted = await log.fetchval("SELECT count(*) FROM delivery_minute")
    assert counted > 100


async def test_the_view_counts_the_whole_log(log: asyncpg.Connection) -> None:
    """By minute, whether a minute has been counted or not."""
    expected = await log.fetchval("SELECT sum(requests) FROM webhook_log")
    view = "SELECT sum(deliveries) FROM audit.throughput_minute"
    before = await log.fetchval(view)
    await rollup.step(log)
    await rollup.step(log)
    between = await log.fetchval(view)
    await rolled(log)

    assert [expected] * 3 == [before, between, await log.fetchval(view)]


async def test_a_late_change_is_counted_anew(log: asyncpg.Connection) -> None:
    """In each minute that a delivery of the event came in, redeliveries included."""
    await rolled(log)
    await log.execute(
        "UPDATE webhook_event SET state = 'ignored', applied_at = now() WHERE state = 'quarantined'"
    )
    await rolled(log)

    await assert_equals_the_log(log)
    assert await log.fetchval("SELECT count(*) FROM rollup_stale") == 0


async def test_steps_are_bounded_and_skip_silence(log: asyncpg.Connection) -> None:
    """One step counts its rows, a minute at least; a day without a delivery is one step."""
    await log.execute("UPDATE rollup_progress SET rolled_until = rolled_until - interval '1 day'")
    for _ in range(2):
        await log.fetchval("SELECT rollup_step('1 hour', 20)")
    await log.fetchval("SELECT rollup_step('1 hour', 20)")

    total = await log.fetchval("SELECT sum(deliveries) FROM delivery_minute")
    assert 0 < total <= 60


async def test_nothing_is_counted_before_its_writers_have_ended(log: asyncpg.Connection, dsn: str) -> None:
    """A transaction that was begun before the span was announced holds it up."""
    writer = await asyncpg.connect(dsn)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("SELECT pg_current_xact_id()")
    announced = await rollup.step(log)
    held_up = await rollup.step(log)
    counted = await log.fetchval("SELECT count(*) FROM delivery_minute")
    await transaction.rollback()
    await writer.close()
    await rolled(log)

    assert (announced, held_up, counted) == (True, False, 0)
    await assert_equals_the_log(log)


async def test_one_worker_counts_at_a_time(log: asyncpg.Connection, dsn: str) -> None:
    """The other goes on with its own work."""
    other = await asyncpg.connect(dsn)
    async with other.transaction():
        await other.fetchval("SELECT rollup_step('1 hour', 1000)")

        assert await rollup.step(log) is False
    await other.close()


async def test_what_retention_takes_is_forgotten(log: asyncpg.Connection) -> None:
    """Minutes go with the deliveries that they count."""
    await rolled(log)
    await rollup.forget(log, datetime.now(UTC) - timedelta(minutes=105))

    oldest = min(
        await log.fetchval("SELECT min(minute) FROM delivery_minute"),
        await log.fetchval("SELECT min(minute) FROM wait_minute"),
    )
    assert oldest >= datetime.now(UTC) - timedelta(minutes=106)


def test_quantiles_of_nothing_are_nothing() -> None:
    """And of one event its own wait."""
    assert Waits({}).quantile_s(0.5) is None
    assert Waits({0: 1}).quantile_s(0.99) == pytest.approx(0.00005)


IN_ORDER = """
WITH made AS (
    SELECT n, now() - interval '2 hours' + n * interval '119 minutes' / 6000 AS at,
           CASE WHEN n % 25 = 0 THEN 'bad_sig' ELSE 'ok' END AS verdict,
           CASE WHEN n % 50 = 7 THEN n % 400 + 1  -- an event of the first minutes once more
                WHEN n % 50 = 8 THEN n - 5 ELSE n END AS event
    FROM generate_series(1, 6000) n
), logged AS (
    INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, event_id, body, body_bytes,
                             body_sha256, headers, request_id, batch_ordinal)
    SELECT ((extract(epoch FROM at) * 1000)::bigint << 20) | n, at, 'stripe', 'stripe', verdict,
           'evt_' || event, '', 0, '', '[]', 'r', 0
    FROM made
    RETURNING id, received_at, source, event_id, verdict
)
INSERT INTO webhook_event (source, event_id, log_id, received_at, body_sha256, state, reason, applied_at)
SELECT source, event_id, id, received_at, '',
       CASE WHEN id % 10 = 0 THEN 'quarantined' WHEN id % 3 = 0 THEN 'applied' ELSE 'ignored' END, 'x',
       CASE WHEN id % 10 > 0 THEN received_at + id % 1000 * interval '1 ms' END
FROM (SELECT DISTINCT ON (event_id) * FROM logged WHERE verdict = 'ok' ORDER BY event_id, id) firsts
ORDER BY id
"""
"""As receivers write them: the inbox lies in the order of receipt."""
REPEATED = """
SELECT count(*) FROM webhook_log l LEFT JOIN webhook_event e ON e.log_id = l.id
WHERE l.verdict = 'ok' AND l.received_at >= $1 AND e.log_id IS NULL
"""
BY_KEY = """
SELECT idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'webhook_event'
"""


@pytest.fixture
async def in_order(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Two hours of deliveries up to a minute ago, all but the last of them counted."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(IN_ORDER)
    await connection.execute(BEGIN)
    await rolled(connection)
    await connection.execute("UPDATE rollup_progress SET rolled_until = rolled_until - interval '20 minutes'")
    yield connection
    await connection.close()


async def looked_up(log: asyncpg.Connection, minutes: int) -> tuple[int, int]:
    """How many deliveries of the last so many minutes repeat an event; how many events were looked up."""
    until = datetime.now(UTC)
    since = until - timedelta(minutes=minutes)
    repeated = await log.fetchval(REPEATED, since)
    async with log.transaction(readonly=True):
        await by_index(log)
        await log.execute(ROLLUP.plan_side_by_side)
        before = await log.fetchval(BY_KEY)
        await log.fetch(
            ROLLUP.count_deliveries,
            60.0,
            *span_of_time(since, until, None),
            limits.counted_side_by_side_rows_max,
        )
        return repeated, await log.fetchval(BY_KEY) - before


async def test_only_repetitions_are_looked_up_by_key(in_order: asyncpg.Connection) -> None:
    """The first delivery of an event finds it among those that came with it; an older one it is asked for."""
    repeated, asked = await looked_up(in_order, 30)

    assert repeated >= 30
    # Where a page holds both, the first few of the span may be asked for as well.
    assert repeated <= asked <= repeated + 5
    await assert_equals_the_log(in_order)
    await assert_equals_the_log(in_order, 45.0)


async def test_a_repetition_tells_what_its_old_event_has_become(in_order: asyncpg.Connection) -> None:
    """Although that lies hours away from the delivery, and has changed since."""
    changed = await in_order.execute(
        "UPDATE webhook_event SET state = 'superseded' WHERE event_id IN "
        "(SELECT event_id FROM webhook_log WHERE received_at > now() - interval '10 minutes') "
        "AND received_at < now() - interval '100 minutes'"
    )
    assert int(changed.split()[1]) >= 5
    await rolled(in_order)

    counts, _ = await rollup.count(
        in_order, datetime.now(UTC) - timedelta(minutes=10), datetime.now(UTC), 60.0
    )

    assert sum(each.deliveries for each in counts if each.state == "superseded") >= 5
    await assert_equals_the_log(in_order)


async def test_events_that_have_moved_are_counted_as_before(in_order: asyncpg.Connection) -> None:
    """A change that finds no room on its page puts the event on another: old ones among the youngest, and
    young ones behind them.
    """
    lie = "SELECT event_id, (ctid::text::point)[0]::bigint FROM webhook_event"
    before = {row[0]: row[1] for row in await in_order.fetch(lie)}
    for hours in ("110 minutes", "5 minutes"):
        await in_order.execute(
            "UPDATE webhook_event SET state = 'superseded', last_error = repeat('x', 1500) "
            "WHERE received_at BETWEEN now() - $1::text::interval - interval '5 minutes' "
            "AND now() - $1::text::interval",
            hours,
        )
    await rolled(in_order)
    after = {row[0]: row[1] for row in await in_order.fetch(lie)}

    assert sum(before[name] != after[name] for name in before) >= 200
    await assert_equals_the_log(in_order)


async def test_an_inbox_in_no_order_is_counted_as_well(in_order: asyncpg.Connection) -> None:
    """Whoever had to write it anew: then all are looked up by their key."""
    await in_order.execute("CREATE INDEX shuffled ON webhook_event (md5(event_id))")
    await in_order.execute("CLUSTER webhook_event USING shuffled")

    repeated, asked = await looked_up(in_order, 30)

    assert asked > repeated + 100
    await assert_equals_the_log(in_order)


async def test_the_pages_of_a_time_are_found(in_order: asyncpg.Connection) -> None:
    """Of the first event, of one in the middle, and of one that is yet to come."""
    events = await in_order.fetch(
        "SELECT log_id, (ctid::text::point)[0]::bigint AS page FROM webhook_event ORDER BY log_id"
    )
    last = events[-1]["page"]
    assert last > 50
    found = "SELECT (inbox_page($1, 0)::text::point)[0]::bigint"
    for event in events[:: len(events) // 20]:
        page = await in_order.fetchval(found, event["log_id"])
        assert page <= event["page"] <= page + 1, event

    assert await in_order.fetchval(found, events[-1]["log_id"] + 1) >= last - 1
    assert await in_order.fetchval(found, 2**63 - 1) == last
    assert await in_order.fetchval("SELECT inbox_page(0, 0)") == (0, 0)
