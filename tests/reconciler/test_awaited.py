"""Events that came before what they are about: their parents are fetched from the PSP by the awaited key."""

from __future__ import annotations

import asyncio
from typing import Any

from db import events
from tests.reconciler.shop import Shop
from tests.support import stripe_events as made
from tests.workers.conftest import delivery

PHASE = "awaited_parents"
PATIENT = {"RECONCILE_INTERVAL": "1h"}
"""Under which an event waits for minutes before its parent is fetched."""


async def waiting(shop: Shop) -> list[str]:
    """The keys that events wait for."""
    rows = await shop.admin.fetch(
        "SELECT DISTINCT awaits FROM webhook_event WHERE state = 'parked' ORDER BY awaits"
    )
    return [row["awaits"] for row in rows]


async def append(shop: Shop, event: dict[str, Any]) -> None:
    """An event that came; applied."""
    await events.append(shop.admin, [delivery(made.encode(event))])
    await shop.drain()


async def refunded_top_up(shop: Shop) -> tuple[str, str]:
    """A top-up of which only the refund is heard of; its checkout and its payment."""
    payment = await shop.world.buy()
    (session,) = (await shop.world.stripe.v1.checkout.sessions.list_async({"payment_intent": payment})).data
    await shop.world.stripe.v1.refunds.create_async({"payment_intent": payment, "amount": 100})
    await shop.webhooks("refund.created")
    await shop.settle_down()
    return session.id, payment


async def test_a_refund_fetches_the_top_up_that_it_gives_back(shop: Shop) -> None:
    """Parked under its payment, which names no checkout: the PSP does. A second run has nothing to do."""
    session, payment = await refunded_top_up(shop)
    keys = await waiting(shop)
    recent = await shop.repair(PHASE, **PATIENT)
    first = await shop.repair(PHASE)
    second = await shop.repair(PHASE)

    assert (keys, await waiting(shop)) == ([f"payment:{payment}"], [])
    assert (recent.counts["looked_at"], first.status) == (0, "succeeded")
    assert first.findings == [("missing_event", session, True)]
    assert (second.counts["looked_at"], second.findings) == (0, [])
    assert await shop.value("SELECT amount FROM balance WHERE account_id = 'acc-1'") == 250 - 250 * 100 // 289
    assert f"events have waited for payment:{payment}" in first.details[0]


async def test_a_refund_fetches_the_order_that_it_gives_back(shop: Shop) -> None:
    """A payment that carries its order in its metadata is told itself."""
    payment = await shop.world.order(1_000)
    await shop.world.post(f"payment_intents/{payment.id}/pay")
    await shop.world.stripe.v1.refunds.create_async({"payment_intent": payment.id})
    await shop.webhooks("refund.created", "refund.updated")
    await shop.settle_down()
    ran = await shop.repair(PHASE)

    assert ran.findings == [("missing_event", payment.id, True)]
    assert (await shop.status("orders", "order-1"), await waiting(shop)) == ("refunded", [])


async def test_a_transfer_fetches_its_order(shop: Shop) -> None:
    """It names our id of the order alone; the PSP finds the payment by its metadata."""
    payment = await shop.world.order(1_000, sellerId="seller-1")
    await shop.world.post(f"payment_intents/{payment.id}/pay")
    await shop.world.stripe.v1.transfers.create_async(
        {"amount": 700, "currency": "usd", "destination": "acct_1", "metadata": {"orderId": "order-1"}}
    )
    await shop.webhooks("transfer.created")
    keys = await waiting(shop)
    await shop.settle_down()
    ran = await shop.repair(PHASE)

    assert (keys, await waiting(shop)) == (["order:order-1"], [])
    assert ran.findings == [("missing_event", payment.id, True)]
    assert await shop.value("SELECT status FROM seller_transfer") == "completed"


async def test_a_dispute_of_a_renewal_fetches_invoice_and_subscription(shop: Shop) -> None:
    """The payment names its invoice, which then waits for its subscription: two runs, one chain."""
    subscription = await shop.world.subscribe(metadata={"accountId": "acc-9"})
    await shop.world.post(f"subscriptions/{subscription.id}/pay")
    (invoice,) = (await shop.world.stripe.v1.invoices.list_async({"subscription": subscription.id})).data
    (payment,) = (await shop.world.stripe.v1.payment_intents.list_async({})).data
    await shop.world.post(f"payment_intents/{payment.id}/dispute")
    await shop.webhooks("charge.dispute.created")
    keys = [await waiting(shop)]
    await shop.settle_down()
    first = await shop.repair(PHASE)
    keys.append(await waiting(shop))
    await asyncio.sleep(1.1)  # the invoice's event has to have waited, too
    second = await shop.repair(PHASE)

    assert keys == [[f"payment:{payment.id}"], [f"payment:{payment.id}", f"subscription:{subscription.id}"]]
    assert [one[:2] for one in first.findings] == [("missing_event", invoice.id)]
    assert ("missing_event", subscription.id, True) in second.findings
    assert (await shop.status("subscription", subscription.id), await waiting(shop)) == ("active", [])
    assert await shop.value("SELECT status FROM dispute") == "needs_response"


async def test_what_a_charge_says_was_refunded_fetches_the_refunds(shop: Shop) -> None:
    """`charge.refunded` without its refunds, and an outbox that does nothing: the payment's list tells."""
    payment = await shop.world.buy()
    await shop.webhooks()
    refund = await shop.world.stripe.v1.refunds.create_async({"payment_intent": payment, "amount": 100})
    await shop.webhooks("charge.refunded")
    keys = await waiting(shop)
    await shop.settle_down()
    ran = await shop.repair(PHASE)

    assert (keys, await waiting(shop)) == ([f"refunds:{payment}"], [])
    assert ran.findings == [("missing_event", refund.id, True)]


async def test_what_the_psp_has_not_either_waits_on(shop: Shop) -> None:
    """It is on record, asked for ever less often, and its wait ends as before: by quarantine and alarm."""
    await shop.webhooks()
    await append(shop, made.event("refund.created", made.refund("pi_nowhere", 100), created=made.CREATED))
    await append(shop, made.event("transfer.created", made.transfer(order_id="order-nowhere")))
    await asyncio.sleep(1.1)
    first = await shop.repair(PHASE, by="interval")
    second = await shop.repair(PHASE, by="interval")

    assert [one[::2] for one in first.findings] == [("missed_apply", False)] * 2
    assert [one.counts["looked_at"] for one in (first, second)] == [2, 0]
    assert await waiting(shop) == ["order:order-nowhere", "payment:pi_nowhere"]
    assert await shop.value("SELECT count(*) FROM webhook_log WHERE origin = 'reconciler'") == 0


async def test_a_payment_that_is_none_of_ours_is_no_difference(shop: Shop) -> None:
    """The PSP knows it and it means nothing to us: nothing is told, nobody is alarmed."""
    payment = await shop.world.stripe.v1.payment_intents.create_async({"amount": 500, "currency": "usd"})
    await append(shop, made.event("refund.created", made.refund(payment.id, 100)))
    await asyncio.sleep(1.1)
    ran = await shop.repair(PHASE)

    assert (ran.status, ran.counts["looked_at"], ran.findings) == ("succeeded", 1, [])
    assert await waiting(shop) == [f"payment:{payment.id}"]
    assert await shop.value("SELECT count(*) FROM alert") == 0


async def test_a_psp_error_leaves_the_event_as_it_was(shop: Shop) -> None:
    """The run is partial where other rows were settled; the row keeps the error and comes again."""
    _, payment = await refunded_top_up(shop)
    before = await shop.everything()
    await shop.world.fault(kind="status", path=f"/v1/payment_intents/{payment}", status=500, times=1)
    failed = await shop.repair(PHASE)
    unchanged = await shop.everything() == before
    again = await shop.repair(PHASE)

    assert (failed.status, unchanged) == ("failed", True)
    assert (again.counts["repaired"], await waiting(shop)) == (1, [])


async def test_two_reconcilers_fetch_a_parent_once(shop: Shop) -> None:
    """The key is leased to one of them, and what a second one would append is there already."""
    session, _ = await refunded_top_up(shop)
    runs = await asyncio.gather(*(shop.reconcile(PHASE) for _ in range(2)))
    await shop.drain()

    assert sorted(one.counts["looked_at"] for one in runs) == [0, 1]
    assert await shop.value("SELECT count(*) FROM webhook_log WHERE origin = 'reconciler'") == 1
    assert await shop.status("checkout_session", session) == "paid"


async def test_a_dry_run_appends_nothing(shop: Shop) -> None:
    """It says what it would fetch."""
    session, payment = await refunded_top_up(shop)
    ran = await shop.repair(PHASE, dry_run=True)

    assert ran.findings == [("missing_event", session, False)]
    assert await waiting(shop) == [f"payment:{payment}"]
