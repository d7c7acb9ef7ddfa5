"""`/api/v1/subscriptions` and `/api/v1/entitlements`: what has to be paid grants nothing before it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.house import OPS, Answer, House, customer, running
from tests.api.seed import Seed
from tests.customers.market import BUYER, OTHER, Market
from tests.support.poll import until
from tests.support.stripe_events import event

PATH = "/api/v1/subscriptions"
CURRENT = f"{PATH}/current"
ENTITLEMENTS = "/api/v1/entitlements"
PRO = {"name": "Pro", "amount_minor": 900, "currency": "usd"}
PLANS: dict[str, dict[str, Any]] = {
    "pro": PRO,
    "trial": {**PRO, "trial_days": 14},
    "free": {"name": "Free", "amount_minor": 0, "currency": "usd"},
    "old": {**PRO, "active": False},
}


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


async def plans(house: House) -> None:
    for plan_id, plan in PLANS.items():
        assert (await house.put(f"/ops/plans/{plan_id}", OPS, plan)).status == 200


async def subscribe(market: Market, plan_id: str, who: str = BUYER, key: str | None = None) -> Answer:
    headers = customer(who) | ({} if key is None else {"Idempotency-Key": key})
    return await market.house.post(PATH, headers, {"plan_id": plan_id})


async def complete(market: Market, subscription_id: str, who: str = BUYER) -> Answer:
    return await market.house.post(f"{PATH}/complete/{subscription_id}", customer(who))


async def granted(market: Market, who: str = BUYER) -> Answer:
    return await market.house.get(ENTITLEMENTS, customer(who))


async def becomes(seed: Seed, subscription_id: str, status: str) -> None:
    async def found() -> bool:
        return bool(
            await seed.value("SELECT status FROM subscription WHERE id = $1", subscription_id) == status
        )

    await until(found, 30, f"the subscription to be {status}")


async def test_subscribe_pay_and_be_granted(market: Market, seed: Seed) -> None:
    """Before the payment everything says what is missing; afterwards the plan is granted."""
    await plans(market.house)
    subscribed = await subscribe(market, "pro")
    pending = [await granted(market), await market.house.get(CURRENT, customer(BUYER))]
    (payment,) = await market.payments()
    await market.pay(payment.id)
    await becomes(seed, subscribed.json["id"], "active")
    current = await market.house.get(CURRENT, customer(BUYER))
    invoices = await seed.rows("SELECT id, status, paid_at IS NOT NULL AS paid FROM subscription_invoice")

    assert subscribed.status == 201
    assert {name: subscribed.json[name] for name in ("status", "payment_id", "client_secret")} == {
        "status": "pending_payment",
        "payment_id": payment.id,
        "client_secret": payment.client_secret,
    }
    assert (payment.amount, payment.currency) == (900, "usd")
    assert payment.metadata.to_dict() == {
        "purpose": "subscription", "subscriptionId": subscribed.json["id"],
    }  # fmt: skip
    assert market.wire.asked == [("/v1/payment_intents", subscribed.json["id"])]
    assert [told(answer) for answer in pending] == [(403, "PAYMENT_PENDING")] * 2
    assert [answer.json["error"] for answer in pending] == ["complete payment"] * 2
    assert (await granted(market)).json == {"access": "granted", "plans": ["pro"], "licences": []}
    assert current.json["subscription"]["id"] == subscribed.json["id"]
    assert invoices == [{"id": subscribed.json["id"], "status": "paid", "paid": True}]


async def test_a_free_plan_is_active_at_once(market: Market, seed: Seed) -> None:
    """No call of the provider, and no invoice."""
    await plans(market.house)
    answer = await subscribe(market, "free")

    assert answer.status == 201
    assert [answer.json[name] for name in ("status", "payment_id", "client_secret")] == ["active", None, None]
    assert (await granted(market)).json["plans"] == ["free"]
    assert market.wire.asked == []
    assert await seed.value("SELECT count(*) FROM subscription_invoice") == 0


async def test_a_first_trial_and_a_second(market: Market, seed: Seed) -> None:
    """The first is granted without a call; who has had one pays like anybody else."""
    await plans(market.house)
    first = await subscribe(market, "trial")
    calls = list(market.wire.asked)
    trialing = await granted(market)
    second = await subscribe(market, "trial")

    assert (first.status, first.json["status"], first.json["client_secret"]) == (201, "trialing", None)
    assert calls == []
    assert trialing.json == {"access": "granted", "plans": ["trial"], "licences": []}
    assert (second.status, second.json["status"]) == (201, "pending_payment")
    assert second.json["client_secret"]
    assert await seed.rows("SELECT account_id, subscription_id FROM trial") == [
        {"account_id": BUYER, "subscription_id": first.json["id"]}
    ]


async def test_an_account_has_one_trial_however_it_asks(market: Market, seed: Seed) -> None:
    """Ten requests at once, each with a key of its own: one trial."""
    await plans(market.house)
    answers = await asyncio.gather(*(subscribe(market, "trial", key=f"k-{n}") for n in range(10)))

    assert {answer.status for answer in answers} == {201}
    assert sorted(answer.json["status"] for answer in answers) == ["pending_payment"] * 9 + ["trialing"]
    assert await seed.value("SELECT count(*) FROM trial") == 1


async def test_equal_requests_at_once_are_one_subscription(market: Market, seed: Seed) -> None:
    """Fifty clicks with one key: one subscription, one payment at the provider, one answer for whoever is
    served; beyond a customer's ration the rest are told to wait.
    """
    await plans(market.house)
    answers = await asyncio.gather(*(subscribe(market, "pro", key="once") for _ in range(50)))
    served = [answer for answer in answers if answer.status == 201]

    assert {answer.status for answer in answers} <= {201, 409, 429, 503}
    assert len({answer.body for answer in served}) == 1
    assert [payment.id for payment in await market.payments()] == [served[0].json["payment_id"]]
    assert await seed.value("SELECT count(*) FROM subscription") == 1


async def test_a_trial_ends_by_time(market: Market, seed: Seed) -> None:
    """Nobody has to tell: when it is over it grants nothing."""
    await plans(market.house)
    await subscribe(market, "trial")
    await seed.connection.execute("UPDATE subscription SET trial_end = now() - interval '1 second'")
    current = await market.house.get(CURRENT, customer(BUYER))
    credits = await market.house.get(f"/api/accounts/{BUYER}/credits", customer(BUYER))

    assert (await granted(market)).json == {"access": "none", "plans": [], "licences": []}
    assert told(current) == (404, "NOT_FOUND")
    assert credits.json["is_pro"] is False


async def test_the_same_payment_again(market: Market) -> None:
    """Whoever has lost the page gets the same secret; nothing is opened twice."""
    await plans(market.house)
    subscribed = (await subscribe(market, "pro")).json
    again = [await complete(market, subscribed["id"]) for _ in range(2)]

    assert [answer.status for answer in again] == [200, 200]
    assert [answer.json["client_secret"] for answer in again] == [subscribed["client_secret"]] * 2
    assert [answer.json["payment_id"] for answer in again] == [subscribed["payment_id"]] * 2
    assert again[0].json["subscription"]["id"] == subscribed["id"]
    assert len(await market.payments()) == 1


async def test_what_cannot_be_completed(market: Market, seed: Seed) -> None:
    """Another's is not there, and neither is nonsense; what is paid or free does not wait for a payment."""
    await plans(market.house)
    pending, paid = (await subscribe(market, "pro")).json, (await subscribe(market, "pro")).json
    free = (await subscribe(market, "free")).json
    await market.pay(paid["payment_id"])
    await becomes(seed, paid["id"], "active")
    answers = [
        await complete(market, pending["id"], OTHER),
        await complete(market, "nothing"),
        await complete(market, paid["id"]),
        await complete(market, free["id"]),
    ]

    assert [answer.status for answer in answers] == [404, 404, 409, 409]
    assert answers[0].json["message"] == answers[1].json["message"]


async def test_a_failed_payment_expires_and_a_late_success_revives(market: Market, seed: Seed) -> None:
    """Under the same payment, as the journal tells."""
    await plans(market.house)
    subscribed = (await subscribe(market, "pro")).json
    await market.pay(subscribed["payment_id"], "fail")
    await becomes(seed, subscribed["id"], "expired")
    expired = await granted(market)
    invoices = await seed.value("SELECT status FROM subscription_invoice")
    await market.pay(subscribed["payment_id"])
    await becomes(seed, subscribed["id"], "active")
    explained = (await market.house.get(f"/audit/explain/subscription/{subscribed['id']}", OPS)).json
    rules = [
        step["rule"]
        for step in explained["history"]
        if step["what"] == "transition" and step["kind"] == "subscription"
    ]

    assert expired.json == {"access": "none", "plans": [], "licences": []}
    assert invoices == "uncollectible"
    assert rules[0] == "payment_awaited"
    assert rules[-2:] == ["payment_failed", "late_success"]


async def test_a_replayed_payment_changes_nothing(market: Market, seed: Seed) -> None:
    """The same event again: no step, and paid when it was first paid."""
    await plans(market.house)
    subscribed = (await subscribe(market, "pro")).json
    await market.pay(subscribed["payment_id"])
    await becomes(seed, subscribed["id"], "active")
    look = (
        "SELECT s.version, i.version AS billed, i.paid_at "
        "FROM subscription s JOIN subscription_invoice i USING (id)"
    )
    before = await seed.rows(look)
    paid = next(
        one for one in await market.psp.events(subscribed["payment_id"]) if one["type"].endswith("succeeded")
    )
    log_id = await seed.value("SELECT id FROM webhook_log WHERE event_id = $1", paid["id"])
    replayed = await market.house.post(f"/ops/deliveries/{log_id}/replay", OPS)
    twin = event("payment_intent.succeeded", paid["data"]["object"])
    await seed.event(twin)

    async def seen() -> bool:
        return bool(
            await seed.value("SELECT state = 'superseded' FROM webhook_event WHERE event_id = $1", twin["id"])
        )

    await until(seen, 30, "the twin to be judged")

    assert replayed.status == 202
    assert await seed.rows(look) == before


async def test_without_a_provider_only_what_costs_nothing(dsn: str, redis_url: str, seed: Seed) -> None:
    """503 in these words, and no subscription that was never paid."""
    async with running(dsn, redis_url) as house:
        await plans(house)
        answer = await house.post(PATH, customer(BUYER), {"plan_id": "pro"})

    assert told(answer) == (503, "PROVIDER_NOT_CONFIGURED")
    assert answer.json["error"] == ("payment provider not configured — paid plans temporarily unavailable")
    assert await seed.value("SELECT count(*) FROM webhook_log") == 0


async def test_a_provider_that_is_gone_completes_nothing(market: Market, dsn: str, redis_url: str) -> None:
    """503 for a pending subscription when its provider is not configured any more."""
    await plans(market.house)
    subscribed = (await subscribe(market, "pro")).json
    async with running(dsn, redis_url) as house:
        answer = await house.post(f"{PATH}/complete/{subscribed['id']}", customer(BUYER))

    assert told(answer) == (503, "PROVIDER_NOT_CONFIGURED")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"plan_id": "none"}, (404, "NOT_FOUND")),
        ({"plan_id": "old"}, (404, "NOT_FOUND")),
        ({}, (400, "VALIDATION_ERROR")),
        ({"plan_id": ""}, (400, "VALIDATION_ERROR")),
        ({"plan_id": 5}, (400, "VALIDATION_ERROR")),
        ({"plan_id": "pro", "amount_minor": 1}, (400, "VALIDATION_ERROR")),
    ],
)
async def test_what_cannot_be_subscribed_to(
    shop: House, seed: Seed, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    """Refused before anything is written or called."""
    await plans(shop)

    assert told(await shop.post(PATH, customer(BUYER), body)) == expected
    assert await seed.value("SELECT count(*) FROM webhook_log") == 0


async def test_nobody_has_no_subscriptions(shop: House) -> None:
    """An account without any: nothing current, nothing granted; strangers and operators are refused."""
    fresh, current = await shop.get(ENTITLEMENTS, customer("u")), await shop.get(CURRENT, customer("u"))
    refused = [(await shop.post(PATH, headers, {"plan_id": "pro"})).status for headers in (None, OPS)]

    assert (fresh.status, fresh.json) == (200, {"access": "none", "plans": [], "licences": []})
    assert told(current) == (404, "NOT_FOUND")
    assert refused == [401, 403]


async def test_licences_are_entitlements_too(market: Market) -> None:
    """An order grants its licences whatever the subscriptions do, until it is refunded."""
    await plans(market.house)
    order_id = await market.bought()
    bought = await granted(market)
    await subscribe(market, "pro")
    beside = await granted(market)
    await market.refund(order_id)
    await market.becomes(order_id, "refunded")

    assert bought.json == {"access": "none", "plans": [], "licences": ["audiobook", "book"]}
    assert beside.json == {"access": "payment_pending", "plans": [], "licences": ["audiobook", "book"]}
    assert told(await granted(market)) == (403, "PAYMENT_PENDING")


async def test_a_refusal_of_the_provider_ends_the_subscription(market: Market, seed: Seed) -> None:
    """502, and expired with its reason; the same key hears the same, and a new one may be served."""
    await plans(market.house)
    await market.psp.fault(kind="status", path="/v1/payment_intents", status=400)
    answers = [await subscribe(market, "pro", key="k") for _ in range(2)]
    row = await seed.rows(
        "SELECT s.id, s.status, i.status AS billed FROM subscription s JOIN subscription_invoice i USING (id)"
    )
    rule = await seed.value("SELECT rule FROM state_transition WHERE kind = 'subscription' ORDER BY seq DESC")
    asked = len(market.wire.asked)
    current = await market.house.get(CURRENT, customer(BUYER))
    another = await subscribe(market, "pro", key="k2")

    assert [told(answer) for answer in answers] == [(502, "PROVIDER_ERROR")] * 2
    assert (row[0]["status"], row[0]["billed"], rule, asked) == (
        "expired",
        "uncollectible",
        "payment_refused",
        1,
    )
    assert told(current) == (404, "NOT_FOUND")
    assert told(await complete(market, row[0]["id"])) == (409, "SUBSCRIPTION_NOT_PENDING")
    assert (another.status, another.json["status"]) == (201, "pending_payment")


@pytest.mark.parametrize("misfortune", ["500", "hang", "429", "drop"])
async def test_a_provider_that_does_not_say_what_it_did(market: Market, seed: Seed, misfortune: str) -> None:
    """The same key, or completing what is pending, finds the one payment that there is."""
    await plans(market.house)
    market.wire.spoil = [misfortune]
    first = await subscribe(market, "pro", key="k")
    subscription_id = await seed.value("SELECT id FROM subscription")
    completed = await complete(market, subscription_id)
    again = await subscribe(market, "pro", key="k")
    (payment,) = await market.payments()

    assert first.status == (201 if misfortune == "500" else 503)
    assert (completed.status, again.status) == (200, 201)
    assert {completed.json["client_secret"], again.json["client_secret"]} == {payment.client_secret}
    assert await seed.value("SELECT count(*) FROM subscription") == 1
