"""From a signed delivery to a balance, from outside: only HTTP in and HTTP out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.conftest import TOKEN, Stack
from tests.support import stripe_events as made
from tests.support.payloads import stripe_payloads
from tests.support.poll import until

AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("times", [1, 10, 50])
async def test_a_topup_sent_many_times_at_once_posts_once(stack: Stack, times: int) -> None:
    """One event, any number of simultaneous deliveries: all 200, one posting, one event, the rest
    duplicates.
    """
    event = made.event("checkout.session.completed", made.checkout(credits=500, amount=546))
    answers = await stack.send_all(*[event] * times)
    await stack.settled()
    deliveries = await stack.deliveries()
    explained = await stack.get("/audit/explain/account/cust_1")

    assert set(answers) == {(200, '{"received":true}')}
    assert await stack.credits("cust_1") == 500
    assert [delivery["duplicate"] for delivery in deliveries].count(False) == 1
    assert len(deliveries) == times
    assert explained["state"]["status"] == "open"


async def test_both_events_of_one_payment_post_once(stack: Stack) -> None:
    """completed with async_payment_succeeded, and with its payment intent, in any company."""
    session = made.checkout()
    both = [
        made.event("checkout.session.completed", session),
        made.event("checkout.session.async_payment_succeeded", session),
        made.event("payment_intent.succeeded", made.payment() | {"id": session["payment_intent"]}),
    ]
    await stack.send_all(*both * 10)
    await stack.settled()

    assert await stack.credits("cust_1") == 250


async def test_a_real_stripe_event_with_topup_metadata_becomes_credits(stack: Stack) -> None:
    """The real body of an older API version, marked as a top-up in its own currency of usd."""
    event: dict[str, Any] = json.loads(stripe_payloads()["checkout_session_completed.json"])
    event["data"]["object"] |= {
        "currency": "usd",
        "metadata": {"purpose": "credits_topup", "accountId": "cust_real", "credits": "900"},
    }
    await stack.send_all(*[event] * 10)
    await stack.settled()

    assert await stack.credits("cust_real") == 900


async def test_all_real_payloads_are_acknowledged_logged_and_decided(stack: Stack) -> None:
    """Every real Stripe event body of older API versions: 200, in the log byte for byte, none left
    pending.
    """
    payloads = stripe_payloads()
    for name, body in sorted(payloads.items()):
        assert await stack.send(body) == (200, '{"received":true}'), name
    status = await stack.settled()
    deliveries = await stack.deliveries("&verdict=ok")

    assert len(deliveries) == len(payloads)
    assert {delivery["state"] for delivery in deliveries} <= {"ignored", "parked", "applied", "superseded"}
    assert status["quarantined"] == 0
    assert {process["process"]: process["alive"] for process in status["processes"]}["ingest"] is True
    raw = [
        await stack.http.get(f"{stack.api}/audit/deliveries/{d['id']}/raw", headers=AUTH) for d in deliveries
    ]
    assert sorted([(await answer.read()).decode() for answer in raw]) == sorted(payloads.values())


async def test_refunds_and_disputes_in_any_order_end_in_the_right_balance(stack: Stack) -> None:
    """Events before their payment, partial refunds, a failed one and a won dispute, all at once."""
    session = made.checkout(credits=1000, amount=1061)
    payment = session["payment_intent"]
    failing = made.refund(payment, 500)
    disputed = made.dispute(payment, 300)
    events = [
        made.event("refund.created", made.refund(payment, 261), created=made.CREATED + 2),
        made.event("refund.failed", failing | {"status": "failed"}, created=made.CREATED + 9),
        made.event("refund.created", failing, created=made.CREATED + 3),
        made.event("charge.dispute.funds_reinstated", disputed | {"status": "won"}, created=made.CREATED + 8),
        made.event("charge.dispute.funds_withdrawn", disputed, created=made.CREATED + 4),
        made.event("charge.dispute.created", disputed, created=made.CREATED + 4),
    ]
    await stack.send_all(*events)
    await stack.send_all(made.event("checkout.session.completed", session), *events)
    await stack.settled()

    async def no_more_parked() -> bool:
        return bool((await stack.get("/ops/status"))["parked"] == 0)

    await until(no_more_parked, 30, "no event to wait any more")
    assert await stack.credits("cust_1") == 1000 - 1000 * 261 // 1061


async def test_a_quarantined_topup_is_replayed_without_a_second_effect(stack: Stack) -> None:
    """Bad metadata waits with its reason; replaying applied and quarantined deliveries changes no balance."""
    good = made.event("checkout.session.completed", made.checkout())
    bad = made.event("checkout.session.completed", made.checkout(credits="many"))
    await stack.send_all(good, bad)
    await stack.settled()
    for delivery in await stack.deliveries():
        url = f"{stack.api}/ops/deliveries/{delivery['id']}/replay"
        async with stack.http.post(url, headers=AUTH) as answer:
            assert answer.status == 202, await answer.text()
    await stack.settled()
    states = {delivery["event_id"]: delivery for delivery in await stack.deliveries("&origin=psp")}

    assert await stack.credits("cust_1") == 250
    assert states[good["id"]]["processing_result"] == "ok"
    assert states[bad["id"]]["processing_result"].startswith("error: bad_metadata")
    assert len(await stack.deliveries("&origin=operator")) == 2
