"""What time alone must do: wake, expire, keep partitions, and forget payloads and answers but never ids."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from db import operations
from db.queries import OPERATIONS
from runtime import clock, limits, settings
from tests.support import stripe_events as made
from tests.support.poll import until
from tests.workers.conftest import House
from workers.sweep import Partitions, Retention, Sweep


@pytest.fixture
def retention(house: House) -> Retention:
    """Retention of 90 days."""
    environment = {
        "DATABASE_URL": house.dsn,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "WEBHOOK_LOG_RETENTION_DAYS": "90",
    }
    return Retention(settings.load(environment))


@pytest.fixture
def partitions(house: House) -> Partitions:
    """What makes the log's partitions."""
    return Partitions(house.connections)


async def test_the_sweep_wakes_an_event_whose_payment_came_while_it_was_parked(house: House) -> None:
    """The race that a wake-up alone would lose."""
    session = made.checkout()
    await house.process(made.event("checkout.session.completed", session))
    await house.receive(made.event("refund.created", made.refund(session["payment_intent"], 289)))
    await house.admin.execute(
        "UPDATE webhook_event SET state = 'parked', reason = 'payment_unknown', awaits = $1, "
        "next_attempt_at = now() + interval '1 hour' WHERE event_type = 'refund.created'",
        f"payment:{session['payment_intent']}",
    )
    counts = await Sweep(house.connections, house.drainer).run_once()
    await house.drain()

    assert (counts, await house.credits()) == ({"woken": 1}, 0)


async def test_an_event_that_waited_in_vain_is_quarantined(house: House) -> None:
    """Too early for too long is a person's matter, with an alert."""
    await house.process(made.event("refund.created", made.refund("pi_nobody_knows", 100)))
    await house.admin.execute("UPDATE webhook_event SET next_attempt_at = now()")
    counts = await Sweep(house.connections, house.drainer).run_once()
    await house.drain()

    assert counts == {"expired": 1}
    assert await house.outcomes() == [("quarantined", "payment_never_came")]


async def test_the_sweep_beats_and_wakes_the_drain(house: House) -> None:
    """A worker is alive in the database, and looks for work without any doorbell."""
    await Sweep(house.connections, house.drainer).run_once()

    assert house.drainer.wake.is_set()
    assert await house.admin.fetchval("SELECT count(*) FROM process_heartbeat WHERE process = 'worker'") == 1


async def test_a_debt_that_is_paid_closes_its_alert(house: House) -> None:
    """An overdrawn account is alarmed until it is not overdrawn any more."""
    session = made.checkout()
    await house.process(made.event("checkout.session.completed", session))
    await house.process(made.event("refund.created", made.refund(session["payment_intent"], 289)))
    disputed = made.dispute(session["payment_intent"], 289)
    await house.process(made.event("charge.dispute.funds_withdrawn", disputed))
    sweep = Sweep(house.connections, house.drainer)
    await sweep.run_once()
    opened = "SELECT count(*) FROM alert WHERE name = 'negative_balance' AND resolved_at IS NULL"
    overdrawn = (await house.credits(), await house.admin.fetchval(opened))
    await house.process(made.event("charge.dispute.funds_reinstated", disputed))
    await sweep.run_once()

    assert overdrawn == (-250, 1)
    assert (await house.credits(), await house.admin.fetchval(opened)) == (0, 0)


async def backdate(house: House, days: int) -> None:
    """Move everything in the log and inbox `days` into the past, with the ids that such rows would have; the
    log's trigger does not take the moved rows for new ones."""
    await house.admin.execute(
        """SET LOCAL session_replication_role = replica;
           CREATE TEMP TABLE old AS SELECT * FROM webhook_log; DELETE FROM webhook_log;
           ALTER TABLE old ADD COLUMN shifted bigint;
           UPDATE old SET shifted = id - (({days}::bigint * 86400000) << 20),
                          received_at = received_at - interval '{days} days';
           UPDATE webhook_event e SET log_id = old.shifted, received_at = old.received_at
           FROM old WHERE old.id = e.log_id;
           UPDATE state_transition t SET log_id = old.shifted FROM old WHERE old.id = t.log_id;
           UPDATE old SET id = shifted; ALTER TABLE old DROP COLUMN shifted;
           INSERT INTO webhook_log SELECT * FROM old; DROP TABLE old""".replace("{days}", str(days))
    )


@pytest.mark.books_left_broken(reason="the log rows are moved into the past by hand")
async def test_retention_drops_old_days_and_keeps_the_ids(
    house: House, partitions: Partitions, retention: Retention
) -> None:
    """After retention the payload is gone and a replay of the purged event still has no second effect."""
    event = made.event("checkout.session.completed", made.checkout())
    await house.process(event)
    await backdate(house, 120)
    await partitions.run_once()  # the default partition's rows get a partition of their own
    counts = await retention.run_once()

    assert await house.admin.fetchval("SELECT count(*) FROM webhook_log") == 0
    assert counts == {"partitions_dropped": 1}
    assert await retention.run_once() == {}
    assert await house.process(event) == {"duplicate": 1}
    assert await house.credits() == 250


@pytest.mark.books_left_broken(reason="the log rows are moved into the past by hand")
@pytest.mark.parametrize("state", ["quarantined", "parked", "pending"])
async def test_retention_spares_what_is_still_open_and_its_payload(
    house: House, retention: Retention, state: str
) -> None:
    """An event without an outcome keeps its payload; its neighbours of that day go in batches."""
    await house.process(b"not json", made.event("checkout.session.completed", made.checkout()))
    await house.admin.execute(
        "UPDATE webhook_event SET state = $1, awaits = CASE WHEN $1 = 'parked' THEN 'payment:pi' END "
        "WHERE state = 'quarantined'",
        state,
    )
    await backdate(house, 120)
    counts = await retention.run_once()
    left = await house.admin.fetch("SELECT convert_from(body, 'utf8') AS body FROM webhook_log")

    assert counts["rows_deleted"] == 1
    assert [row["body"] for row in left] == ["not json"]


@pytest.mark.books_left_broken(reason="the log rows are moved into the past by hand")
async def test_retention_leaves_younger_days_alone(
    house: House, partitions: Partitions, retention: Retention
) -> None:
    """Nothing inside the ninety days is touched."""
    await house.process(made.event("checkout.session.completed", made.checkout()))
    await backdate(house, 89)
    await partitions.run_once()

    assert await retention.run_once() == {}
    assert await house.admin.fetchval("SELECT count(*) FROM webhook_log") == 1


KEYS = """INSERT INTO idempotency_key (caller, key, request_sha256, state, status, body, answered_at,
                                       created_at, leased_until)
          SELECT 'ops:eva', name, '\\x00', CASE WHEN answered THEN 'answered' ELSE 'running' END,
                 CASE WHEN answered THEN 200 END, CASE WHEN answered THEN '\\x7b7d'::bytea END,
                 CASE WHEN answered THEN now() END, now() - age, now() + lease
          FROM (VALUES ('old', true, interval '31 days', interval '-31 days'),
                       ('died', false, interval '31 days', interval '-31 days'),
                       ('taken-over-now', false, interval '31 days', interval '30 s'),
                       ('young', true, interval '29 days', interval '-29 days'))
               AS k (name, answered, age, lease)"""


async def test_idempotency_keys_have_a_lifetime(house: House, retention: Retention) -> None:
    """Thirty days, answered or given up; what is young, or worked on at this moment, stays."""
    await house.admin.execute(KEYS)
    counts = await retention.run_once()
    left = await house.admin.fetch("SELECT key FROM idempotency_key ORDER BY key")

    assert counts["keys_deleted"] == 2
    assert [row["key"] for row in left] == ["taken-over-now", "young"]
    assert "keys_deleted" not in await retention.run_once()


async def stopped_after_one_batch(house: House, retention: Retention, count: str, last: str) -> int:
    """Run retention, stop it when its second batch has begun, and return how many rows `count` then finds.

    The row that `last` locks is the second batch's: as long as it is held that batch cannot end.
    """
    holder = await asyncpg.connect(house.dsn)
    before = await house.admin.fetchval(count)
    async with holder.transaction():
        assert await holder.fetchval(last) is not None
        round_ = asyncio.create_task(retention.run_once())

        async def begun() -> bool:
            return bool(await house.admin.fetchval(count) < before)

        await until(begun, 30, "the first batch")
        round_.cancel()
        await asyncio.gather(round_, return_exceptions=True)
    await holder.close()
    assert round_.cancelled()
    return int(await house.admin.fetchval(count))


async def test_retention_may_be_stopped_between_two_batches(house: House, retention: Retention) -> None:
    """What it has done stays done, and the next round does the rest."""
    await house.admin.execute(
        """INSERT INTO idempotency_key (caller, key, request_sha256, leased_until, created_at)
           SELECT 'ops:eva', 'k' || n, '\\x00', '-infinity', now() - interval '31 days' + n * interval '1 s'
           FROM generate_series(0, $1::integer) n""",
        limits.retention_batch_rows,
    )
    count = "SELECT count(*) FROM idempotency_key"
    last = "SELECT key FROM idempotency_key ORDER BY created_at DESC LIMIT 1 FOR UPDATE"
    stopped = await stopped_after_one_batch(house, retention, count, last)
    counts = await retention.run_once()

    assert stopped == 1
    assert (counts["keys_deleted"], await house.admin.fetchval(count)) == (1, 0)


@pytest.mark.books_left_broken(reason="the log rows are moved into the past by hand")
async def test_retention_of_the_log_may_be_stopped_too(
    house: House, partitions: Partitions, retention: Retention
) -> None:
    """Between two batches of a day that an open event pins: whole batches are gone, the rest and the open
    event are there, and the next round takes the rest.
    """
    await house.process(b"not json", made.event("checkout.session.completed", made.checkout()))
    await house.admin.execute(
        f"""INSERT INTO webhook_log (source, endpoint, origin, verdict, request_id, body, body_bytes,
                                     body_sha256, headers)
            SELECT source, endpoint, origin, 'bad_sig', 'r', body, body_bytes, body_sha256, headers
            FROM (SELECT * FROM webhook_log LIMIT 1) l, generate_series(1, {limits.retention_batch_rows})"""
    )
    await backdate(house, 120)
    await partitions.run_once()
    count = "SELECT count(*) FROM webhook_log"
    last = "SELECT id FROM webhook_log ORDER BY ctid DESC LIMIT 1 FOR UPDATE"
    stopped = await stopped_after_one_batch(house, retention, count, last)
    counts = await retention.run_once()

    assert stopped == 2
    assert (counts["rows_deleted"], await house.admin.fetchval(count)) == (1, 1)


@pytest.mark.parametrize(("given", "days"), [("0", 90), ("-1", 90), ("soon", 90), ("7", 7), ("365", 365)])
@pytest.mark.parametrize("name", ["WEBHOOK_LOG_RETENTION_DAYS", "HYPERSWITCH_WEBHOOK_LOG_RETENTION_DAYS"])
def test_retention_never_vanishes_by_a_typing_error(name: str, given: str, days: int) -> None:
    """Zero and nonsense mean the default, under both names."""
    servers = {"DATABASE_URL": "postgresql://u@h/d", "REDIS_URL": "redis://h/0"}

    assert settings.load({**servers, name: given}).webhook_log_retention_days == days


async def test_twenty_thousand_young_keys_are_not_looked_at(house: House) -> None:
    """The old ones are found by an index on their age."""
    await house.admin.execute(
        """INSERT INTO idempotency_key (caller, key, request_sha256, leased_until, created_at)
           SELECT 'ops:eva', 'k' || n, '\\x00', now(), now() - interval '1 minute' * n
           FROM generate_series(1, 20000) n"""
    )
    await house.admin.execute("ANALYZE idempotency_key")
    plan = await house.admin.fetch(
        f"EXPLAIN {OPERATIONS.delete_expired_keys}", clock.now() - timedelta(days=30), 10_000
    )
    text = "\n".join(row[0] for row in plan)

    assert "idempotency_key_by_age" in text
    assert "Seq Scan on idempotency_key" not in text


async def test_partitions_are_made_ahead(house: House, partitions: Partitions) -> None:
    """The next days have their partitions before anything is received."""
    await partitions.run_once()
    ahead = clock.now() + timedelta(days=7)

    assert await house.admin.fetchval("SELECT to_regclass($1) IS NOT NULL", f"webhook_log_{ahead:%Y%m%d}")


OPEN_ALERTS = "SELECT name, subject, detail FROM alert WHERE resolved_at IS NULL"


@pytest.mark.parametrize(("days", "told"), [(1, True), (3, False)])
async def test_partitions_that_a_transaction_holds_up_are_made_when_it_is_over(
    house: House, partitions: Partitions, days: int, told: bool
) -> None:
    """Nothing is made while it holds the default partition, nor lost; only where it is about to matter is
    somebody told. The next turn makes them, and the alert closes itself.
    """
    day = clock.now() + timedelta(days=days)
    await house.admin.execute(f"DROP TABLE webhook_log_{day:%Y%m%d}")
    holder = await asyncpg.connect(house.dsn)
    async with holder.transaction():
        await holder.execute("DELETE FROM webhook_log_default")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await partitions.run_once()
    alerts = [tuple(row) for row in await house.admin.fetch(OPEN_ALERTS)]
    await holder.close()
    made = await partitions.run_once()
    await operations.close_settled_alerts(house.admin)

    assert alerts == [("partitions_missing", "webhook_log", "LockNotAvailableError")] * told
    assert (made, await house.admin.fetch(OPEN_ALERTS)) == (1, [])
