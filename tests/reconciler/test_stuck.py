"""The ten tests of the system that this replaces, on a real database and with a real PSP's server; each by
its name there.
"""

from __future__ import annotations

import json

import pytest

from billing.commands import OrderPlaced
from billing.terms import OrderTerms
from runtime import limits
from tests.reconciler.shop import Shop

SLOW = {
    "RECONCILE_ORDER_STUCK_AFTER": "30m",
    "RECONCILE_REFUND_ORPHAN_AFTER": "5m",
    "RECONCILE_REFUND_STUCK_AFTER": "30m",
}


async def test_stuck_order_syncs_via_synthetic_webhook(shop: Shop) -> None:
    """StuckOrder_SyncsViaSyntheticWebhook: a paid order whose webhook was lost is completed through the log,
    with the run as the cause, and a second run repairs nothing.
    """
    payment_id = await shop.place_order(pays=True)
    await shop.lose_webhooks()
    await shop.age()
    before = await shop.status("orders", "order-1")
    first = await shop.repair("stuck_orders", **SLOW)
    second = await shop.repair("stuck_orders", **SLOW)

    assert (before, await shop.status("orders", "order-1")) == ("pending", "completed")
    assert (first.status, first.findings) == ("succeeded", [("stale", payment_id, True)])
    assert (second.findings, second.counts["repaired"]) == ([], 0)
    row = await shop.admin.fetchrow(
        "SELECT origin, endpoint, actor, request_id, event_type FROM webhook_log "
        "WHERE event_id LIKE 'evt_rec_%'"
    )
    assert row is not None
    assert tuple(row) == (
        "reconciler",
        "stripe",
        f"reconciler:{first.id}",
        first.id,
        "payment_intent.succeeded",
    )
    assert "min" in first.details[0]


async def test_recent_order_not_touched(shop: Shop) -> None:
    """RecentOrder_NotTouched: its webhook may still be on its way."""
    await shop.place_order(pays=True)
    await shop.lose_webhooks()
    ran = await shop.repair("stuck_orders", **SLOW)

    assert (ran.counts["looked_at"], await shop.status("orders", "order-1")) == (0, "pending")


async def test_completed_order_not_touched(shop: Shop) -> None:
    """CompletedOrder_NotTouched: what has ended is not asked about."""
    await shop.place_order(pays=True)
    await shop.webhooks()
    await shop.age()
    before = await shop.everything()
    ran = await shop.repair("stuck_orders", **SLOW)

    assert (ran.counts["looked_at"], await shop.everything()) == (0, before)


async def test_order_with_empty_payment_id_not_touched(shop: Shop) -> None:
    """OrderWithEmptyPaymentID_NotTouched: there is nothing to ask the PSP about."""
    await shop.say(OrderPlaced("stripe", None, OrderTerms("order-1", "buyer-1", None, 1_000, "usd", 0, ())))
    await shop.age()
    ran = await shop.repair("stuck_orders", **SLOW)

    assert (ran.counts["looked_at"], await shop.status("orders", "order-1")) == (0, "pending")


async def test_psp_read_error_leaves_row_intact(shop: Shop) -> None:
    """PSPReadErrorLeavesRowIntact: nothing of ours changes, the run says so, and a later one mends it."""
    await shop.place_order(pays=True)
    await shop.lose_webhooks()
    await shop.age()
    before = await shop.everything()
    await shop.world.fault(kind="status", path="/v1/payment_intents/", status=500)
    failed = await shop.repair("stuck_orders", **SLOW)
    after_failure = await shop.everything()
    mended = await shop.repair("stuck_orders", **SLOW)

    assert (failed.status, failed.errors) == ("failed", ["stuck_orders: stripe APIError"])
    assert before == after_failure
    assert (mended.status, await shop.status("orders", "order-1")) == ("succeeded", "completed")


async def _orphan(shop: Shop, *, reaches_the_psp: bool) -> str:
    """A refund whose call has failed for good with an unknown fate: it may have been made, or not."""
    payment_id = await shop.place_order(pays=True)
    await shop.webhooks()
    await shop.ask_refund("refund-1")
    await shop.world.fault(kind="drop_after" if reaches_the_psp else "status", path="/v1/refunds", status=500)
    await shop.do_calls()
    # Nor does anybody learn anything from the tries that follow.
    await shop.world.fault(
        kind="status", path="/v1/refunds", status=500, times=limits.effect_attempts_max - 1
    )
    for _ in range(limits.effect_attempts_max - 1):
        await shop.do_calls()
    assert (await shop.value("SELECT state FROM outbox_effect"), await shop.status("refund", "refund-1")) == (
        "failed",
        "pending",
    )
    return payment_id


async def test_orphan_refund_auto_fails_order_rolls_back(shop: Shop) -> None:
    """OrphanRefund_AutoFails_OrderRollsBack: only because the PSP, asked by our id and by the payment, has
    none.
    """
    payment_id = await _orphan(shop, reaches_the_psp=False)
    await shop.age()
    asked = len(await shop.psp_refunds(payment_id))
    ran = await shop.repair("orphan_refunds", **SLOW)

    assert (asked, ran.findings) == (0, [("stale", "refund-1", True)])
    assert (await shop.status("refund", "refund-1"), await shop.status("orders", "order-1")) == (
        "failed",
        "completed",
    )
    assert await shop.value("SELECT event_type FROM webhook_log ORDER BY id DESC LIMIT 1") == "refund.refused"
    assert (await shop.repair("orphan_refunds", **SLOW)).findings == []


async def test_recent_orphan_refund_not_touched(shop: Shop) -> None:
    """RecentOrphanRefund_NotTouched: the last call may still be on its way."""
    await _orphan(shop, reaches_the_psp=False)
    await shop.admin.execute("UPDATE refund SET created_at = created_at - interval '1 day'")
    ran = await shop.repair("orphan_refunds", **SLOW)

    assert (ran.counts["looked_at"], await shop.status("refund", "refund-1")) == (0, "pending")


async def _pending_refund(shop: Shop) -> tuple[str, str]:
    """A refund that the PSP has taken on and not decided: payment and the PSP's refund id."""
    payment_id = await shop.place_order()
    await shop.world.post(f"payment_intents/{payment_id}/pay", method="us_bank_account")
    await shop.world.post(f"payment_intents/{payment_id}/settle")
    await shop.webhooks()
    await shop.ask_refund("refund-1")
    await shop.do_calls()
    await shop.webhooks()
    (refund,) = await shop.psp_refunds(payment_id)
    assert (refund["status"], await shop.status("refund", "refund-1")) == ("pending", "pending")
    return payment_id, str(refund["id"])


async def test_stuck_refund_syncs_via_synthetic_webhook(shop: Shop) -> None:
    """StuckRefund_SyncsViaSyntheticWebhook: it succeeded at the PSP and nobody told."""
    _, refund_id = await _pending_refund(shop)
    await shop.world.post(f"refunds/{refund_id}/succeed")
    await shop.lose_webhooks()
    await shop.age()
    ran = await shop.repair("stuck_refunds", **SLOW)

    assert ran.findings == [("stale", refund_id, True)]
    assert (await shop.status("refund", "refund-1"), await shop.status("orders", "order-1")) == (
        "succeeded",
        "refunded",
    )


async def test_stuck_refund_failure_status_passes_error_message(shop: Shop) -> None:
    """StuckRefund_FailureStatus_PassesErrorMessage: the PSP's own reason stands in the log, and the order is
    back.
    """
    _, refund_id = await _pending_refund(shop)
    await shop.world.post(f"refunds/{refund_id}/fail", reason="lost_or_stolen_card")
    await shop.lose_webhooks()
    await shop.age()
    await shop.repair("stuck_refunds", **SLOW)
    body = json.loads(await shop.value("SELECT body FROM webhook_log WHERE event_id LIKE 'evt_rec_%'"))

    assert body["data"]["object"]["failure_reason"] == "lost_or_stolen_card"
    assert (await shop.status("refund", "refund-1"), await shop.status("orders", "order-1")) == (
        "failed",
        "completed",
    )


@pytest.mark.parametrize("ending", ["paid", "canceled", "refunded"])
async def test_all_terminal_states_no_op(shop: Shop, ending: str) -> None:
    """AllTerminalStates_NoOp: no phase asks about what has ended, or changes it."""
    payment_id = await shop.place_order(pays=ending != "canceled")
    if ending == "canceled":
        await shop.world.stripe.v1.payment_intents.cancel_async(payment_id)
    await shop.webhooks()
    if ending == "refunded":
        await shop.ask_refund("refund-1")
        await shop.do_calls()
        await shop.webhooks()
    await shop.age()
    before = await shop.everything()
    ran = await shop.repair("stuck_orders", "stuck_refunds", "orphan_refunds", **SLOW)

    assert (ran.counts["looked_at"], await shop.everything()) == (0, before)
