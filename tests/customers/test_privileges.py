"""What the API's role may do to money's tables: its functions, and nothing beside them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from db import pool, purse
from tests.api.seed import Seed


@pytest.fixture
async def api(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the API has it."""
    connection = await pool.connect(dsn, "sluice_api", "tests-api")
    yield connection
    await connection.close()


FORBIDDEN = """
INSERT INTO checkout_session (source, id, kind, account_id, credits, amount_minor, currency, status)
    VALUES ('stripe', 'cs_1', 'checkout', 'u1', 1, 1, 'usd', 'paid');
UPDATE checkout_session SET status = 'expired';
INSERT INTO state_transition (kind, source, object_id, seq, to_state, rule, actor)
    VALUES ('account', 'x', 'u1', 1, 'open', 'x', 'x');
INSERT INTO ledger_posting (transaction_id, account_id, unit, amount) VALUES (1, 'u1', 'usdc', 1);
UPDATE idempotency_key SET operation_id = gen_random_uuid();
UPDATE idempotency_key SET request_sha256 = '';
DELETE FROM idempotency_key;
INSERT INTO idempotency_key (caller, key, request_sha256, leased_until, operation_id)
    VALUES ('x', 'x', '', now(), gen_random_uuid());
DELETE FROM credential;
UPDATE credential SET id = 'x';
DELETE FROM card;
UPDATE card SET id = 'x';
INSERT INTO credit_hold (spend_id, account_id, credits) VALUES ('x', 'u1', 1);
DELETE FROM credit_hold;
INSERT INTO outbox_effect (source, kind, object_id, idempotency_key, log_id, event_id)
    VALUES ('stripe', 'create_refund', 'x', 'x', 1, 'x');
UPDATE outbox_effect SET arguments = '{"amount_minor": 1}';
UPDATE outbox_effect SET idempotency_key = 'x';
DELETE FROM outbox_effect;
UPDATE alert SET name = 'x';
INSERT INTO virtual_card (account_id, cardholder_name, last4, exp_month, exp_year)
    VALUES ('u1', 'x', '1001', 1, 2030);
UPDATE virtual_card SET account_id = 'u1';
UPDATE orders SET status = 'completed';
UPDATE subscription SET status = 'active';
INSERT INTO license (source, order_id, product, account_id, status) VALUES ('x', 'x', 'x', 'u1', 'active');
UPDATE trial SET account_id = 'u2';
DELETE FROM trial;
DELETE FROM plan;
UPDATE product SET id = 'other'
"""


@pytest.mark.parametrize("statement", FORBIDDEN.split(";"))
async def test_the_api_role_may_not(api: asyncpg.Connection, statement: str) -> None:
    """Even a wrong import cannot make a purchase paid, nor money out of nothing."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.execute(statement)


@pytest.mark.parametrize("role", ["sluice_ingest", "sluice_worker", "sluice_reconciler", "sluice_dashboard"])
async def test_no_other_role_may_call_the_functions(dsn: str, role: str) -> None:
    """They are the API's."""
    connection = await pool.connect(dsn, role, "tests")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await purse.grant_usdc(connection, uuid.uuid4(), "u1", 1, "x")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await purse.hold_credits(connection, "x", "u1", 1)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT * FROM virtual_card")
    finally:
        await connection.close()


@pytest.mark.parametrize("amount", [0, -1])
async def test_a_grant_takes_nothing_away(api: asyncpg.Connection, amount: int) -> None:
    """The function refuses by itself what the endpoint has refused already."""
    with pytest.raises(asyncpg.CheckViolationError):
        await purse.grant_usdc(api, uuid.uuid4(), "u1", amount, "eva")


@pytest.mark.parametrize("account", ["system:grants", "system:credits_issued", "system:mine", ""])
async def test_a_grant_goes_to_customers(api: asyncpg.Connection, seed: Seed, account: str) -> None:
    """The house grants nothing to itself."""
    with pytest.raises(asyncpg.PostgresError):
        await purse.grant_usdc(api, uuid.uuid4(), account, 1, "eva")

    assert await seed.value("SELECT count(*) FROM ledger_transaction") == 0


async def test_one_operation_grants_one_thing(api: asyncpg.Connection) -> None:
    """The same operation finds its grant; with another amount or account it is a mistake, and told."""
    operation = uuid.uuid4()
    first = await purse.grant_usdc(api, operation, "u1", 5, "eva")
    second = await purse.grant_usdc(api, operation, "u1", 5, "eva")

    assert second == first
    for account, amount in (("u1", 6), ("u2", 5)):
        with pytest.raises(asyncpg.UniqueViolationError):
            await purse.grant_usdc(api, operation, account, amount, "eva")
