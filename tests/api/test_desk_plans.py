"""What the console and the metrics read goes by index, however much has been done before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.desk import DESK
from db.gauges import METRICS
from db.log_ids import ID_MAX
from tests.api.seed import Seed
from tests.support.stripe_events import checkout, event

DAYS = 6
DONE = """
INSERT INTO webhook_event (source, event_id, log_id, body_sha256, state, applied_at)
SELECT 'other', 'evt_' || n, n, '', 'superseded', now() FROM generate_series(1, 20000) n
"""
LOG = """
INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, event_id, body, body_bytes, headers,
                         request_id, batch_ordinal)
SELECT ((extract(epoch FROM at) * 1000)::bigint << 20) | n, at, 'stripe', 'stripe', 'bad_sig', 'evt_' || n,
       '', 0, '[]', 'r', 0
FROM (SELECT n, now() - n * interval '6 days' / 6000 AS at FROM generate_series(1, 6000) n) rows
"""
MONEY = """
INSERT INTO account (id) SELECT 'a' || n FROM generate_series(1, 20000) n;
INSERT INTO balance (account_id, unit, amount) SELECT 'a' || n, 'credit', n FROM generate_series(1, 20000) n;
INSERT INTO balance (account_id, unit, amount) VALUES ('a7', 'usd', -7);
WITH posted AS (
    INSERT INTO ledger_transaction (source, movement, money_object, actor)
    SELECT 'tests', 'grant', n::text, 'tests' FROM generate_series(1, 5000) n RETURNING id
)
INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
SELECT id, leg.account, 'credit', leg.amount
FROM posted, (VALUES ('a1', 1), ('system:grants', -1)) leg (account, amount);
INSERT INTO refund (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, created_at)
SELECT 'stripe', 're_' || n, 'checkout_session', c.id, 'pi', 1, 'usd', 'succeeded', now() - interval '1 day'
FROM generate_series(1, 20000) n, (SELECT id FROM checkout_session LIMIT 1) c;
INSERT INTO reconcile_run (id, requested_by, phases, status, picked_up_at)
SELECT gen_random_uuid(), 'x', '{}', 'succeeded', now() FROM generate_series(1, 5000);
"""

pytestmark = pytest.mark.books_left_broken("rows that were not posted, to make the tables large")


@pytest.fixture
async def large(seed: Seed) -> Seed:
    """A house with much behind it and little to do."""
    await seed.applied(event("checkout.session.completed", checkout(amount=1_000_000, credits=250)))
    await seed.applied(event("checkout.session.completed", checkout(credits="many")))
    for statements in (DONE, LOG, MONEY, "SELECT webhook_log_make_partitions(1)", "ANALYZE"):
        await seed.connection.execute(statements)
    return seed


async def plan(seed: Seed, query: str, *arguments: object) -> str:
    """How Postgres would do it for these values."""
    await seed.connection.execute("SET plan_cache_mode = force_custom_plan")
    return "\n".join(row[0] for row in await seed.connection.fetch(f"EXPLAIN {query}", *arguments))


def window(hours: int) -> tuple[datetime, datetime]:
    """The last hours."""
    until = datetime.now(UTC)
    return until - timedelta(hours=hours), until


@pytest.mark.parametrize(
    ("query", "arguments", "large_tables"),
    [
        (DESK.quarantine_by_reason, (), ("webhook_event",)),
        (DESK.quarantined_events, ("bad_metadata", ID_MAX, 51), ("webhook_event",)),
        (DESK.list_balances, ("a5", "credit", None, False, 51), ("balance",)),
        (DESK.list_balances, ("", "", "a77", False, 51), ("balance",)),
        (DESK.list_balances, ("", "", None, True, 51), ("balance",)),
        (DESK.desk_postings_of_account, ("a1", ID_MAX, 51), ("ledger_posting",)),
        (DESK.list_runs, (ID_MAX, 51), ("reconcile_run",)),
        (DESK.completeness_history, (100,), ("reconcile_run",)),
        (METRICS.sample_queue, (), ("webhook_event",)),
        (METRICS.sample_stuck, (300.0, 1800.0, 1800.0, 1800.0, 1800.0), ("webhook_event", "refund")),
        (METRICS.sample_run, (), ("reconcile_run",)),
    ],
)
async def test_no_table_is_read_whole(
    large: Seed, query: str, arguments: tuple[Any, ...], large_tables: tuple[str, ...]
) -> None:
    """A page or a sample looks at what it shows."""
    found = await plan(large, query, *arguments)

    assert [table for table in large_tables if f"Seq Scan on {table} " in found] == [], found


@pytest.mark.parametrize("query", [DESK.traffic_by_bucket, DESK.waits_by_bucket])
async def test_charts_open_the_days_of_their_window(large: Seed, query: str) -> None:
    """An hour is at most two partitions, however many days are kept."""
    since, until = window(1)

    found = await plan(large, query, since, until, 60.0)

    days = {word for word in found.replace("_pkey", "").split() if word.startswith("webhook_log_2")}
    assert days <= {f"webhook_log_{since:%Y%m%d}", f"webhook_log_{until:%Y%m%d}"}
    assert "Seq Scan on webhook_event" not in found, found
