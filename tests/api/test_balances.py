"""Customers' balances: exact decimals, one row however many ask first, nobody else's."""

from __future__ import annotations

import asyncio
import re

import asyncpg
import pytest

from billing.units import decimal_text
from tests.api.house import DASHBOARD, OPS, House, customer, gateway
from tests.api.seed import Seed
from tests.support.poll import until
from tests.support.stripe_events import checkout, event, refund

ISO_MS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")


@pytest.mark.parametrize(
    ("amount", "exponent", "text"),
    [
        (0, 7, "0.00"),
        (1, 7, "0.0000001"),
        (10, 7, "0.000001"),
        (9_999_999_999_999, 7, "999999.9999999"),
        (15_000_000, 7, "1.50"),
        (12_340_000, 7, "1.234"),
        (10_000_000, 7, "1.00"),
        (-1, 7, "-0.0000001"),
        (-15_000_000, 7, "-1.50"),
        (2**63 - 1, 7, "922337203685.4775807"),
        (-(2**63), 7, "-922337203685.4775808"),
        (250, 0, "250"),
        (-250, 0, "-250"),
        (5, 2, "0.05"),
        (1234, 3, "1.234"),
        (1500, 3, "1.500"),
        (-1200, 3, "-1.200"),
        (0, 4, "0.0000"),
        (120_000, 4, "12.0000"),
        (100, 2, "1.00"),
        (7, 1, "0.7"),
    ],
)
def test_decimal_text_is_exact(amount: int, exponent: int, text: str) -> None:
    """Minor units become decimal text without rounding: all digits of a currency, of USDC at least two."""
    assert decimal_text(amount, exponent) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (1, "0.0000001"),
        (9_999_999_999_999, "999999.9999999"),
        (2**62, "461168601842.7387904"),
        (-3, "-0.0000003"),
    ],
)
async def test_usdc_balance_has_four_strings(house: House, seed: Seed, amount: int, text: str) -> None:
    """The prepaid balance is four strings: user, exact decimals, two times in milliseconds."""
    await seed.grant("user-1", "usdc", amount)

    answer = await house.get("/api/billing/credits", customer("user-1"))

    assert answer.status == 200
    assert answer.json.keys() == {"user_id", "balance_usdc", "created_at", "updated_at"}
    assert (answer.json["user_id"], answer.json["balance_usdc"]) == ("user-1", text)
    assert ISO_MS.fullmatch(answer.json["created_at"])
    assert ISO_MS.fullmatch(answer.json["updated_at"])
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("headers", [customer("user-1"), gateway("user-1")])
async def test_a_token_and_a_proven_gateway_read_the_same(
    house: House, seed: Seed, headers: dict[str, str]
) -> None:
    """An `x-user-id` is believed beside the gateway's secret only: the system before this one believed
    anybody.

    Reads at once agree, and reading changes nothing.
    """
    await seed.grant("user-1", "usdc", 9_999_999_999_999)
    before = await seed.rows("SELECT * FROM balance ORDER BY account_id, unit")
    unproven = [
        await house.get("/api/billing/credits", {"x-user-id": "user-1"}),
        await house.get("/api/billing/credits", {"x-user-id": "user-1", "x-gateway-secret": "guess"}),
    ]
    answers = await asyncio.gather(*(house.get("/api/billing/credits", headers) for _ in range(3)))

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert (answers[0].json["user_id"], answers[0].json["balance_usdc"]) == ("user-1", "999999.9999999")
    assert [(answer.status, answer.json["code"]) for answer in unproven] == [(401, "UNAUTHORIZED")] * 2
    assert await seed.rows("SELECT * FROM balance ORDER BY account_id, unit") == before


async def test_a_balance_always_has_its_times(seed: Seed) -> None:
    """The system before this one tolerated rows without times; here the database has none."""
    await seed.grant("user-1", "usdc", 1)
    for column in ("created_at", "updated_at"):
        with pytest.raises(asyncpg.NotNullViolationError):
            await seed.connection.execute(f"UPDATE balance SET {column} = NULL")


async def test_a_database_that_fails_is_a_500_that_says_nothing(house: House, seed: Seed) -> None:
    """The one shape, and not a word of what went wrong."""
    await seed.connection.execute("ALTER TABLE balance RENAME TO balance_canary")
    answer = await house.get("/api/billing/credits", customer("user-1"))
    await seed.connection.execute("ALTER TABLE balance_canary RENAME TO balance")

    assert (answer.status, answer.json["code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert answer.json["details"] == []
    assert re.search(rb"balance|relation|SELECT|asyncpg", answer.body) is None


async def test_ten_first_reads_make_one_row(house: House, seed: Seed) -> None:
    """Ten first reads at once all read zero, agree on the time of creation, and leave one row."""
    answers = await asyncio.gather(
        *(house.get("/api/billing/credits", customer("newcomer")) for _ in range(10))
    )

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].json["balance_usdc"] == "0.00"
    rows = await seed.rows("SELECT unit, amount FROM balance WHERE account_id = 'newcomer'")
    assert rows == [{"unit": "usdc", "amount": 0}]


async def test_created_at_stays_when_the_balance_moves(house: House, seed: Seed) -> None:
    """A grant moves `updated_at` and the balance, never `created_at`."""
    first = (await house.get("/api/billing/credits", customer("user-1"))).json
    await seed.grant("user-1", "usdc", 25_000_000)

    second = (await house.get("/api/billing/credits", customer("user-1"))).json

    assert (second["created_at"], second["balance_usdc"]) == (first["created_at"], "2.50")
    assert second["updated_at"] >= first["updated_at"]


@pytest.mark.parametrize("query", ["user_id=other", "x", "x=", "%00=1", "a=1&b=2"])
async def test_any_query_parameter_is_refused(house: House, query: str) -> None:
    """The prepaid balance takes no parameters: each one is named in the details of a 400."""
    answer = await house.get(f"/api/billing/credits?{query}", customer("user-1"))

    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")
    assert len(answer.json["details"]) == len(query.split("&"))
    assert all(detail.keys() == {"field", "message", "code"} for detail in answer.json["details"])


async def test_credits_follow_topups_and_refunds(house: House, seed: Seed) -> None:
    """Remaining and total are what was granted less what was taken back; nothing is used up."""
    session = checkout(credits=100, amount=150, account="user-1")
    await seed.applied(event("checkout.session.completed", session))
    bought = (await house.get("/api/accounts/user-1/credits", customer("user-1"))).json
    await seed.applied(event("refund.created", refund(session["payment_intent"], 75)))
    refunded = (await house.get("/api/accounts/user-1/credits", customer("user-1"))).json

    def figures(answer: dict[str, object]) -> tuple[object, ...]:
        return tuple(answer[f"{which}_credits"] for which in ("remaining", "total", "used"))

    assert figures(bought) == (100, 100, 0)
    assert figures(refunded) == (50, 50, 0)
    assert refunded.keys() == {
        "account_id", "remaining_credits", "total_credits", "used_credits", "is_pro", "timestamp",
    }  # fmt: skip
    assert (refunded["account_id"], refunded["is_pro"]) == ("user-1", False)
    assert ISO_MS.fullmatch(refunded["timestamp"])


async def test_own_account_that_is_not_there_reads_as_zero(house: House, seed: Seed) -> None:
    """Whoever has no account yet reads zeros, and reading makes none."""
    answer = await house.get("/api/accounts/user-1/credits", customer("user-1"))

    assert (answer.status, answer.json["remaining_credits"], answer.json["total_credits"]) == (200, 0, 0)
    assert await seed.value("SELECT count(*) FROM account WHERE id = 'user-1'") == 0


async def test_anothers_account_looks_like_none(house: House, seed: Seed) -> None:
    """Another's account, and one that does not exist, are the same 404 for a customer."""
    await seed.grant("rich", "credit", 5)

    answers = [
        await house.get(f"/api/accounts/{account}/credits", {**headers, "X-Request-Id": "same"})
        for headers in (customer("poor-1"), gateway("poor-2"), gateway("poor-3", **{"x-user-role": "user"}))
        for account in ("rich", "nobody", "system:grants", "%00", "rich%2F")
    ]

    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("headers", [OPS, DASHBOARD, gateway("admin-1", **{"x-user-role": "admin"})])
async def test_admin_and_ops_read_any_customer(house: House, seed: Seed, headers: dict[str, str]) -> None:
    """A gateway's admin and ops tokens read any customer's credits: zeros where nothing was ever credited."""
    await seed.grant("rich", "credit", 5)

    found = await house.get("/api/accounts/rich/credits", headers)
    absent = await house.get("/api/accounts/nobody/credits", headers)
    of_the_house = await house.get("/api/accounts/system:grants/credits", headers)

    assert (found.status, found.json["remaining_credits"]) == (200, 5)
    assert (absent.status, absent.json["remaining_credits"]) == (200, 0)
    assert of_the_house.status == 404


async def test_eleventh_request_is_told_to_wait(house: House) -> None:
    """After ten requests at once a customer is told 429 and how long, and is served again later; another
    customer and ops are not told so.
    """
    answers = await asyncio.gather(*(house.get("/api/billing/credits", customer("eager")) for _ in range(40)))
    refused = [answer for answer in answers if answer.status == 429]
    another = await house.get("/api/billing/credits", customer("calm"))

    async def is_served() -> bool:
        return (await house.get("/api/billing/credits", customer("eager"))).status == 200

    await until(is_served, 30, "the customer to be served again")  # when: `test_buckets`, by given times

    # One a second comes back while the forty are served.
    assert 10 <= len(answers) - len(refused) < 20
    assert {(answer.json["code"], answer.headers["Retry-After"]) for answer in refused} == {
        ("TOO_MANY_REQUESTS", "1")
    }
    assert another.status == 200
    assert {(await house.get("/audit/deliveries", OPS)).status for _ in range(15)} == {200}


async def test_gateway_and_token_share_one_bucket(house: House) -> None:
    """A customer has one ration, whichever way they come."""
    ways = (customer("eager"), gateway("eager"))
    answers = await asyncio.gather(
        *(house.get("/api/billing/credits", ways[number % 2]) for number in range(40))
    )

    assert 10 <= sum(answer.status == 200 for answer in answers) < 20
