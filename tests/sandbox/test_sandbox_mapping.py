"""What the sandbox sends is what the product reads: every type of event, in both shapes, is usable."""

from __future__ import annotations

from typing import Any

import pytest

from billing.facts import InvoiceReported, NotForUs, SubscriptionReported, Unusable
from psp.reading import Expected
from psp.sandbox.signing import encode
from psp.sandbox.versions import OLD_VERSION, api_version
from psp.stripe.mapping import read
from tests.sandbox.worlds import World

BILLING = {
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.updated",
    "invoice.voided",
}
MONEY = {
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.failed",
    "charge.pending",
    "charge.refund.updated",
    "charge.refunded",
    "charge.succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.succeeded",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "transfer.created",
    "transfer.reversed",
    "transfer.updated",
}


async def _checkouts(world: World) -> None:
    """A sale that is refunded, disputed and reinstated, two bank debits, one session that nobody pays."""
    payment = await world.buy()
    refund = await world.stripe.v1.refunds.create_async({"payment_intent": payment, "amount": 100})
    await world.post(f"refunds/{refund.id}/fail")
    dispute = await world.post(f"payment_intents/{payment}/dispute")
    await world.post(f"disputes/{dispute['id']}/answer")
    await world.post(f"disputes/{dispute['id']}/close", outcome="won")
    for outcome in ("succeed", "fail"):
        session = await world.open()
        await world.post(f"checkout/sessions/{session.id}/pay", method="us_bank_account")
        await world.post(f"checkout/sessions/{session.id}/settle", outcome=outcome)
    await world.stripe.v1.checkout.sessions.expire_async((await world.open()).id)


async def _orders(world: World) -> None:
    """An order that fails and is paid, with a transfer that is reversed; one that is canceled."""
    intent = await world.order(sellerId="seller-1")
    await world.post(f"payment_intents/{intent.id}/pay", outcome="fail_then_succeed")
    params: Any = {"amount": 500, "currency": "usd", "destination": "acct_1", "transfer_group": "order-1"}
    transfer = await world.stripe.v1.transfers.create_async(params)
    await world.stripe.v1.transfers.update_async(transfer.id, {"metadata": {"orderId": "order-1"}})
    await world.stripe.v1.transfers.reversals.create_async(transfer.id)
    await world.stripe.v1.payment_intents.cancel_async((await world.order()).id)


async def _subscriptions(world: World) -> None:
    """A trial that fails, is given up, paid and ends with its period; one that is canceled unpaid."""
    subscription = await world.subscribe(trial_period_days=7)
    path = f"subscriptions/{subscription.id}"
    await world.post(f"{path}/trial_will_end")
    await world.post(f"{path}/advance", outcome="fail")
    await world.post(f"{path}/give_up")
    await world.post(f"{path}/pay")
    await world.stripe.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    await world.post(f"{path}/advance")
    await world.stripe.v1.subscriptions.cancel_async((await world.subscribe()).id)


@pytest.mark.parametrize("version", [api_version, OLD_VERSION])
async def test_every_type_in_both_shapes_is_usable(world: World, version: str) -> None:
    """No event that the sandbox can send is quarantined for its shape, and none is missed here."""
    await world.post("account", api_version=version)
    await _checkouts(world)
    await _orders(world)
    await _subscriptions(world)
    events = await world.events()
    facts = [(event["type"], read(encode(event), Expected("test")).fact) for event in events]
    newer = {"invoice_payment.paid"} if version == api_version else set()

    assert {kind for kind, _ in facts} == BILLING | MONEY | newer
    assert [(kind, fact) for kind, fact in facts if isinstance(fact, Unusable)] == []
    assert [kind for kind, fact in facts if kind in BILLING and isinstance(fact, NotForUs)] == []


async def test_what_was_never_delivered_is_listed_for_every_kind(world: World) -> None:
    """`delivery_success=false` is what a reconciler asks: subscriptions and transfers are in it, too."""
    await world.post("chaos", seed=1, rates={"drop": 1.0})
    await _orders(world)
    await _subscriptions(world)
    listed = await world.stripe.v1.events.list_async({"delivery_success": False, "limit": 100})
    missed = {event.id async for event in listed.auto_paging_iter()}
    await world.post("chaos", seed=1, preset="calm")
    await world.order()
    await world.settled()

    assert missed == {event["id"] for event in (await world.events())[:-1]}
    assert {
        event.id for event in (await world.stripe.v1.events.list_async({"delivery_success": True})).data
    } == {(await world.events())[-1]["id"]}


@pytest.mark.parametrize("version", [api_version, OLD_VERSION])
async def test_both_shapes_mean_the_same(world: World, version: str) -> None:
    """Account, price, period, payment and what was before are read from either."""
    await world.post("account", api_version=version)
    subscription = await world.subscribe()
    await world.post(f"subscriptions/{subscription.id}/pay")
    facts = [read(encode(event), Expected("test")).fact for event in await world.events()]
    changed = next(
        fact for fact in facts if isinstance(fact, SubscriptionReported) and fact.kind == "changed"
    )
    paid = [fact for fact in facts if isinstance(fact, InvoiceReported)][-1]
    item = subscription.to_dict()["items"]["data"][0]
    payments = (await world.stripe.v1.payment_intents.list_async()).data

    assert (changed.values.account_id, changed.values.price_id) == ("acc-1", item["price"]["id"])
    assert (changed.values.current_period_start, changed.values.current_period_end) == (
        item["current_period_start"],
        item["current_period_end"],
    )
    assert changed.before is not None
    assert (changed.before.status, changed.values.status) == ("pending_payment", "active")
    assert (paid.subscription_id, paid.payment_id) == (subscription.id, payments[0].id)
    assert (paid.values.status, paid.values.amount_paid_minor, paid.values.attempt_count) == ("paid", 900, 1)
