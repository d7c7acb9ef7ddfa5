"""`POST /api/v1/orders/{id}/refund`: who may, for how long, and that there is only ever one at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.api.house import OPS, Answer, customer
from tests.api.seed import Seed
from tests.customers.market import BUYER, ORDERS, OTHER, SELLER, Market
from tests.support.poll import until

LATE = "UPDATE orders SET completed_at = now() - interval '14 days 1 minute'"
IN_TIME = "UPDATE orders SET completed_at = now() - interval '13 days 23 hours'"


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


async def held(seed: Seed, account_id: str = SELLER) -> Any:
    return await seed.value("SELECT amount FROM balance WHERE account_id = $1 AND unit = 'usd'", account_id)


async def tried_again(seed: Seed) -> None:
    """Let the time pass that a call which did not work out waits for its next try."""

    async def has_failed() -> bool:
        return bool(
            await seed.value(
                "SELECT count(*) FROM outbox_effect WHERE state = 'pending' AND last_error IS NOT NULL"
            )
        )

    await until(has_failed, 30, "a call to fail")
    await seed.connection.execute("UPDATE outbox_effect SET next_attempt_at = now() WHERE state = 'pending'")


@pytest.mark.parametrize("path", [ORDERS, "/marketplace/orders"])
async def test_from_the_request_to_the_sellers_debit(market: Market, seed: Seed, path: str) -> None:
    """Pending is the answer; the provider's event finishes it: licences gone, the seller debited."""
    order_id = await market.bought()
    before = await held(seed)
    answer = await market.house.post(f"{path}/{order_id}/refund", customer(BUYER))
    order = await market.becomes(order_id, "refunded")
    (refund,) = await market.refunds()

    assert answer.status == 200
    assert answer.json["refund"] == {"id": order["refunds"][0]["id"], "status": "pending"}
    assert set(answer.json) == {"refund", "message"}
    assert order["refunds"] == [{**answer.json["refund"], "status": "succeeded", "amount_minor": 1_000}]
    assert refund.metadata is not None
    assert (refund.amount, refund.metadata["refundId"]) == (1_000, answer.json["refund"]["id"])
    assert await seed.rows("SELECT DISTINCT status FROM license") == [{"status": "revoked"}]
    assert (before, await held(seed)) == (800, 0)


async def test_the_key_at_the_provider_is_the_refund(market: Market) -> None:
    """The same at every try, so that a lost answer refunds nothing twice."""
    order_id = await market.bought()
    refund_id = (await market.refund(order_id)).json["refund"]["id"]
    await market.becomes(order_id, "refunded")

    assert market.wire.asked[1:] == [("/v1/refunds", refund_id)]


async def test_a_sellers_debt_stays_visible(market: Market, seed: Seed) -> None:
    """What the seller was paid out meanwhile is owed after the refund: below zero, not clamped."""
    order_id = await market.bought()
    (payment,) = await market.payments()
    await market.psp.stripe.v1.transfers.create_async(
        {"amount": 800, "currency": "usd", "destination": "acct_1", "transfer_group": order_id}
    )

    async def paid_out() -> bool:
        return bool(await held(seed) == 0)

    await until(paid_out, 30, "the transfer to arrive")
    await market.psp.fault(kind="status", path="/v1/transfers", status=429)
    await market.psp.stripe.v1.refunds.create_async({"payment_intent": payment.id})
    await market.becomes(order_id, "refunded")
    owed = await held(seed)
    await tried_again(seed)
    await until(paid_out, 30, "the transfer to come back")

    assert owed == -800
    assert await seed.rows("SELECT status FROM seller_transfer") == [{"status": "reversed"}]


async def test_who_may(market: Market) -> None:
    """Buyer, seller and operators; others find no such order."""
    orders = [await market.bought(f"buyer-{number}") for number in range(3)]
    answers = [
        await market.refund(orders[0], OTHER),
        await market.refund("no-such-order"),
        await market.house.post(f"{ORDERS}/{orders[0]}/refund"),
        await market.refund(orders[0], "buyer-0"),
        await market.refund(orders[1], SELLER),
        await market.house.post(f"{ORDERS}/{orders[2]}/refund", OPS),
    ]

    assert [answer.status for answer in answers] == [404, 404, 401, 200, 200, 200]


async def test_a_second_request_is_refused(market: Market, seed: Seed) -> None:
    """While one is open another is an error of its own; so it stays under its key, whatever comes later."""
    order_id = await market.bought()
    market.wire.spoil = ["429"]  # the refund waits for its second try
    first = await market.refund(order_id, key="k1")
    second = await market.refund(order_id, SELLER, key="k2")
    await tried_again(seed)
    await market.becomes(order_id, "refunded")
    again = [await market.refund(order_id, key="k1"), await market.refund(order_id, SELLER, key="k2")]
    third = await market.refund(order_id)

    assert first.status == 200
    assert told(second) == (400, "REFUND_ALREADY_REQUESTED")
    assert [answer.body for answer in again] == [first.body, second.body]
    assert told(third) == (400, "ORDER_NOT_REFUNDABLE")
    assert await seed.value("SELECT count(*) FROM refund") == 1
    assert len(await market.refunds()) == 1


async def test_what_is_not_refundable(market: Market) -> None:
    """An order that is not paid, one whose payment failed, more than there is, and nothing at all."""
    paid = await market.bought()
    pending, failed = (await market.order()).json, (await market.order()).json
    await market.pay(failed["payment_id"], "fail")
    await market.becomes(failed["id"], "failed")
    answers = [
        await market.refund(pending["id"]),
        await market.refund(failed["id"]),
        await market.refund(paid, body={"amount_minor": 1_001}),
        await market.refund(paid, SELLER, body={"amount_minor": 0}),
        await market.refund(paid, SELLER, body={"amount": 5}),
        await market.refund(paid, SELLER, body=[]),
    ]

    assert [told(answer) for answer in answers] == [
        *[(400, "ORDER_NOT_REFUNDABLE")] * 3,
        *[(400, "VALIDATION_ERROR")] * 3,
    ]
    assert await market.refunds() == []


async def test_an_order_without_a_payment_is_not_refundable(market: Market, seed: Seed) -> None:
    """The provider refused to open its payment, so there is nothing to give back."""
    await market.put("/ops/products/book", {"amount_minor": 1_000, "currency": "usd"})
    await market.psp.fault(kind="status", path="/v1/payment_intents", status=400)
    await market.order()
    order_id = await seed.value("SELECT id FROM orders")

    assert told(await market.refund(order_id)) == (400, "ORDER_NOT_REFUNDABLE")


async def test_the_window_is_fourteen_days(market: Market, seed: Seed) -> None:
    """From the order's completion, by the clock of the house."""
    order_id = await market.bought()
    await seed.connection.execute(LATE)
    late = await market.refund(order_id)
    await seed.connection.execute(IN_TIME)
    in_time = await market.refund(order_id)

    assert told(late) == (400, "REFUND_WINDOW_EXPIRED")
    assert in_time.status == 200


async def test_the_window_never_stays_open(market: Market, seed: Seed) -> None:
    """An order whose row has lost the time of its completion is as old as the order itself."""
    order_id = await market.bought()
    kept = await seed.value("SELECT completed_at FROM orders")
    lose = "UPDATE orders SET completed_at = NULL, created_at = now() - $1::interval"
    await seed.connection.execute(lose, timedelta(days=14, minutes=1))
    late = await market.refund(order_id)
    await seed.connection.execute(lose, timedelta(days=13))
    in_time = await market.refund(order_id)
    await seed.connection.execute("UPDATE orders SET completed_at = $1", kept)

    assert told(late) == (400, "REFUND_WINDOW_EXPIRED")
    assert in_time.status == 200


async def test_refunds_without_the_providers_id_stand_beside_each_other(market: Market, seed: Seed) -> None:
    """Two orders whose refunds have not reached the provider yet; an id of its is one refund's, and never
    empty.

    In the system before this one an empty id stood for none, and the second refund could not be written.
    """
    orders = [await market.bought(f"buyer-{number}") for number in range(2)]
    market.wire.spoil = ["429", "429"]
    answers = [await market.refund(order_id, f"buyer-{n}") for n, order_id in enumerate(orders)]
    unnamed = await seed.value("SELECT count(*) FROM refund WHERE psp_id IS NULL")
    for psp_id, error in (("re_same", asyncpg.UniqueViolationError), ("", asyncpg.CheckViolationError)):
        with pytest.raises(error):
            await seed.connection.execute("UPDATE refund SET psp_id = $1", psp_id)
    await seed.connection.execute("UPDATE outbox_effect SET next_attempt_at = now() WHERE state = 'pending'")
    for order_id in orders:
        await market.becomes(order_id, "refunded")

    assert [answer.status for answer in answers] == [200, 200]
    assert unnamed == 2
    assert await seed.value("SELECT count(DISTINCT psp_id) FROM refund WHERE status = 'succeeded'") == 2


async def test_partial_refunds_add_up(market: Market, seed: Seed) -> None:
    """Parts leave the order complete until all is given back; the seller's share goes in proportion."""
    order_id = await market.bought()
    first = await market.refund(order_id, body={"amount_minor": 300})

    async def given_back() -> bool:
        return bool(await held(seed) == 560)

    await until(given_back, 30, "the first part to be given back")
    order = await market.becomes(order_id, "completed")
    too_much = await market.refund(order_id, body={"amount_minor": 701})
    rest = await market.refund(order_id)
    after = await market.becomes(order_id, "refunded")

    assert (first.status, rest.status) == (200, 200)
    assert [each["status"] for each in order["refunds"]] == ["succeeded"]
    assert told(too_much) == (400, "ORDER_NOT_REFUNDABLE")
    assert [each["amount_minor"] for each in after["refunds"]] == [300, 700]
    assert await held(seed) == 0


async def test_two_full_refunds_at_once(market: Market, seed: Seed) -> None:
    """Buyer and seller at the same instant, with keys of their own: one wins, the other is told so."""
    order_id = await market.bought()
    answers = await asyncio.gather(
        *(market.refund(order_id, who, key=f"k-{n}") for n, who in enumerate([BUYER, SELLER] * 5))
    )
    await market.becomes(order_id, "refunded")
    refused = {told(answer) for answer in answers if answer.status != 200}

    assert sorted(answer.status for answer in answers) == [200] + [400] * 9
    assert refused <= {(400, "REFUND_ALREADY_REQUESTED"), (400, "ORDER_NOT_REFUNDABLE")}
    assert [refund.amount for refund in await market.refunds()] == [1_000]
    assert await seed.value("SELECT count(*) FROM refund") == 1


async def test_equal_requests_at_once_are_one_refund(market: Market) -> None:
    """Fifty clicks with one key: one refund, one answer."""
    order_id = await market.bought()
    headers = {**OPS, "Idempotency-Key": "once"}
    answers = await asyncio.gather(
        *(market.house.post(f"{ORDERS}/{order_id}/refund", headers) for _ in range(50))
    )
    await market.becomes(order_id, "refunded")

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len(await market.refunds()) == 1


async def test_a_refusal_of_the_provider_rolls_back(market: Market, seed: Seed) -> None:
    """The refund failed and the order is complete again, so the buyer may ask once more."""
    order_id = await market.bought()
    await market.psp.fault(kind="status", path="/v1/refunds", status=400)
    refused = await market.refund(order_id)

    async def rolled_back() -> bool:
        order = (await market.house.get(f"{ORDERS}/{order_id}", OPS)).json
        return [each["status"] for each in order["refunds"]] == ["failed"] and order["status"] == "completed"

    await until(rolled_back, 30, "the order to be complete again")
    licences = await seed.rows("SELECT DISTINCT status FROM license")
    again = await market.refund(order_id)
    await market.becomes(order_id, "refunded")

    assert refused.json["refund"]["status"] == "pending"
    assert licences == [{"status": "active"}]
    assert again.status == 200


@pytest.mark.parametrize("misfortune", ["500", "hang", "429", "drop"])
async def test_a_provider_that_does_not_say_what_it_did(market: Market, seed: Seed, misfortune: str) -> None:
    """The buyer hears the same at once; the outbox asks until it knows: one refund there, one here."""
    order_id = await market.bought()
    market.wire.spoil = [misfortune]
    answer = await market.refund(order_id)
    await tried_again(seed)
    await market.becomes(order_id, "refunded")

    assert answer.json["refund"]["status"] == "pending"
    assert [refund.amount for refund in await market.refunds()] == [1_000]
    assert await seed.value("SELECT count(*) FROM refund WHERE status = 'succeeded'") == 1


async def test_a_refund_that_failed_later_gives_all_back(market: Market, seed: Seed) -> None:
    """The bank refuses days after: licences and the seller's money return."""
    order_id = await market.bought()
    await market.refund(order_id)
    await market.becomes(order_id, "refunded")
    (refund,) = await market.refunds()
    await market.psp.post(f"refunds/{refund.id}/fail")
    await market.becomes(order_id, "completed")

    assert await seed.rows("SELECT DISTINCT status FROM license") == [{"status": "active"}]
    assert await held(seed) == 800
