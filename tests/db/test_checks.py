"""Every invariant of `sql/queries/checks.sql` is able to fail: a wrong row for each, and it is the one that
tells.

The rows are planted as the owner, with triggers and foreign keys switched off, as only tampering or a bug of
the database could.
"""

from __future__ import annotations

from typing import NamedTuple

import asyncpg
import pytest

from db import checks
from db.queries import CHECKS


class Plant(NamedTuple):
    """Statements that plant a wrong row, and the other invariants that must see it too."""

    statements: str
    also: tuple[str, ...] = ()


ACCOUNT = "INSERT INTO account (id) VALUES ('a');"
PURCHASE = """
    INSERT INTO checkout_session (source, id, kind, payment_id, account_id, credits, amount_minor, currency,
                                  status, credits_taken, paid_at)
    VALUES ('stripe', 'cs_1', 'checkout', 'pi_1', 'a', 100, 100, 'usd', '{status}', {taken},
            CASE WHEN '{status}' = 'paid' THEN now() END);
"""
JOURNAL = """
    INSERT INTO state_transition (kind, source, object_id, seq, from_state, to_state, rule, actor)
    VALUES ('{kind}', 'stripe', '{object_id}', {seq}, {before}, '{after}', 'planted', 'test');
"""
OPENED = JOURNAL.format(kind="checkout_session", object_id="cs_1", seq=1, before="NULL", after="open")
MOVEMENT = """
    INSERT INTO ledger_transaction (source, movement, money_object, actor)
    VALUES ('stripe', '{movement}', 'x_1', 'test');
"""
POSTING = """
    INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
    SELECT id, '{account}', 'credit', {amount} FROM ledger_transaction;
"""
BALANCE = "INSERT INTO balance (account_id, unit, amount) VALUES ('{account}', 'credit', {amount});"
EVENT = """
    INSERT INTO webhook_event (source, event_id, log_id, body_sha256, state, reason)
    VALUES ('stripe', 'evt_1', 1, '\\x00', '{state}', 'planted');
"""


def refund(amount: int) -> str:
    """A succeeded refund of the planted purchase, with its journal."""
    return f"""
        INSERT INTO refund (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status)
        VALUES ('stripe', 're_1', 'checkout_session', 'cs_1', 'pi_1', {amount}, 'usd', 'succeeded');
    """ + JOURNAL.format(kind="refund", object_id="re_1", seq=1, before="NULL", after="succeeded")


def steps(kind: str, *states: str) -> str:
    """A chain of journal entries of one object that is not there (any more)."""
    before = ["NULL", *(f"'{state}'" for state in states)]
    return "".join(
        JOURNAL.format(kind=kind, object_id="x_1", seq=number + 1, before=before[number], after=state)
        for number, state in enumerate(states)
    )


def postings(*amounts: tuple[str, int]) -> str:
    """One movement with these legs, and balances that agree with them."""
    return (
        ACCOUNT
        + MOVEMENT.format(movement="grant")
        + "".join(POSTING.format(account=account, amount=amount) for account, amount in amounts)
        + "".join(BALANCE.format(account=account, amount=amount) for account, amount in amounts)
    )


def told(kind: str, object_id: str, seq: int, before: str, after: str) -> str:
    """A journal entry that event evt_1 has caused."""
    return f"""
        INSERT INTO state_transition (kind, source, object_id, seq, from_state, to_state, rule, event_id,
                                      log_id)
        VALUES ('{kind}', 'stripe', '{object_id}', {seq}, {before}, '{after}', 'planted', 'evt_1', 1);
    """


def booked(movement: str, money_object: str, **legs: int) -> str:
    """A movement of usd that event evt_1 has caused, without its balances."""
    names = {"seller": "s", "fees": "system:platform_fees", "clearing": "system:psp_clearing"}
    values = ", ".join(f"('{names[leg]}', {amount})" for leg, amount in legs.items())
    return f"""
        WITH t AS (
            INSERT INTO ledger_transaction (source, movement, money_object, event_id, log_id)
            VALUES ('stripe', '{movement}', '{money_object}', 'evt_1', 1) RETURNING id
        )
        INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
        SELECT t.id, l.account_id, 'usd', l.amount FROM t, (VALUES {values}) AS l (account_id, amount);
    """


SOLD = (
    """
    INSERT INTO account (id) VALUES ('a'), ('s');
    INSERT INTO webhook_event (source, event_id, log_id, body_sha256, state)
    VALUES ('stripe', 'evt_1', 1, '\\x00', 'applied');
    INSERT INTO orders (source, id, buyer_id, seller_id, amount_minor, currency, seller_amount_minor,
                        licences, payment_id, payment_status, status, reversed_minor, completed_at)
    VALUES ('stripe', 'o_1', 'a', 's', 1000, 'usd', 800, '{font}', 'pi_1', 'succeeded', 'completed', 100,
            now());
    INSERT INTO license (source, order_id, product, account_id, status)
    VALUES ('stripe', 'o_1', 'font', 'a', 'active');
    INSERT INTO refund (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status)
    VALUES ('stripe', 're_1', 'order', 'o_1', 'pi_1', 100, 'usd', 'succeeded');
    INSERT INTO seller_transfer (source, id, order_id, destination, amount_minor, currency, status)
    VALUES ('stripe', 'tr_1', 'o_1', 'acct_1', 300, 'usd', 'completed');
    INSERT INTO balance (account_id, unit, amount)
    VALUES ('s', 'usd', 420), ('system:platform_fees', 'usd', 180), ('system:psp_clearing', 'usd', -600);
    """
    + told("order", "o_1", 1, "NULL", "completed")
    + told("license", "o_1:font", 1, "NULL", "active")
    + told("refund", "re_1", 1, "NULL", "succeeded")
    + told("transfer", "tr_1", 1, "NULL", "completed")
    + booked("sale", "o_1", seller=800, fees=200, clearing=-1000)
    + booked("refund_clawback", "re_1", seller=-80, fees=-20, clearing=100)
    + booked("transfer", "tr_1", seller=-300, clearing=300)
)
"""An order of 1000 cents, a tenth of it refunded, 300 of it with its seller: all as it should be."""
FAILED_REFUND = """
    INSERT INTO refund (source, id, owner_kind, owner_id, payment_id, amount_minor, currency, status)
    VALUES ('stripe', 're_2', 'order', 'o_1', 'pi_1', 100, 'usd', 'failed');
""" + told("refund", "re_2", 1, "NULL", "failed")
STAGED = """
    INSERT INTO outbox_effect (source, kind, object_id, idempotency_key, arguments, log_id, event_id)
    VALUES ('stripe', 'reverse_transfer', 'tr_1', 'reversal:tr_1:2', '{}', 1, 'evt_1');
"""
DELIVERY = """
    INSERT INTO webhook_log (source, endpoint, verdict, event_id, body, body_bytes, body_sha256, headers,
                             request_id, batch_ordinal)
    SELECT 'stripe', 'stripe', 'ok', 'evt_1', body, octet_length(body), sha256(body), '[]', 'r', 0
    FROM convert_to('{body}', 'UTF8') AS body;
"""

PLANTS = {
    "balance_is_sum_of_postings": Plant(
        ACCOUNT + BALANCE.format(account="a", amount=5) + BALANCE.format(account="system:grants", amount=-5)
    ),
    "every_posting_has_a_balance": Plant(
        ACCOUNT
        + MOVEMENT.format(movement="grant")
        + POSTING.format(account="a", amount=5)
        + POSTING.format(account="system:grants", amount=-5)
    ),
    "transactions_balance": Plant(postings(("a", 5), ("system:grants", -4)), also=("units_sum_to_zero",)),
    "transactions_have_postings": Plant(MOVEMENT.format(movement="grant")),
    "units_sum_to_zero": Plant(
        ACCOUNT + BALANCE.format(account="a", amount=5), also=("balance_is_sum_of_postings",)
    ),
    "paid_purchases_credited_once": Plant(
        ACCOUNT
        + PURCHASE.format(status="paid", taken=0)
        + JOURNAL.format(kind="checkout_session", object_id="cs_1", seq=1, before="NULL", after="paid"),
        also=("paid_because_a_delivery_said_so",),
    ),
    "no_topup_without_a_paid_purchase": Plant(
        postings(("a", 5), ("system:grants", -5)).replace("'grant'", "'topup'")
    ),
    "credits_taken_is_in_proportion": Plant(
        ACCOUNT + PURCHASE.format(status="open", taken=0) + OPENED + refund(50),
        also=("reversals_have_their_payment",),
    ),
    "credits_taken_is_posted": Plant(
        ACCOUNT + PURCHASE.format(status="open", taken=50) + OPENED + refund(50),
        also=("reversals_have_their_payment",),
    ),
    "refunds_never_exceed_payment": Plant(
        ACCOUNT + PURCHASE.format(status="open", taken=101) + OPENED + refund(101),
        also=("credits_taken_is_posted", "reversals_have_their_payment"),
    ),
    "state_is_last_transition": Plant(ACCOUNT + PURCHASE.format(status="open", taken=0)),
    "subscription_state_is_explained": Plant(
        """INSERT INTO subscription (source, id, status, psp_status, customer_id, price_id,
                                     cancel_at_period_end, current_period_start, current_period_end,
                                     psp_second, versions, deleted, ambiguous)
           VALUES ('stripe', 'sub_1', 'active', 'past_due', 'cus_1', 'price_1', false, now(), now(), 1, '[]',
                   false, false);"""
        + JOURNAL.format(kind="subscription", object_id="sub_1", seq=1, before="NULL", after="active")
    ),
    "transitions_chain": Plant(
        JOURNAL.format(kind="refund", object_id="x_1", seq=2, before="NULL", after="pending")
    ),
    "only_allowed_transitions": Plant(steps("refund", "succeeded", "pending")),
    "terminal_states_never_leave": Plant(
        steps("refund", "failed", "succeeded"), also=("only_allowed_transitions",)
    ),
    "applied_events_have_an_effect": Plant(EVENT.format(state="applied")),
    "verified_deliveries_have_an_event": Plant(
        """INSERT INTO webhook_log (source, endpoint, verdict, event_id, body, body_bytes, body_sha256,
                                    headers, request_id, batch_ordinal)
           VALUES ('stripe', 'stripe', 'ok', 'evt_1', '', 0, '\\x00', '[]', 'r', 0);"""
    ),
    "quarantine_is_explained": Plant(EVENT.format(state="quarantined")),
    "events_take_effect_once": Plant(
        SOLD + "UPDATE ledger_transaction SET log_id = 2 WHERE movement = 'transfer';",
        also=("every_change_has_its_event",),
    ),
    "one_event_one_body": Plant(
        EVENT.format(state="ignored") + DELIVERY.format(body='{"a": 1}') + DELIVERY.format(body='{"a": 2}')
    ),
    "paid_because_a_delivery_said_so": Plant(
        SOLD + "UPDATE state_transition SET log_id = NULL, actor = 'test' WHERE kind = 'order';"
    ),
    "movements_have_their_object": Plant(
        postings(("a", 5), ("system:grants", -5)).replace("'grant'", "'refund_clawback'")
    ),
    "below_zero_is_alarmed": Plant(
        SOLD
        + MOVEMENT.format(movement="grant")
        + """INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
             SELECT t.id, l.account_id, 'credit', l.amount
             FROM ledger_transaction t, (VALUES ('a', -5), ('system:grants', 5)) AS l (account_id, amount)
             WHERE t.movement = 'grant';"""
        + BALANCE.format(account="a", amount=-5)
        + BALANCE.format(account="system:grants", amount=5)
        + "UPDATE ledger_transaction SET log_id = 1, event_id = 'evt_1' WHERE movement = 'grant';"
    ),
    "orders_sold_once": Plant(
        SOLD
        + """UPDATE ledger_posting SET account_id = 'a' WHERE amount = 200;
             UPDATE balance SET amount = amount - 200 WHERE account_id = 'system:platform_fees';
             INSERT INTO balance (account_id, unit, amount) VALUES ('a', 'usd', 200);"""
    ),
    "order_reversed_is_what_went_back": Plant(SOLD + "UPDATE orders SET reversed_minor = 101;"),
    "order_reversals_posted_under_their_own_id": Plant(
        SOLD
        + FAILED_REFUND
        + "UPDATE ledger_transaction SET money_object = 're_2' WHERE movement = 'refund_clawback';"
    ),
    "sellers_have_their_share": Plant(
        SOLD
        + """UPDATE ledger_posting SET amount = amount + 1 WHERE amount = -80;
             UPDATE ledger_posting SET amount = amount - 1 WHERE amount = -20;
             UPDATE balance SET amount = amount + 1 WHERE account_id = 's';
             UPDATE balance SET amount = amount - 1 WHERE account_id = 'system:platform_fees';"""
    ),
    "transfers_are_posted": Plant(
        SOLD + "UPDATE seller_transfer SET amount_minor = 301;", also=("clearing_is_what_moved",)
    ),
    "clearing_is_what_moved": Plant(
        postings(("system:psp_clearing", 5), ("system:grants", -5)).replace("'credit'", "'usd'")
    ),
    "reversals_have_their_payment": Plant(SOLD + "UPDATE refund SET payment_id = 'pi_2';"),
    "order_state_is_explained": Plant(
        SOLD
        + "UPDATE orders SET status = 'refund_pending', version = 2;"
        + told("order", "o_1", 2, "'completed'", "refund_pending")
    ),
    "licence_follows_its_order": Plant(
        SOLD
        + "UPDATE license SET status = 'revoked', version = 2;"
        + told("license", "o_1:font", 2, "'active'", "revoked")
    ),
    "transfer_state_is_explained": Plant(
        SOLD
        + "UPDATE seller_transfer SET status = 'reversal_pending', version = 2;"
        + told("transfer", "tr_1", 2, "'completed'", "reversal_pending")
        + STAGED
    ),
    "wanted_calls_are_staged": Plant(
        SOLD
        + """INSERT INTO webhook_event (source, event_id, log_id, event_type, body_sha256, state)
             VALUES ('sluice', 'own_1', 2, 'refund.requested', '\\x00', 'applied');
             UPDATE state_transition SET event_id = 'own_1', log_id = 2 WHERE kind = 'refund';"""
    ),
    "psp_objects_are_known_once": Plant(
        SOLD + FAILED_REFUND + "UPDATE refund SET psp_id = 're_1' WHERE id = 're_2';"
    ),
    "ledger_rows_never_change": Plant(SOLD + "COMMIT; UPDATE ledger_posting SET amount = amount;"),
    "every_change_has_its_event": Plant(SOLD + "UPDATE webhook_event SET state = 'superseded';"),
    "no_older_version_stands": Plant(
        """INSERT INTO webhook_event (source, event_id, log_id, object_id, body_sha256, state)
           VALUES ('stripe', 'evt_1', 1, 'sub_1', '\\x00', 'applied');
           INSERT INTO subscription (source, id, status, psp_status, customer_id, price_id,
                                     current_period_start, current_period_end, psp_second, versions)
           VALUES ('stripe', 'sub_1', 'active', 'active', 'cus_1', 'price_1', now(), now(), 1, '[]');"""
        + told("subscription", "sub_1", 1, "NULL", "active")
        + "UPDATE state_transition SET psp_created = 2;"
    ),
}


def test_every_invariant_has_a_row_that_breaks_it() -> None:
    """An invariant that was never seen to fail may not be one."""
    assert list(PLANTS) == list(CHECKS.by_name)


async def test_a_fresh_database_breaks_none(dsn: str) -> None:
    """What the migrations bring satisfies all of them."""
    connection = await asyncpg.connect(dsn)
    found = await checks.run(connection)
    await connection.close()

    assert found == dict.fromkeys(CHECKS.by_name, 0)


async def test_a_sound_order_breaks_none(dsn: str) -> None:
    """What the plants spoil was right before: each of them tells of its one wrong row and of nothing else."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(SOLD + FAILED_REFUND)
    found = await checks.run(connection)
    await connection.close()

    assert found == dict.fromkeys(CHECKS.by_name, 0)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"b": 1.0, "a": 2, "pending_webhooks": 3}', '{"a": 2, "b": 1.0}'),
        (b'{"a": "\\u0000"}', None),
        (b'{"a": 2', None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
async def test_what_a_body_tells_never_fails(dsn: str, body: bytes, told: str | None) -> None:
    """The comparison of bodies must not fall over one of them, or no invariant would be checked any more."""
    connection = await asyncpg.connect(dsn)
    found = await connection.fetchval("SELECT event_told($1)::text", body)
    await connection.close()

    assert found == told


@pytest.mark.books_left_broken(reason="each plants the row that its invariant exists for")
@pytest.mark.parametrize("name", PLANTS)
async def test_one_wrong_row_is_told_by_its_invariant(dsn: str, name: str) -> None:
    """Planted as the owner without triggers: that invariant tells, with those that cannot but tell too."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(PLANTS[name].statements)
    found = await checks.run(connection)
    await connection.close()

    assert {broken for broken, rows in found.items() if rows} == {name, *PLANTS[name].also}
