"""`POST /api/billing/credits/topup`: an operator's grant of USDC, exact, once per key, explained."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.house import OPS, Answer, House, customer
from tests.api.seed import Seed

PATH = "/api/billing/credits/topup"
GOOD = {"user_id": "user-1", "amount_usdc": "12.5"}


async def grant(house: House, key: str, **changes: object) -> Answer:
    """Ask for a grant under a key."""
    return await house.post(PATH, {**OPS, "Idempotency-Key": key}, {**GOOD, **changes})


async def balance(house: House, user_id: str) -> Any:
    """What the customer reads."""
    return (await house.get("/api/billing/credits", customer(user_id))).json["balance_usdc"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("12.5", "12.50"),
        ("1", "1.00"),
        ("0.0000001", "0.0000001"),
        ("999999.9999999", "999999.9999999"),
        ("007.10", "7.10"),
        ("922337203685.4775807", "922337203685.4775807"),
    ],
)
async def test_a_grant_is_exact(shop: House, seed: Seed, text: str, shown: str) -> None:
    """What was granted is what the customer has, to the last of seven digits, and the house owes it."""
    answer = await grant(shop, "k", amount_usdc=text)

    assert answer.status == 201
    assert {name: answer.json[name] for name in ("user_id", "amount_usdc", "balance_usdc")} == {
        "user_id": "user-1", "amount_usdc": shown, "balance_usdc": shown,
    }  # fmt: skip
    assert await balance(shop, "user-1") == shown
    assert await seed.value("SELECT sum(amount) FROM balance WHERE unit = 'usdc'") == 0


async def test_a_grant_explains_itself(shop: House, seed: Seed) -> None:
    """The ledger says who granted, and that the account was opened for it."""
    await grant(shop, "k")
    explained = (await shop.get("/audit/explain/account/user-1", OPS)).json

    opened, posted = explained["history"]
    assert (opened["what"], opened["rule"], opened["cause"]["actor"]) == ("transition", "first_credit", "eva")
    assert (posted["movement"], posted["cause"]["actor"], posted["after"]) == (
        "grant", "eva", {"usdc": 125_000_000},
    )  # fmt: skip
    assert await seed.rows("SELECT account_id, amount FROM ledger_posting ORDER BY 1") == [
        {"account_id": "system:grants", "amount": -125_000_000},
        {"account_id": "user-1", "amount": 125_000_000},
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount_usdc": "0"}, "amount_usdc"),
        ({"amount_usdc": "0.0000000"}, "amount_usdc"),
        ({"amount_usdc": "-1"}, "amount_usdc"),
        ({"amount_usdc": "+1"}, "amount_usdc"),
        ({"amount_usdc": "1e3"}, "amount_usdc"),
        ({"amount_usdc": "1."}, "amount_usdc"),
        ({"amount_usdc": ".5"}, "amount_usdc"),
        ({"amount_usdc": "1,5"}, "amount_usdc"),
        ({"amount_usdc": "1\n"}, "amount_usdc"),
        ({"amount_usdc": " 1"}, "amount_usdc"),
        ({"amount_usdc": "٣"}, "amount_usdc"),
        ({"amount_usdc": ""}, "amount_usdc"),
        ({"amount_usdc": "0.00000001"}, "amount_usdc"),
        ({"amount_usdc": "922337203685.4775808"}, "amount_usdc"),
        ({"amount_usdc": "9" * 33}, "amount_usdc"),
        ({"amount_usdc": 12.5}, "amount_usdc"),
        ({"amount_usdc": 12}, "amount_usdc"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "system:grants"}, "user_id"),
        ({"user_id": "a" * 256}, "user_id"),
        ({"user_id": "ä" * 200}, "user_id"),
        ({"user_id": "a\u0000b"}, "user_id"),
        ({"user_id": 5}, "user_id"),
        ({"note": "x"}, "note"),
    ],
)
async def test_a_wrong_grant_moves_nothing(
    shop: House, seed: Seed, changes: dict[str, object], field: str
) -> None:
    """Amounts are plain decimal text above zero, and only customers are granted anything."""
    answer = await grant(shop, "k", **changes)

    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")
    assert [detail["field"] for detail in answer.json["details"]] == [field]
    assert await seed.value("SELECT count(*) FROM ledger_transaction") == 0
    assert await seed.value("SELECT count(*) FROM idempotency_key") == 0


async def test_a_grant_beyond_what_a_balance_holds_is_refused(shop: House, seed: Seed) -> None:
    """The balance cannot wrap around; nothing of the refused grant is left."""
    await grant(shop, "k1", amount_usdc="922337203685")
    second = await grant(shop, "k2", amount_usdc="1")
    other = await grant(shop, "k3", user_id="user-2", amount_usdc="1")

    assert (second.status, second.json["details"][0]["field"]) == (400, "amount_usdc")
    # The house owes more than it can write down, too.
    assert other.status == 400
    assert await balance(shop, "user-1") == "922337203685.00"
    assert await seed.value("SELECT count(*) FROM ledger_transaction") == 1


async def test_fifty_equal_grants_at_once_grant_once(shop: House, seed: Seed) -> None:
    """One key, fifty requests: one movement, one answer."""
    answers = await asyncio.gather(*(grant(shop, "k") for _ in range(50)))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert await seed.value("SELECT count(*) FROM ledger_transaction") == 1
    assert await balance(shop, "user-1") == "12.50"


async def test_fifty_grants_at_once_lose_none(shop: House) -> None:
    """Fifty keys: the sum, to the unit."""
    answers = await asyncio.gather(*(grant(shop, f"k{n}", amount_usdc="0.0000003") for n in range(50)))

    assert {answer.status for answer in answers} == {201}
    assert await balance(shop, "user-1") == "0.000015"


async def test_a_grant_needs_a_key_and_an_operator(shop: House, seed: Seed) -> None:
    """Without a key it cannot be repeated safely; a customer grants nothing to anybody."""
    without = await shop.post(PATH, OPS, GOOD)
    by_customer = await shop.post(PATH, {**customer("user-1"), "Idempotency-Key": "k"}, GOOD)

    assert (without.status, without.json["code"]) == (400, "IDEMPOTENCY_KEY_REQUIRED")
    assert (by_customer.status, by_customer.json["code"]) == (401, "INVALID_TOKEN")
    assert await seed.value("SELECT count(*) FROM ledger_transaction") == 0
