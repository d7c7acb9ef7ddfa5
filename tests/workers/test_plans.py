"""A worker's plans are made once, when a database may be empty, and kept while it grows: they must go by key
from the start."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from db import pool
from db.queries import CREDITS, EVENTS, ORDERS, SUBSCRIPTIONS


@pytest.fixture
async def worker(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection with a worker's role and settings, to a database without a row."""
    connection = await pool.connect(dsn, "sluice_worker", "test-plans")
    yield connection
    await connection.close()


async def indexes_of(connection: asyncpg.Connection, query: str) -> set[str]:
    """The indexes of the plan that is kept for `query`, whatever its arguments."""
    arguments = len(set(re.findall(r"\$\d+", query)))
    await connection.execute(f"PREPARE kept AS {query}")
    rows = await connection.fetch(f"EXPLAIN EXECUTE kept({', '.join(['NULL'] * arguments)})")
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    return set(re.findall(r"(?:Index Scan|Index Only Scan) (?:using|on) (\w+)", plan))


@pytest.mark.parametrize("query", [EVENTS.mark_events, EVENTS.release_claims], ids=["mark", "release"])
async def test_outcomes_find_their_events_by_key(worker: asyncpg.Connection, query: str) -> None:
    """Behind a backlog a partial index of what is pending would be read once for each outcome."""
    assert await indexes_of(worker, query) == {"webhook_event_pkey"}


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        (CREDITS.lock_purchases, {"checkout_session_pkey", "checkout_session_by_payment"}),
        (ORDERS.lock_orders, {"orders_pkey", "orders_by_payment"}),
        (SUBSCRIPTIONS.lock_subscriptions, {"subscription_pkey"}),
        (SUBSCRIPTIONS.lock_invoices, {"subscription_invoice_pkey", "subscription_invoice_by_payment"}),
    ],
    ids=["purchases", "orders", "subscriptions", "invoices"],
)
async def test_subjects_are_found_by_what_names_them(
    worker: asyncpg.Connection, query: str, indexes: set[str]
) -> None:
    """An index that holds the id behind something else would be walked for each of a batch's ids."""
    assert await indexes_of(worker, query) == indexes
