"""The audit queries go by index and by day, never through the whole log."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.log_ids import span_of_id, span_of_time
from db.reads import AUDIT
from tests.api.seed import Seed
from tests.support.stripe_events import checkout, event

ROWS = 6_000
DAYS = 6

FILL = """
INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, event_id, object_id, body, body_bytes,
                         headers, request_id, batch_ordinal)
SELECT ((extract(epoch FROM at) * 1000)::bigint << 20) | n, at, 'stripe', 'stripe',
       CASE WHEN n % 500 = 0 THEN 'stale_ts' ELSE 'bad_sig' END, 'evt_' || n, 'cs_' || n, '', 0,
       '[]', 'r' || n, 0
FROM (SELECT n, now() - n * $2::interval / $1 AS at FROM generate_series(1, $1::integer) n) rows
"""


@pytest.fixture
async def full(seed: Seed) -> Seed:
    """A log of some days, with a few events that are done and one in quarantine."""
    await seed.connection.execute(FILL, ROWS, timedelta(days=DAYS))
    await seed.connection.execute("SELECT webhook_log_make_partitions(1)")
    for _ in range(20):
        await seed.event(event("checkout.session.completed", checkout()))
    await seed.event(event("checkout.session.completed", checkout(credits="many")))
    await seed.drain()
    await seed.connection.execute("ANALYZE")
    return seed


async def plan(seed: Seed, query: str, *arguments: object) -> str:
    return "\n".join(row[0] for row in await seed.connection.fetch(f"EXPLAIN {query}", *arguments))


def arguments(**narrowed: Any) -> list[object]:
    """Arguments of `list_deliveries`, with the filters in its order."""
    names = (
        "source",
        "endpoint",
        "origin",
        "verdict",
        "state",
        "type",
        "event_id",
        "object_id",
        "ip",
        "reason",
    )
    return [narrowed.get(name) for name in names] + [51]


@pytest.mark.parametrize(
    "narrowed",
    [
        {},
        {"event_id": "evt_77"},
        {"object_id": "cs_77"},
        {"verdict": "stale_ts"},
        {"state": "quarantined"},
        {"verdict": "bad_sig", "source": "stripe"},
    ],
)
async def test_list_reads_no_whole_partition(full: Seed, narrowed: dict[str, str]) -> None:
    """A page of the list is found by index, with each filter that has one."""
    span = span_of_time(None, None, None)

    found = await plan(full, AUDIT.list_deliveries, *span, *arguments(**narrowed))

    today = f"webhook_log_{datetime.now(UTC):%Y%m%d}"
    read_whole = re.findall(r"Seq Scan on (webhook_log_[0-9]{8})", found)
    assert "Index" in found
    # The days to come are empty: nothing is cheaper than to look at them.
    assert [day for day in read_whole if day <= today] == [], found


async def test_time_range_reads_its_days_only(full: Seed) -> None:
    """A range of some hours opens the partitions of its days and no other."""
    until = datetime.now(UTC).replace(hour=1, minute=0) - timedelta(days=2)
    span = span_of_time(until - timedelta(minutes=30), until, None)

    found = await plan(full, AUDIT.list_deliveries, *span, *arguments())

    day = f"webhook_log_{until:%Y%m%d}"
    partitions = {word for word in found.replace("_pkey", "").split() if word.startswith("webhook_log_2")}
    assert partitions == {day}


async def test_one_delivery_opens_one_day(full: Seed) -> None:
    """A look-up by id alone finds its partition from the id."""
    log_id = await full.value("SELECT id FROM webhook_log WHERE event_id = 'evt_3000'")
    at = await full.value("SELECT received_at FROM webhook_log WHERE event_id = 'evt_3000'")
    span = span_of_id(log_id)

    found = await plan(full, AUDIT.read_payload, log_id, span.received_from, span.received_until)

    partitions = {word for word in found.replace("_pkey", "").split() if word.startswith("webhook_log_")}
    assert partitions == {f"webhook_log_{at:%Y%m%d}"}


async def test_status_goes_by_partial_indexes(full: Seed) -> None:
    """What waits is counted by the indexes of open work, not by reading all events."""
    await full.connection.execute(
        "INSERT INTO webhook_event (source, event_id, log_id, body_sha256, state, applied_at) "
        "SELECT 'other', 'evt_' || n, n, '', 'superseded', now() FROM generate_series(1, 20000) n"
    )
    await full.connection.execute("ANALYZE webhook_event")

    found = await plan(full, AUDIT.queue_figures)

    assert "Seq Scan on webhook_event" not in found, found
    await full.connection.execute("DELETE FROM webhook_event WHERE source = 'other'")
