"""The roll-up holds what the log holds: each closed minute once, and anew when an event changes late."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from db import rollup
from db.rollup import Waits

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
