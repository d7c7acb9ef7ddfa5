"""Subscriptions and invoices: Stripe's own library and the control desk lead them through their lives."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.worlds import World

DAY_S = 86_400


async def _status(world: World, subscription_id: str) -> str:
    return (await world.stripe.v1.subscriptions.retrieve_async(subscription_id)).status


async def _types(world: World, since: int) -> list[str]:
    return [event["type"] for event in (await world.events())[since:]]


async def test_an_incomplete_subscription_waits_with_its_invoice_and_payment(world: World) -> None:
    """`default_incomplete`: an open invoice, reachable by expanding, with what a page confirms it by."""
    subscription = await world.subscribe(expand=["latest_invoice.confirmation_secret"])
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    shown = invoice.to_dict()
    payment = await world.stripe.v1.payment_intents.retrieve_async(
        shown["payments"]["data"][0]["payment"]["payment_intent"]
    )

    assert (subscription.status, subscription.metadata.to_dict()) == ("incomplete", {"accountId": "acc-1"})
    assert (invoice.status, invoice.amount_due, invoice.billing_reason) == (
        "open",
        900,
        "subscription_create",
    )
    assert shown["parent"]["subscription_details"] == {
        "metadata": {"accountId": "acc-1"},
        "subscription": subscription.id,
    }
    assert (payment.status, payment.amount, payment.metadata.to_dict()) == (
        "requires_payment_method",
        900,
        {},
    )
    assert shown["confirmation_secret"]["client_secret"] == payment.client_secret
    assert await _types(world, 0) == [
        "customer.subscription.created",
        "invoice.created",
        "payment_intent.created",
        "invoice.finalized",
    ]


async def test_the_first_payment_makes_it_active(world: World) -> None:
    """One change, all its names: payment, invoice, their tie, subscription."""
    subscription = await world.subscribe()
    await world.post(f"subscriptions/{subscription.id}/pay", outcome="fail")
    failed = await _status(world, subscription.id)
    since = len(await world.events())
    await world.post(f"subscriptions/{subscription.id}/pay")

    assert (failed, await _status(world, subscription.id)) == ("incomplete", "active")
    assert await _types(world, since) == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "customer.subscription.updated",
    ]
    changed = (await world.events(subscription.id))[-1]
    assert changed["data"]["previous_attributes"] == {"status": "incomplete"}


async def test_confirming_the_payment_itself_pays_the_invoice(world: World) -> None:
    """As a page does with the client secret; the invoice then takes no second payment."""
    subscription = await world.subscribe()
    invoice_id = str(subscription.latest_invoice)
    invoice = await world.stripe.v1.invoices.retrieve_async(invoice_id)
    intent_id = invoice.to_dict()["payments"]["data"][0]["payment"]["payment_intent"]
    await world.stripe.v1.payment_intents.confirm_async(intent_id, {"payment_method": "pm_card_visa"})
    with pytest.raises(stripe.InvalidRequestError, match="not open"):
        await world.stripe.v1.invoices.pay_async(invoice_id)

    assert await _status(world, subscription.id) == "active"
    assert (await world.stripe.v1.invoices.retrieve_async(invoice_id)).status == "paid"


async def test_a_saved_card_is_charged_at_once(world: World) -> None:
    """Active with a good card, incomplete with a bad one, and nothing at all where that is to be an error."""
    good = await world.subscribe(payment_behavior="allow_incomplete", default_payment_method="pm_card_visa")
    bad = await world.subscribe(
        payment_behavior="allow_incomplete", default_payment_method="pm_card_chargeDeclined"
    )
    made = len(await world.events())
    with pytest.raises(stripe.CardError):
        await world.subscribe(
            payment_behavior="error_if_incomplete", default_payment_method="pm_card_chargeDeclined"
        )
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        await world.subscribe(payment_behavior="allow_incomplete")

    assert (good.status, bad.status) == ("active", "incomplete")
    assert len(await world.events()) == made


async def test_a_trial_costs_nothing_until_it_ends(world: World) -> None:
    """An invoice over nothing is paid without a payment; the end of the trial is the first real bill."""
    subscription = await world.subscribe(trial_period_days=14)
    first = await world.stripe.v1.invoices.retrieve_async(str(subscription.latest_invoice))
    await world.post(f"subscriptions/{subscription.id}/trial_will_end")
    await world.post(f"subscriptions/{subscription.id}/advance")
    after = (await world.stripe.v1.subscriptions.retrieve_async(subscription.id)).to_dict()
    item = after["items"]["data"][0]

    assert subscription.status == "trialing"
    assert subscription.trial_end == subscription.created + 14 * DAY_S
    assert (first.status, first.amount_due, first.to_dict()["payments"]["data"]) == ("paid", 0, [])
    assert (after["status"], item["current_period_start"]) == ("active", subscription.trial_end)
    assert (await world.get("books"))["money"]["usd"]["charged"] == 900
    assert [event["type"].rpartition(".")[2] for event in await world.events(subscription.id)] == [
        "created",
        "trial_will_end",
        "updated",
    ]


async def test_a_renewal_bills_the_next_period(world: World) -> None:
    """Period and invoice move together, and what they were is in the event."""
    subscription = await world.subscribe()
    await world.post(f"subscriptions/{subscription.id}/pay")
    await world.post(f"subscriptions/{subscription.id}/advance")
    earlier, event = (await world.events(subscription.id))[-2:]
    before, after = earlier["data"]["object"], event["data"]["object"]
    old, new = before["items"]["data"][0], after["items"]["data"][0]

    assert new["current_period_start"] == old["current_period_end"]
    assert after["latest_invoice"] != before["latest_invoice"]
    assert event["data"]["previous_attributes"] == {
        "items": {"data": [old]},
        "latest_invoice": before["latest_invoice"],
    }


async def test_a_renewal_that_fails_is_overdue_then_unpaid_then_paid(world: World) -> None:
    """Each failed attempt counts on the invoice; a late payment brings the subscription back."""
    subscription = await world.subscribe()
    path = f"subscriptions/{subscription.id}"
    await world.post(f"{path}/pay")
    states = [(await world.post(f"{path}/advance", outcome="fail"))["status"]]
    states.append((await world.post(f"{path}/pay", outcome="fail"))["status"])
    await world.post(f"{path}/advance", status=400)
    states.append((await world.post(f"{path}/give_up"))["status"])
    states.append((await world.post(f"{path}/pay"))["status"])
    latest = (await world.stripe.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    invoice = await world.stripe.v1.invoices.retrieve_async(str(latest))

    assert states == ["past_due", "past_due", "unpaid", "active"]
    assert (invoice.status, invoice.attempt_count, invoice.amount_paid) == ("paid", 3, 900)
    assert "invoice.payment_failed" in {event["type"] for event in await world.events(str(latest))}


async def test_a_drafted_renewal_is_finalized_and_paid_through_the_api(world: World) -> None:
    """Stripe lets a renewal's invoice be a draft for an hour; a declined card is a 402 and leaves it open."""
    subscription = await world.subscribe()
    await world.post(f"subscriptions/{subscription.id}/pay")
    drafted = await world.post(f"subscriptions/{subscription.id}/advance", outcome="draft")
    invoices, invoice_id = world.stripe.v1.invoices, drafted["latest_invoice"]
    draft = await invoices.retrieve_async(invoice_id)
    opened = await invoices.finalize_invoice_async(invoice_id)
    with pytest.raises(stripe.CardError):
        await invoices.pay_async(invoice_id, {"payment_method": "pm_card_chargeDeclined"})
    overdue = await _status(world, subscription.id)
    paid = await invoices.pay_async(invoice_id, {"payment_method": "pm_card_visa"})

    assert (drafted["status"], draft.status, draft.number) == ("active", "draft", None)
    assert (opened.status, paid.status) == ("open", "paid")
    assert (overdue, await _status(world, subscription.id)) == ("past_due", "active")


async def test_nobody_pays_what_is_void(world: World) -> None:
    """Voiding cancels the payment too; the invoice's payment cannot be canceled by itself."""
    subscription = await world.subscribe()
    invoice_id = str(subscription.latest_invoice)
    invoice = (await world.stripe.v1.invoices.retrieve_async(invoice_id)).to_dict()
    intent_id = invoice["payments"]["data"][0]["payment"]["payment_intent"]
    with pytest.raises(stripe.InvalidRequestError, match="void that"):
        await world.stripe.v1.payment_intents.cancel_async(intent_id)
    voided = await world.stripe.v1.invoices.void_invoice_async(invoice_id)
    intent = await world.stripe.v1.payment_intents.retrieve_async(intent_id)

    assert (voided.status, voided.amount_remaining, intent.status) == ("void", 0, "canceled")
    assert (await world.events(invoice_id))[-1]["type"] == "invoice.voided"
    await world.post(f"subscriptions/{subscription.id}/pay", status=400)


async def test_a_subscription_may_end_with_its_period_or_at_once(world: World) -> None:
    """The wish can be taken back; an end cannot, and an ended one is unknown to a second cancellation."""
    subscriptions = world.stripe.v1.subscriptions
    leaving, now = await world.subscribe(), await world.subscribe()
    for each in (leaving, now):
        await world.post(f"subscriptions/{each.id}/pay")
    asked = await subscriptions.update_async(leaving.id, {"cancel_at_period_end": True})
    back = await subscriptions.update_async(leaving.id, {"cancel_at_period_end": False})
    await subscriptions.update_async(leaving.id, {"cancel_at_period_end": True})
    ended = await world.post(f"subscriptions/{leaving.id}/advance")
    canceled = await subscriptions.cancel_async(now.id)
    with pytest.raises(stripe.InvalidRequestError) as again:
        await subscriptions.cancel_async(now.id)

    assert asked.cancel_at == asked.to_dict()["items"]["data"][0]["current_period_end"]
    assert (back.cancel_at, back.canceled_at) == (None, None)
    assert (ended["status"], canceled.status, again.value.http_status) == ("canceled", "canceled", 404)
    assert (await world.events(leaving.id))[-1]["type"] == "customer.subscription.deleted"
    assert [each.id for each in (await subscriptions.list_async()).data] == []
    assert [each.id for each in (await subscriptions.list_async({"status": "all"})).data] == [
        now.id,
        leaving.id,
    ]


async def test_what_never_began_expires(world: World) -> None:
    """The retries are over: its invoice is void, and it can neither be paid nor changed."""
    subscription = await world.subscribe()
    expired = await world.post(f"subscriptions/{subscription.id}/give_up")
    invoice = await world.stripe.v1.invoices.retrieve_async(str(subscription.latest_invoice))
    with pytest.raises(stripe.InvalidRequestError):
        await world.stripe.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})

    assert (expired["status"], invoice.status) == ("incomplete_expired", "void")
    assert (await world.get("books"))["subscriptions"] == {
        subscription.id: {"status": "expired", "account": "acc-1"}
    }


async def test_the_invoice_page_has_a_desk_for_its_subscription(world: World) -> None:
    """A person with a browser pays, ends periods, lets cards fail, and is led to the latest invoice."""
    subscription = await world.subscribe()
    invoice = await world.stripe.v1.invoices.retrieve_async(str(subscription.latest_invoice))
    path = (invoice.hosted_invoice_url or "").removeprefix(world.url)
    states = []
    for pressed in ("declined", "card", "renewal_fails", "given_up", "card", "renews"):
        status, _, headers = await world.raw(
            "POST", path, data={"method": pressed}, headers={"Origin": world.url}, allow_redirects=False
        )
        assert status == 303
        path = headers["Location"]
        states.append(await _status(world, subscription.id))
    _, text, _ = await world.raw("GET", path)
    elsewhere, _, _ = await world.raw(
        "POST", path, data={"method": "card"}, headers={"Origin": "https://elsewhere.example"}
    )

    assert states == ["incomplete", "active", "past_due", "unpaid", "active", "active"]
    assert f"{subscription.id}, active" in text
    assert "paid, 1 attempts." in text
    assert elsewhere == 403


async def test_metadata_are_merged(world: World) -> None:
    """A key with an empty value goes, others stay; an update that changes nothing is no event."""
    subscription = await world.subscribe(metadata={"accountId": "acc-1", "note": "old"})
    made = len(await world.events())
    changes: Any = {"metadata": {"note": "", "team": "7"}}
    updated = await world.stripe.v1.subscriptions.update_async(subscription.id, changes)
    await world.stripe.v1.subscriptions.update_async(subscription.id, changes)

    assert updated.metadata.to_dict() == {"accountId": "acc-1", "team": "7"}
    assert await _types(world, made) == ["customer.subscription.updated"]


async def test_one_key_starts_one_subscription(world: World) -> None:
    """A repeated request under its key answers with the same subscription and makes no second invoice."""
    price = await world.price()
    params: Any = {
        "customer": "cus_1",
        "items": [{"price": price}],
        "payment_behavior": "default_incomplete",
    }
    made = [
        await world.stripe.v1.subscriptions.create_async(params, {"idempotency_key": "sub-1"})
        for _ in range(2)
    ]

    assert made[0].id == made[1].id
    assert len((await world.stripe.v1.invoices.list_async({"customer": "cus_1"})).data) == 1


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"customer": ""}, "customer"),
        ({"items": []}, "items"),
        ({"items": [{"price": "price_none"}]}, "items[0][price]"),
        ({"items": [{"price": "900", "quantity": 0}]}, "items[0][quantity]"),
        ({"items": [{"price": "900", "quantity": 999_999}]}, "items"),
        ({"trial_period_days": 0}, "trial_period_days"),
        ({"payment_behavior": "hope"}, "payment_behavior"),
        ({"collection_method": "send_invoice"}, "collection_method"),
    ],
)
async def test_unfit_subscriptions_are_refused(world: World, changes: dict[str, Any], param: str) -> None:
    """The error names the parameter, and nothing is made."""
    for item in changes.get("items", ()):
        item["price"] = await world.price(900) if item["price"] == "900" else item["price"]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await world.subscribe(**changes)

    assert caught.value.param == param
    assert await world.events() == []
