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
        INSERT INTO refund (source, id, checkout_session_id, payment_id, amount_minor, currency, status)
        VALUES ('stripe', 're_1', 'cs_1', 'pi_1', {amount}, 'usd', 'succeeded');
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
        + JOURNAL.format(kind="checkout_session", object_id="cs_1", seq=1, before="NULL", after="paid")
    ),
    "no_topup_without_a_paid_purchase": Plant(
        postings(("a", 5), ("system:grants", -5)).replace("'grant'", "'topup'")
    ),
    "credits_taken_is_in_proportion": Plant(
        ACCOUNT + PURCHASE.format(status="open", taken=0) + OPENED + refund(50)
    ),
    "credits_taken_is_posted": Plant(
        ACCOUNT + PURCHASE.format(status="open", taken=50) + OPENED + refund(50)
    ),
    "refunds_never_exceed_payment": Plant(
        ACCOUNT + PURCHASE.format(status="open", taken=101) + OPENED + refund(101),
        also=("credits_taken_is_posted",),
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
