"""What the console and the metrics read goes by index, however much has been done before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.desk import DESK
from db.gauges import METRICS
from db.log_ids import ID_MAX, span_of_time
from db.queries import RECONCILE
from db.reads import AUDIT
from db.rollup import ROLLUP
from tests.api.plans import carried_out
from tests.api.seed import Seed
from tests.support.stripe_events import checkout, event

DAYS = 6
UNITS = 200
"""There are as many currencies; whether they are looked up or read is all one."""
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
INSERT INTO checkout_session (source, id, kind, account_id, credits, amount_minor, currency, status, origin)
SELECT 'stripe', 'cs_' || n, 'checkout', 'a' || n, 1, 31, 'usd', 'open', 'ours'
FROM generate_series(1, 20000) n;
INSERT INTO refund (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status, created_at)
SELECT 'stripe', 're_' || n, 'checkout_session', 'cs_' || n, 'pi', 1, 'usd', 'succeeded',
       now() - interval '1 day'
FROM generate_series(1, 20000) n;
INSERT INTO outbox_effect (source, kind, object_id, idempotency_key, arguments, log_id, event_id, made_id)
SELECT 'stripe', 'open_checkout', 'own_' || n, 'own_' || n, '{}', 1, 'checkout:own_' || n, 'cs_' || n
FROM generate_series(1, 20000) n;
INSERT INTO reconcile_run (id, requested_by, phases, status, picked_up_at)
SELECT gen_random_uuid(), 'x', '{}', 'succeeded', now() FROM generate_series(1, 5000);
INSERT INTO completeness_measure (run_id, source, since, until, in_time_s, begun, types)
SELECT id, 'stripe', 3600 * seq, 3600 * (seq + 1), 60, true, '{"refund.created": [6, 6]}' FROM reconcile_run;
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


@pytest.mark.parametrize(
    ("query", "arguments", "rows"),
    [
        (DESK.quarantine_by_reason, (), 1),
        (DESK.quarantined_events, ("bad_metadata", ID_MAX, 51), 1),
        (DESK.list_alerts, (ID_MAX, 100), 2),
        (DESK.list_balances, ("a5", "credit", None, False, 51), 51),
        (DESK.list_balances, ("", "", "a77", False, 51), 51),
        (DESK.list_balances, ("", "", None, True, 51), 1),
        (DESK.desk_postings_of_account, ("a1", ID_MAX, 51), 51 * 3),
        (DESK.list_runs, (ID_MAX, 51), 51),
        (RECONCILE.completeness_history, (100,), 100),
        (AUDIT.queue_figures, (), 5),
        (METRICS.sample_run, (), 1),
        (AUDIT.explain_checkout_session, ("cs_77",), 3),
        (AUDIT.explain_checkout_session, ("own_77",), 3),
        (AUDIT.calls_of_objects, ("stripe", ["cs_77"], 100), 3),
        (ROLLUP.pending_by_bucket, (60.0, *span_of_time(None, None, None)), 1),
    ],
)
async def test_a_page_reads_what_it_shows(
    large: Seed, query: str, arguments: tuple[Any, ...], rows: int
) -> None:
    """And of account and unit, which it names beside them, one row each."""
    done = await carried_out(large, query, *arguments, once=False)

    assert done.rows_read() <= 3 * rows + UNITS, done.root
    assert not done.read_whole(), done.root


async def test_what_is_stuck_is_counted_by_the_indexes_of_what_waits(large: Seed) -> None:
    """A sample looks at what waits, however many are done."""
    done = await carried_out(large, METRICS.sample_stuck, 300.0, 1800.0, 1800.0, 1800.0, 1800.0, once=False)

    assert not done.read_whole(), done.root


async def test_charts_open_the_days_of_their_window(large: Seed) -> None:
    """An hour is at most two partitions, however many days are kept, and of them the hour."""
    until = datetime.now(UTC)
    since = until - timedelta(hours=1)
    span = span_of_time(since, until, None)

    done = await carried_out(large, ROLLUP.count_deliveries, 60.0, *span, 9_999, side_by_side=True)

    assert done.days() <= {f"webhook_log_{since:%Y%m%d}", f"webhook_log_{until:%Y%m%d}"}
    assert done.rows_read() <= 2 * 6_000 // (DAYS * 24) + 10
