"""`GET /api/billing/credits/transactions`: all that moved, newest first, page by page, with its cause."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from api import filters
from api.amounts import minor_units
from billing.units import decimal_text
from db.purse import PURSE, TOP, Place
from tests.api.house import DASHBOARD, OPS, House, customer
from tests.api.seed import Seed
from tests.support.stripe_events import checkout, event, refund

PATH = "/api/billing/credits/transactions"


async def pages(house: House, user_id: str, limit: int) -> list[list[dict[str, Any]]]:
    """All pages of a customer's postings."""
    found: list[list[dict[str, Any]]] = []
    cursor = ""
    while True:
        answer = await house.get(f"{PATH}?limit={limit}{cursor}", customer(f"{user_id}"))
        assert answer.status == 200, answer.body
        found.append(answer.json["items"])
        if answer.json["next_cursor"] is None:
            return found
        cursor = f"&cursor={answer.json['next_cursor']}"


async def test_each_posting_tells_its_cause(shop: House, seed: Seed) -> None:
    """A purchase, its partial refund and a grant: amount, unit, movement, and what it was for."""
    session = checkout(credits=100, amount=150, account="u1")
    bought = event("checkout.session.completed", session)
    taken = refund(session["payment_intent"], 75)
    returned = event("refund.created", taken)
    await seed.applied(bought)
    await seed.applied(returned)
    await shop.post(
        "/api/billing/credits/topup",
        {**OPS, "Idempotency-Key": "k"},
        {"user_id": "u1", "amount_usdc": "0.0000001"},
    )
    ((granted, clawed, topped),) = await pages(shop, "u1", 50)

    assert topped.keys() == {
        "transaction_id", "posted_at", "unit", "exponent", "amount_minor", "amount", "movement", "cause",
    }  # fmt: skip
    assert [(each["unit"], each["amount"], each["movement"]) for each in (granted, clawed, topped)] == [
        ("usdc", "0.0000001", "grant"),
        ("credit", "-50", "refund_clawback"),
        ("credit", "100", "topup"),
    ]
    assert topped["cause"] == {
        "kind": "event", "source": "stripe", "object_id": session["id"], "event_id": bought["id"],
        "event_type": "checkout.session.completed",
    }  # fmt: skip
    assert (clawed["cause"]["object_id"], clawed["cause"]["event_id"]) == (taken["id"], returned["id"])
    assert granted["cause"]["kind"] == "operator"
    assert "eva" not in str(granted), "who of the house granted is not the customer's business"


@pytest.mark.parametrize("limit", [1, 3, 7, 200])
async def test_pages_hold_everything_once(shop: House, seed: Seed, limit: int) -> None:
    """However it is cut, the list is whole and newest first, and what comes meanwhile moves nothing."""
    for number in range(1, 8):
        await seed.grant("u1", "usdc" if number % 2 else "credit", number)
    found = [each["amount_minor"] for page in await pages(shop, "u1", limit) for each in page]

    assert found == [7, 6, 5, 4, 3, 2, 1]


async def test_one_transaction_in_two_units_is_not_torn(shop: House, seed: Seed) -> None:
    """A page may end between two postings of one transaction."""
    await seed.grant("u1", "credit", 1)
    async with seed.connection.transaction():
        transaction = await seed.value(
            "INSERT INTO ledger_transaction (source, movement, money_object, actor) "
            "VALUES ('tests', 'grant', 'both', 'tests') RETURNING id"
        )
        await seed.connection.execute(
            "INSERT INTO ledger_posting (transaction_id, account_id, unit, amount) VALUES "
            "($1, 'u1', 'usd', 2), ($1, 'system:grants', 'usd', -2), "
            "($1, 'u1', 'eur', 3), ($1, 'system:grants', 'eur', -3)",
            transaction,
        )

    assert [[each["unit"] for each in page] for page in await pages(shop, "u1", 1)] == [
        ["usd"],
        ["eur"],
        ["credit"],
    ]


async def test_nobody_elses_postings(shop: House, seed: Seed) -> None:
    """A customer reads their own, with a cursor of another's list too; ops tokens have the audit API."""
    for account in ("rich", "poor"):
        for amount in (1, 2):
            await seed.grant(account, "credit", amount)
    cursor = (await shop.get(f"{PATH}?limit=1", customer("rich"))).json["next_cursor"]
    borrowed = (await shop.get(f"{PATH}?cursor={cursor}", customer("poor"))).json["items"]
    accounts = await seed.rows(
        "SELECT DISTINCT p.account_id FROM ledger_posting p WHERE p.transaction_id = ANY($1::bigint[])",
        [int(each["transaction_id"]) for each in borrowed],
    )

    assert {row["account_id"] for row in accounts} <= {"poor", "system:grants"}
    assert (await shop.get(PATH, customer("stranger"))).json == {"items": [], "next_cursor": None}
    assert [(await shop.get(PATH, headers)).status for headers in (OPS, DASHBOARD, {})] == [403, 403, 401]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=201",
        "limit=1e9",
        "limit=",
        "cursor=",
        "cursor=x",
        f"cursor={filters.encode_cursor(5)}",
        f"cursor={filters.encode_place(5, 'usdc')}A",
        f"cursor={filters.encode_place(5, '')}",
        f"cursor={filters.encode_place(0, 'usdc')}",
        f"cursor={base64.urlsafe_b64encode(bytes(20)).decode().rstrip('=')}",
        "sort=id;drop",
        "limit=1&limit=2",
    ],
)
async def test_a_bad_page_is_400(shop: House, query: str) -> None:
    """A limit, cursor or parameter that means nothing here is named."""
    answer = await shop.get(f"{PATH}?{query}", customer("u1"))

    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")
    assert [detail["field"] for detail in answer.json["details"]] == [query.partition("=")[0]]


async def test_a_page_is_found_by_index(seed: Seed) -> None:
    """However much moved on other accounts, a page reads its own rows only."""
    await seed.connection.execute(
        "WITH made AS (INSERT INTO ledger_transaction (source, movement, money_object, actor) "
        "SELECT 'tests', 'grant', n::text, 'tests' FROM generate_series(1, 5000) n RETURNING id), "
        "opened AS (INSERT INTO account (id) SELECT 'u' || n FROM generate_series(0, 499) n RETURNING id) "
        "INSERT INTO ledger_posting (transaction_id, account_id, unit, amount) "
        "SELECT m.id, leg.account_id, 'usdc', leg.amount FROM made m, LATERAL "
        "(VALUES ('u' || (m.id % 500), 1), ('system:grants', -1)) AS leg (account_id, amount)"
    )
    await seed.connection.execute("ANALYZE")
    for account, below in (("u1", TOP), ("u1", Place(2_500, "usdc")), ("nobody", TOP)):
        found = await seed.connection.fetch(
            f"EXPLAIN (ANALYZE, COSTS OFF) {PURSE.postings_of_account}",
            account,
            below.transaction_id,
            below.unit,
            51,
        )
        text = "\n".join(row[0] for row in found)

        assert "Seq Scan on ledger_" not in text
        assert "ledger_posting_pkey" in text
        assert "Rows Removed by Filter" not in text


@pytest.mark.parametrize("amount", [1, 10**7, 999_999 * 10**7 + 9_999_999, 2**63 - 1])
def test_amounts_are_read_as_they_are_shown(amount: int) -> None:
    """Text and minor units are inverses."""
    assert minor_units(decimal_text(amount, 7), 7) == amount
