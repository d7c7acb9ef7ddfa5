"""`POST /api/v1/orders`: from the order to its payment, to licences and the seller's money."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.house import DASHBOARD, OPS, Answer, House, customer, gateway, running
from tests.api.seed import Seed
from tests.customers.market import BOOK, BUYER, ORDERS, OTHER, SELLER, Market

FREE: dict[str, Any] = {**BOOK, "buyer_id": BUYER}


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


async def test_from_the_order_to_the_licences(market: Market, seed: Seed) -> None:
    """A product is ordered at its price, paid at the provider, and then the buyer has its licences."""
    await market.put("/ops/products/book", BOOK)
    placed = await market.order()
    (payment,) = await market.payments()
    before = await seed.value("SELECT count(*) FROM license")
    await market.pay(payment.id)
    order = await market.becomes(placed.json["id"], "completed")

    assert placed.status == 201
    assert {name: placed.json[name] for name in ("status", "provider", "payment_id", "client_secret")} == {
        "status": "pending",
        "provider": "stripe",
        "payment_id": payment.id,
        "client_secret": payment.client_secret,
    }
    assert (payment.amount, payment.currency) == (1_000, "usd")
    assert payment.metadata.to_dict() == {"purpose": "order", "orderId": placed.json["id"]}
    assert before == 0
    assert (order["buyer_id"], order["seller_id"], order["amount_minor"]) == (BUYER, SELLER, 1_000)
    assert "client_secret" not in order
    assert await seed.rows("SELECT account_id, product, status FROM license ORDER BY product") == [
        {"account_id": BUYER, "product": "audiobook", "status": "active"},
        {"account_id": BUYER, "product": "book", "status": "active"},
    ]
    assert await seed.value("SELECT amount FROM balance WHERE account_id = $1", SELLER) == 800


async def test_the_key_at_the_provider_is_the_order(market: Market) -> None:
    """Named by our id, so that no number of tries opens a second payment."""
    await market.put("/ops/products/book", BOOK)
    placed = await market.order()

    assert market.wire.asked == [("/v1/payment_intents", placed.json["id"])]


async def test_the_log_says_who_ordered(market: Market, seed: Seed) -> None:
    """The intent is an event like any other, with the customer's name, and explains the order."""
    await market.put("/ops/products/book", BOOK)
    order_id = (await market.order()).json["id"]
    said = await seed.rows(
        "SELECT source, endpoint, origin, event_type, actor FROM webhook_log "
        "WHERE source = 'sluice' ORDER BY id"
    )
    explained = (await market.house.get(f"/audit/explain/order/{order_id}", OPS)).json

    assert said == [
        {"source": "sluice", "endpoint": "api", "origin": "operator", "event_type": "order.placed",
         "actor": f"customer:{BUYER}"},
        {"source": "sluice", "endpoint": "outbox", "origin": "reconciler", "event_type": "payment.opened",
         "actor": "api:effects"},
    ]  # fmt: skip
    assert [step["rule"] for step in explained["history"]] == ["placed", "payment_opened"]
    assert [(call["kind"], call["idempotency_key"], call["state"]) for call in explained["calls"]] == [
        ("open_payment", order_id, "done")
    ]


async def test_a_payment_that_fails_may_still_succeed(market: Market) -> None:
    """A declined card fails the order; another card completes it."""
    await market.put("/ops/products/book", BOOK)
    placed = (await market.order()).json
    await market.pay(placed["payment_id"], "fail")
    await market.becomes(placed["id"], "failed")
    await market.pay(placed["payment_id"])

    assert (await market.becomes(placed["id"], "completed"))["payment_id"] == placed["payment_id"]


async def test_orders_are_seen_by_those_they_concern(market: Market) -> None:
    """Buyer, seller, a gateway's admin, operators and dashboards; to others there is no such order."""
    await market.put("/ops/products/book", BOOK)
    order_id = (await market.order()).json["id"]
    statuses = [
        (await market.house.get(f"{ORDERS}/{order_id}", headers)).status
        for headers in (
            customer(BUYER),
            customer(SELLER),
            gateway("boss", **{"x-user-role": "admin"}),
            OPS,
            DASHBOARD,
            customer(OTHER),
            None,
        )
    ]
    unknown = await market.house.get(f"{ORDERS}/%00", customer(BUYER))

    assert statuses == [200, 200, 200, 200, 200, 404, 401]
    assert unknown.status == 404


async def test_a_buyer_names_no_price(market: Market) -> None:
    """Prices, and buyers other than oneself, are for operators and a gateway's admin."""
    await market.put("/ops/products/book", BOOK)
    house, admin = market.house, gateway("boss", **{"x-user-role": "admin"})
    answers = [
        await house.post(ORDERS, headers, body)
        for headers, body in (
            (customer("u1"), BOOK),
            (customer("u2"), {"product_id": "book", "buyer_id": BUYER}),
            (gateway("u3"), {"product_id": "book", "buyer_id": BUYER}),
            (OPS, {"product_id": "book"}),
            (DASHBOARD, {"product_id": "book", "buyer_id": BUYER}),
            (None, {"product_id": "book"}),
            (customer("u4"), {"product_id": "book", "buyer_id": "u4"}),
            (OPS, FREE),
            (OPS, {"product_id": "book", "buyer_id": BUYER}),
            (admin, FREE),
        )
    ]

    assert [answer.status for answer in answers] == [403, 404, 404, 400, 403, 401, 201, 201, 201, 201]
    assert [answer.json["buyer_id"] for answer in answers[6:]] == ["u4", BUYER, BUYER, BUYER]
    assert len(await market.payments()) == 4


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "amount_minor"),
        ({**FREE, "surprise": 1}, "surprise"),
        ({"product_id": "book", "amount_minor": 5}, "amount_minor"),
        ({**FREE, "amount_minor": 0}, "amount_minor"),
        ({**FREE, "amount_minor": 100_000_000}, "amount_minor"),
        ({**FREE, "amount_minor": 10.0}, "amount_minor"),
        ({**FREE, "currency": "USD"}, "currency"),
        ({**FREE, "currency": "xxx"}, "currency"),
        ({**FREE, "buyer_id": "system:grants"}, "buyer_id"),
        ({**FREE, "seller_id": "system:grants"}, "seller_id"),
        ({**FREE, "seller_amount_minor": 1_001}, "seller_amount_minor"),
        ({**FREE, "seller_id": None}, "seller_amount_minor"),
        ({**FREE, "licences": ["a", "a"]}, "licences"),
        ({**FREE, "licences": ["a,b"]}, "licences"),
        ({**FREE, "provider": "paypal"}, "provider"),
    ],
)
async def test_a_bad_order_is_refused(shop: House, body: dict[str, Any], field: str) -> None:
    """With the field at fault, before anything is written or called."""
    answer = await shop.post(ORDERS, OPS, body)

    assert told(answer) == (400, "VALIDATION_ERROR")
    assert answer.json["details"][0]["field"] == field


async def test_what_is_not_for_sale(shop: House, seed: Seed) -> None:
    """No such product, one that is not sold any more, and another provider than there is."""
    assert (await shop.put("/ops/products/old", OPS, {**BOOK, "active": False})).status == 200
    assert (await shop.put("/ops/products/book", OPS, BOOK)).status == 200
    answers = [
        await shop.post(ORDERS, customer(BUYER), body)
        for body in (
            {"product_id": "none"},
            {"product_id": "old"},
            {"product_id": "book", "provider": "hyperswitch"},
        )
    ]

    assert [told(answer) for answer in answers] == [
        (404, "NOT_FOUND"), (404, "NOT_FOUND"), (503, "PROVIDER_NOT_CONFIGURED"),
    ]  # fmt: skip
    assert await seed.value("SELECT count(*) FROM webhook_log") == 0


async def test_without_a_provider_nothing_is_ordered(dsn: str, redis_url: str, seed: Seed) -> None:
    """503, and no order that nobody could pay."""
    async with running(dsn, redis_url) as house:
        await house.put("/ops/products/book", OPS, BOOK)
        answer = await house.post(ORDERS, customer(BUYER), {"product_id": "book"})

    assert told(answer) == (503, "PROVIDER_NOT_CONFIGURED")
    assert await seed.value("SELECT count(*) FROM webhook_log") == 0


async def test_equal_requests_at_once_are_one_order(market: Market, seed: Seed) -> None:
    """Fifty clicks with one key: one order, one payment at the provider, one and the same answer."""
    headers = {**OPS, "Idempotency-Key": "once"}
    answers = await asyncio.gather(*(market.house.post(ORDERS, headers, FREE) for _ in range(50)))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert len(await market.payments()) == 1
    assert await seed.value("SELECT count(*) FROM orders") == 1


@pytest.mark.parametrize("misfortune", ["500", "hang", "429", "drop"])
async def test_a_provider_that_does_not_say_what_it_did(market: Market, seed: Seed, misfortune: str) -> None:
    """With a key the buyer may ask until it works: one payment there, one order here, and they agree."""
    await market.put("/ops/products/book", BOOK)
    market.wire.spoil = [misfortune]
    answers = [await market.order(key="k")]
    if answers[0].status != 201:
        answers.append(await market.order(key="k"))
    (payment,) = await market.payments()

    assert [answer.status for answer in answers] == ([201] if misfortune == "500" else [503, 201])
    assert answers[-1].json["payment_id"] == payment.id
    assert answers[-1].json["client_secret"] == payment.client_secret
    assert await seed.rows("SELECT id, payment_id, status FROM orders") == [
        {"id": answers[-1].json["id"], "payment_id": payment.id, "status": "pending"}
    ]


LATER = """
UPDATE outbox_effect SET next_attempt_at = now() + interval '1 hour' * $1 WHERE kind = 'open_payment'
"""


async def test_between_two_tries_the_buyer_hears_when_the_next_one_is(market: Market, seed: Seed) -> None:
    """503 with the time of the next try, without a call and without a wait that could bring nothing; when it
    is due, the buyer's own request makes it."""
    await market.put("/ops/products/book", BOOK)
    market.wire.spoil = ["429"]
    failed = await market.order(key="k")
    await seed.connection.execute(LATER, 1)
    between = await market.order(key="k")
    calls = len(market.wire.asked)
    await seed.connection.execute(LATER, 0)
    due = await market.order(key="k")

    assert [told(answer) for answer in (failed, between)] == [(503, "SERVICE_UNAVAILABLE")] * 2
    assert int(failed.headers["Retry-After"]) in (1, 2)
    assert 3_500 < int(between.headers["Retry-After"]) <= 3_600
    assert (calls, due.status, len(await market.payments())) == (1, 201, 1)


async def test_a_failure_that_the_provider_keeps_is_overcome(market: Market) -> None:
    """A 500 before any work stays the answer of its key for a day; what is surely not there has another."""
    await market.put("/ops/products/book", BOOK)
    await market.psp.fault(kind="status", path="/v1/payment_intents", status=500)
    answers = [await market.order(key="k") for _ in range(2)]
    (payment,) = await market.payments()

    assert [answer.status for answer in answers] == [503, 201]
    assert answers[1].json["payment_id"] == payment.id
    assert [key for _, key in market.wire.asked] == [
        answers[1].json["id"], answers[1].json["id"], f"{answers[1].json['id']}:2",
    ]  # fmt: skip


async def test_a_refusal_of_the_provider_fails_the_order(market: Market, seed: Seed) -> None:
    """502 without its words, and the order has failed for that reason, in the log and for its buyer; the same
    key hears the same without another call, and a new order is served."""
    await market.put("/ops/products/book", BOOK)
    await market.psp.fault(kind="status", path="/v1/payment_intents", status=400)
    answers = [await market.order(key="k") for _ in range(2)]
    (order_id,) = [row["id"] for row in await seed.rows("SELECT id FROM orders")]
    order = (await market.house.get(f"{ORDERS}/{order_id}", customer(BUYER))).json
    history = (await market.house.get(f"/audit/explain/order/{order_id}", OPS)).json["history"]
    another = await market.order(key="k2")

    assert [told(answer) for answer in answers] == [(502, "PROVIDER_ERROR")] * 2
    assert [key for _, key in market.wire.asked] == [order_id, another.json["id"]]
    assert (order["status"], order["reason"], order["payment_id"]) == ("failed", "payment_refused", None)
    assert [(step["to_state"], step["rule"]) for step in history] == [
        ("pending", "placed"), ("failed", "payment_refused"),
    ]  # fmt: skip
    assert (another.status, another.json["status"], another.json["reason"]) == (
        201,
        "pending",
        "payment_opened",
    )
    assert len(await market.payments()) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_the_provider_does_not_take_fails_no_order(
    market: Market, seed: Seed, status: int
) -> None:
    """That is our fault and none of the order's: with the same key it is paid once that is mended."""
    await market.put("/ops/products/book", BOOK)
    await market.psp.fault(kind="status", path="/v1/payment_intents", status=status)
    refused = await market.order(key="k")
    standing = await seed.value("SELECT status FROM orders")
    again = await market.order(key="k")

    assert (told(refused), standing) == ((502, "PROVIDER_ERROR"), "pending")
    assert (again.status, again.json["status"]) == (201, "pending")


async def test_without_workers_the_intent_waits(shop: House, stripe: Any, seed: Seed) -> None:
    """503 with a time, no call of the provider; the same key finds the intent again when they are back."""
    await shop.put("/ops/products/book", OPS, BOOK)
    headers = {**customer(BUYER), "Idempotency-Key": "k"}
    first = await shop.post(ORDERS, headers, {"product_id": "book"})
    payments = (await stripe.stripe.v1.payment_intents.list_async({"limit": 10})).data
    await seed.drain()
    asking = asyncio.create_task(shop.post(ORDERS, headers, {"product_id": "book"}))
    while not asking.done():  # the payment's id is the second thing that the workers are told
        await seed.drain()
        await asyncio.sleep(0.02)
    second = await asking

    assert told(first) == (503, "SERVICE_UNAVAILABLE")
    assert first.headers["Retry-After"] == "1"
    assert payments == []
    assert second.status == 201
    assert await seed.value("SELECT count(*) FROM orders") == 1
