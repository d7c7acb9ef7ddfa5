"""The search for deliveries finds what a plain look through the whole log finds, however small its share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from db import search
from db.log_ids import span_of_time
from db.reads import DeliveryFilter
from tests.api.seed import Seed

ROWS = 400
FILL = """
WITH made AS (
    SELECT n, now() - interval '1 minute' - n * interval '7 days' / $1 * (1 + n % 3) AS at,
           CASE WHEN n % 4 = 0 THEN 'bad_sig' ELSE 'ok' END AS verdict
    FROM generate_series(1, $1::integer) n
), logged AS (
    INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, event_id, event_type, object_id,
                             body, body_bytes, body_sha256, headers, source_ip, request_id, batch_ordinal)
    SELECT ((extract(epoch FROM at) * 1000)::bigint << 20) | n, at, 'stripe', 'stripe', verdict,
           'evt_' || n % 150, 'type.' || n % 7, 'obj_' || n % 90, '', 0, '', '[]',
           ('192.0.2.' || n % 11)::inet, 'r', 0
    FROM made
    RETURNING id, received_at, source, event_id, verdict
)
INSERT INTO webhook_event (source, event_id, log_id, received_at, body_sha256, state, reason)
SELECT DISTINCT ON (event_id) source, event_id, id, received_at, '',
       (ARRAY['ignored', 'superseded', 'quarantined', 'pending'])[id % 40 / 10 + 1], 'reason_' || id % 3
FROM logged WHERE verdict = 'ok' ORDER BY event_id, id
"""
EVERY_ROW = """
SELECT l.id FROM webhook_log l
LEFT JOIN webhook_event e ON l.verdict = 'ok' AND e.source = l.source AND e.event_id = l.event_id
WHERE {} ORDER BY l.id DESC
"""

pytestmark = pytest.mark.books_left_broken("events that no worker has judged")


@pytest.fixture
async def log(seed: Seed) -> asyncpg.Connection:
    """Some weeks with silent days in between; events that came twice, and forged claims of their ids."""
    await seed.connection.execute(FILL, ROWS)
    await seed.connection.execute("SELECT webhook_log_make_partitions(1)")
    return seed.connection


async def found(
    log: asyncpg.Connection, narrowed: dict[str, Any], page: int, share: int, since: datetime | None = None
) -> list[int]:
    """The ids of all pages."""
    ids: list[int] = []
    before: int | None = None
    while True:
        span = span_of_time(since, None, before)
        answer = await search.list_deliveries(log, DeliveryFilter(**narrowed), span, page, share)
        assert len(answer.rows) <= page
        ids += [row.id for row in answer.rows]
        before = answer.rows[-1].id if len(answer.rows) == page else answer.go_on_below
        if before is None:
            return ids


@pytest.mark.parametrize("share", [30, 100_000])
@pytest.mark.parametrize(
    ("narrowed", "condition"),
    [
        ({}, "true"),
        ({"event_type": "type.3"}, "l.event_type = 'type.3'"),
        ({"event_type": "type.99"}, "false"),
        ({"verdict": "ok", "ip": "192.0.2.4/30"}, "l.verdict = 'ok' AND l.source_ip <<= '192.0.2.4/30'"),
        ({"verdict": "bad_sig"}, "l.verdict = 'bad_sig'"),
        ({"verdict": "stale_ts"}, "false"),
        ({"event_id": "evt_17"}, "l.event_id = 'evt_17'"),
        ({"event_id": "evt_17", "verdict": "ok"}, "l.event_id = 'evt_17' AND l.verdict = 'ok'"),
        ({"object_id": "obj_8"}, "l.object_id = 'obj_8'"),
        ({"object_id": "obj_8", "event_type": "type.3"}, "l.object_id = 'obj_8' AND l.event_type = 'type.3'"),
        ({"state": "superseded"}, "e.state = 'superseded'"),
        ({"state": "quarantined"}, "e.state = 'quarantined'"),
        ({"state": "pending", "event_type": "type.2"}, "e.state = 'pending' AND l.event_type = 'type.2'"),
        ({"reason": "reason_1"}, "e.reason = 'reason_1'"),
    ],
)
async def test_pages_hold_what_the_log_holds(
    log: asyncpg.Connection, narrowed: dict[str, Any], condition: str, share: int
) -> None:
    """Each delivery once, newest first, over pages that end early or not."""
    expected = [row["id"] for row in await log.fetch(EVERY_ROW.format(condition))]

    assert expected == await found(log, narrowed, 12, share)


async def test_a_share_is_kept(log: asyncpg.Connection) -> None:
    """A search that finds nothing says from where to go on when it has looked at its share."""
    narrowed = DeliveryFilter(event_type="never.came")
    answer = await search.list_deliveries(log, narrowed, span_of_time(None, None, None), 12, 50)

    left = await log.fetchval("SELECT count(*) FROM webhook_log WHERE id < $1", answer.go_on_below)
    assert not answer.rows
    assert left == ROWS - 50


async def test_a_range_ends_the_search(log: asyncpg.Connection) -> None:
    """Nothing before `since` is found."""
    since = datetime.now(UTC) - timedelta(days=4, hours=5)
    expected = await log.fetch("SELECT id FROM webhook_log WHERE received_at >= $1 ORDER BY id DESC", since)

    assert [row["id"] for row in expected] == await found(log, {}, 12, 30, since)
