"""Stripe's own library against the sandbox: sessions, payments, refunds, lists, idempotency, errors."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
import stripe

from tests.sandbox.worlds import KEY, TOPUP, World


async def test_a_session_keeps_what_it_was_opened_with(world: World) -> None:
    """Metadata, amounts and state come back, and the payment page answers."""
    session = await world.open(client_reference_id="acc-1")
    again = await world.stripe.v1.checkout.sessions.retrieve_async(session.id)

    assert again.to_dict() == session.to_dict()
    assert (again.mode, again.status, again.payment_status) == ("payment", "open", "unpaid")
    assert (again.amount_total, again.currency) == (289, "usd")
    assert again.metadata is not None
    assert again.metadata.to_dict() == TOPUP
    assert (await world.raw("GET", (session.url or "").removeprefix(world.url)))[0] == 200


async def test_paying_makes_a_payment_and_a_charge_with_the_same_metadata(world: World) -> None:
    """The payment intent inherits `payment_intent_data`, and its charge too; a charge lists no refunds."""
    intent = await world.stripe.v1.payment_intents.retrieve_async(
        await world.buy(), {"expand": ["latest_charge"]}
    )
    charge = intent.latest_charge

    assert isinstance(charge, stripe.Charge)
    assert (intent.status, intent.amount_received) == ("succeeded", 289)
    assert intent.metadata.to_dict() == charge.metadata.to_dict() == TOPUP
    assert (charge.paid, charge.captured, charge.amount_refunded) == (True, True, 0)
    assert "refunds" not in charge.to_dict()


async def test_a_paid_session_cannot_be_paid_or_expired_again(world: World) -> None:
    """Both are refused without an effect."""
    session = await world.open()
    await world.post(f"checkout/sessions/{session.id}/pay")
    before = (await world.get("stats"))["events"]
    refused = await world.post(f"checkout/sessions/{session.id}/pay", status=400)
    with pytest.raises(stripe.InvalidRequestError):
        await world.stripe.v1.checkout.sessions.expire_async(session.id)

    assert refused["error"]["code"] == "session_not_open"
    assert (await world.get("stats"))["events"] == before


async def test_a_session_cannot_be_paid_after_a_day(world: World) -> None:
    """Its time is over even though nobody expired it."""
    session = await world.open()
    world.clock.ahead_s = 86_400

    await world.post(f"checkout/sessions/{session.id}/pay", status=400)


async def test_the_same_key_and_parameters_give_the_same_answer(world: World) -> None:
    """A second request under the key makes nothing, and says that it is a replay."""
    payment = await world.buy()
    options: Any = {"idempotency_key": "refund-1"}
    first = await world.stripe.v1.refunds.create_async({"payment_intent": payment, "amount": 100}, options)
    second = await world.stripe.v1.refunds.create_async({"payment_intent": payment, "amount": 100}, options)
    refunds = await world.stripe.v1.refunds.list_async({"payment_intent": payment})

    assert first.id == second.id
    assert [refund.id for refund in refunds.data] == [first.id]
    assert second.last_response is not None
    assert second.last_response.headers["Idempotent-Replayed"] == "true"


async def test_the_same_key_with_other_parameters_is_refused(world: World) -> None:
    """Neither the amount nor the path may change under a key."""
    payment = await world.buy()
    options: Any = {"idempotency_key": "refund-2"}
    await world.stripe.v1.refunds.create_async({"payment_intent": payment, "amount": 100}, options)

    with pytest.raises(stripe.IdempotencyError):
        await world.stripe.v1.refunds.create_async({"payment_intent": payment, "amount": 101}, options)
    with pytest.raises(stripe.IdempotencyError):
        await world.stripe.v1.payment_intents.create_async({"amount": 100, "currency": "usd"}, options)


async def test_a_failure_of_the_work_is_saved_and_one_of_the_parameters_is_not(world: World) -> None:
    """A declined card stays declined under its key; a corrected parameter may use the key again."""
    options: Any = {"idempotency_key": "charge-1"}
    params: Any = {
        "amount": 500,
        "currency": "usd",
        "confirm": True,
        "payment_method": "pm_card_chargeDeclined",
    }
    intents = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            await world.stripe.v1.payment_intents.create_async(params, options)
        assert caught.value.error is not None
        intents.append(caught.value.error.to_dict()["payment_intent"]["id"])
    wrong: Any = {"idempotency_key": "charge-2"}
    with pytest.raises(stripe.InvalidRequestError):
        await world.stripe.v1.payment_intents.create_async({"amount": 0, "currency": "usd"}, wrong)
    made = await world.stripe.v1.payment_intents.create_async({"amount": 50, "currency": "usd"}, wrong)

    assert intents[0] == intents[1]
    assert made.status == "requires_payment_method"
    assert [each.id for each in (await world.stripe.v1.payment_intents.list_async()).data] == [
        made.id,
        intents[0],
    ]


async def test_a_key_is_forgotten_after_a_day(world: World) -> None:
    """The same key then makes a new object."""
    options: Any = {"idempotency_key": "day"}
    params: Any = {"amount": 100, "currency": "usd"}
    first = await world.stripe.v1.payment_intents.create_async(params, options)
    world.clock.ahead_s = 86_399
    same = await world.stripe.v1.payment_intents.create_async(params, options)
    world.clock.ahead_s = 86_401
    other = await world.stripe.v1.payment_intents.create_async(params, options)

    assert same.id == first.id
    assert other.id != first.id


async def test_an_off_session_payment_succeeds_at_once(world: World) -> None:
    """`confirm` and `off_session` charge the card and credit through the payment itself."""
    intent = await world.stripe.v1.payment_intents.create_async(
        {
            "amount": 289,
            "currency": "usd",
            "confirm": True,
            "off_session": True,
            "customer": "cus_1",
            "payment_method": "pm_card_visa",
            "metadata": {**TOPUP, "paymentMethod": "off_session"},
        }
    )

    assert (intent.status, intent.amount_received) == ("succeeded", 289)
    assert await world.credits() == 250


@pytest.mark.parametrize("key", ["", "sk_test_wrong"])
async def test_a_wrong_key_is_refused(world: World, key: str) -> None:
    """401 in Stripe's shape, for a missing key and a wrong one, before anything else is looked at."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    status, text, _ = await world.raw("GET", "/v1/nothing", headers=headers)

    assert status == 401
    assert '"type": "invalid_request_error"' in text
    with pytest.raises(stripe.AuthenticationError):
        await world.client(key or "sk_none").v1.events.list_async()


async def test_basic_authentication_works_too(world: World) -> None:
    """The key as user name with an empty password, as curl sends it."""
    basic = base64.b64encode(f"{KEY}:".encode()).decode()
    status, text, headers = await world.raw("GET", "/v1/account", headers={"Authorization": f"Basic {basic}"})

    assert (status, headers["Stripe-Version"]) == (200, "2026-10-28.endive")
    assert '"object": "account"' in text


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"mode": "subscription"}, "mode"),
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"line_items": []}, "line_items"),
        ({"line_items": [{"price": "price_1", "quantity": 1}]}, "line_items[0][price]"),
        ({"line_items": [{"price_data": {"currency": "usd"}}]}, "line_items[0][price_data][unit_amount]"),
        ({"metadata": {"k" * 41: "v"}}, "metadata"),
    ],
)
async def test_a_session_that_stripe_would_refuse_is_refused(
    world: World, changes: dict[str, Any], param: str
) -> None:
    """The error names the parameter."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await world.open(**changes)

    assert caught.value.param == param


async def test_unknown_objects_and_paths_are_404(world: World) -> None:
    """With Stripe's code where an id is unknown."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await world.stripe.v1.refunds.retrieve_async("re_none")
    status, text, _ = await world.raw("DELETE", "/v1/refunds", headers={"Authorization": f"Bearer {KEY}"})

    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert status == 404
    assert "Unrecognized request URL" in text


async def test_lists_page_in_both_directions(world: World) -> None:
    """Newest first; `starting_after` goes back, `ending_before` forward, and has_more tells the end."""
    made = [(await world.open()).id for _ in range(5)][::-1]
    sessions = world.stripe.v1.checkout.sessions
    first = await sessions.list_async({"limit": 2})
    second = await sessions.list_async({"limit": 2, "starting_after": made[1]})
    last = await sessions.list_async({"limit": 2, "starting_after": made[3]})
    newer = await sessions.list_async({"limit": 2, "ending_before": made[4]})
    everything = [each.id async for each in (await sessions.list_async({"limit": 2})).auto_paging_iter()]

    assert ([each.id for each in first.data], first.has_more) == (made[:2], True)
    assert ([each.id for each in second.data], second.has_more) == (made[2:4], True)
    assert ([each.id for each in last.data], last.has_more) == (made[4:], False)
    assert ([each.id for each in newer.data], newer.has_more) == (made[2:4], True)
    assert everything == made


async def test_lists_filter_by_time(world: World) -> None:
    """Every bound of `created`, and an exact second."""
    old = await world.open()
    world.clock.ahead_s = 100
    new = await world.open()
    sessions = world.stripe.v1.checkout.sessions

    async def found(created: Any) -> list[str]:
        return [each.id for each in (await sessions.list_async({"created": created})).data]

    assert await found({"gte": new.created}) == [new.id]
    assert await found({"gt": old.created, "lt": new.created}) == []
    assert await found({"lte": old.created}) == [old.id]
    assert await found(old.created) == [old.id]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "created[foo]=1", "starting_after=evt_none", "delivery_success=1"],
)
async def test_bad_list_parameters_are_refused(world: World, query: str) -> None:
    """Nothing is silently ignored."""
    status, text, _ = await world.raw(
        "GET", f"/v1/events?{query}", headers={"Authorization": f"Bearer {KEY}"}
    )

    assert status in {400, 404}
    assert '"error"' in text


async def test_events_are_listed_by_type(world: World) -> None:
    """One type, several types, and never both filters at once."""
    await world.buy()
    events = world.stripe.v1.events
    one = await events.list_async({"type": "charge.succeeded"})
    two = await events.list_async({"types": ["charge.succeeded", "checkout.session.completed"]})

    assert [event.type for event in one.data] == ["charge.succeeded"]
    assert [event.type for event in two.data] == ["checkout.session.completed", "charge.succeeded"]
    assert (await events.retrieve_async(one.data[0].id)).to_dict() == one.data[0].to_dict()
    with pytest.raises(stripe.InvalidRequestError):
        await events.list_async({"type": "a", "types": ["b"]})


async def test_events_leave_the_list_after_thirty_days(world: World) -> None:
    """As at Stripe, a late reconciler finds nothing."""
    await world.buy()
    world.clock.ahead_s = 30 * 86_400 + 60

    assert (await world.stripe.v1.events.list_async()).data == []


async def test_unfit_requests_for_refunds_are_refused(world: World) -> None:
    """Too much, a second time, while disputed, or of nothing."""
    payment = await world.buy()
    refunds = world.stripe.v1.refunds
    await refunds.create_async({"payment_intent": payment, "amount": 200})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount on charge"):
        await refunds.create_async({"payment_intent": payment, "amount": 90})
    await refunds.create_async({"payment_intent": payment})
    with pytest.raises(stripe.InvalidRequestError) as twice:
        await refunds.create_async({"payment_intent": payment})
    disputed = await world.buy()
    await world.post(f"payment_intents/{disputed}/dispute")
    with pytest.raises(stripe.InvalidRequestError) as while_disputed:
        await refunds.create_async({"payment_intent": disputed})
    with pytest.raises(stripe.InvalidRequestError) as nothing:
        await refunds.create_async({"amount": 5})

    assert twice.value.code == "charge_already_refunded"
    assert while_disputed.value.code == "charge_disputed"
    assert nothing.value.code == "parameter_missing"
    assert sum(each.amount for each in (await refunds.list_async({"payment_intent": payment})).data) == 289


async def test_scripted_faults_hit_the_api(world: World) -> None:
    """A 429 passes, a 500 is saved under its key, and a lost answer is the same object on retry."""
    await world.fault(path="/v1/events", status=429, times=1, kind="status")
    with pytest.raises(stripe.RateLimitError):
        await world.stripe.v1.events.list_async()
    assert (await world.stripe.v1.events.list_async()).data == []
    await world.fault(path="/v1/payment_intents", status=500, times=1, kind="status")
    params: Any = {"amount": 100, "currency": "usd"}
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await world.stripe.v1.payment_intents.create_async(params, {"idempotency_key": "saved"})
    await world.fault(path="/v1/payment_intents", kind="drop_after", times=1)
    made = await world.client(retries=2).v1.payment_intents.create_async(params)

    assert [each.id for each in (await world.stripe.v1.payment_intents.list_async()).data] == [made.id]


async def test_concurrent_requests_under_one_key_make_one_object(world: World) -> None:
    """Twenty impatient clients, one refund."""
    payment = await world.buy()
    answers = await asyncio.gather(
        *(
            world.stripe.v1.refunds.create_async({"payment_intent": payment}, {"idempotency_key": "same"})
            for _ in range(20)
        )
    )

    assert len({answer.id for answer in answers}) == 1


async def test_the_payment_page_pays(world: World) -> None:
    """A person with a browser can pay, and is led back to the shop with the session's id."""
    session = await world.open(success_url="https://shop.example/ok?id={CHECKOUT_SESSION_ID}")
    path = (session.url or "").removeprefix(world.url)
    own = {"Origin": world.url}
    declined = await world.raw("POST", path, data={"method": "declined"}, headers=own)
    status, _, headers = await world.raw("POST", path, data={"method": "card"}, allow_redirects=False)

    assert "The card was declined." in declined[1]
    assert (status, headers["Location"]) == (303, f"https://shop.example/ok?id={session.id}")
    assert await world.credits() == 250


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null"])
async def test_other_pages_cannot_command_the_sandbox(world: World, origin: str) -> None:
    """A browser on a strange page reaches loopback; its origin gives it away."""
    session = await world.open()
    status, _, _ = await world.raw(
        "POST", f"/sandbox/checkout/sessions/{session.id}/pay", headers={"Origin": origin}
    )

    assert status == 403
    assert await world.credits() == 0
