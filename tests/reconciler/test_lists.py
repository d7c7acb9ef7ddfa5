"""What the PSP lists and we do not have, and the other way: events, objects and money."""

from __future__ import annotations

import pytest

from db import events
from tests.reconciler.shop import Shop
from tests.reconciler.trade import a_busy_hour, agrees_with_the_psp
from tests.sandbox.worlds import KEY
from tests.support.stripe_events import checkout, encode, event, unique
from tests.workers.conftest import delivery


@pytest.mark.parametrize("phases", [(), ("object_diff",)], ids=["all phases", "objects alone"])
async def test_all_webhooks_lost_for_a_while_are_made_good_by_one_cycle(
    shop: Shop, phases: tuple[str, ...]
) -> None:
    """No delivery for a whole busy hour, even by events that the PSP never generated: one cycle, and
    everything is as in the PSP's books; the second repairs nothing.
    """
    await a_busy_hour(shop.world)
    await shop.lose_webhooks()
    await shop.settle_down()
    first = await shop.repair(*phases)
    await agrees_with_the_psp(shop.world, shop.admin)
    second = await shop.repair(*phases)

    assert first.status == "succeeded", first.errors
    assert first.counts["repaired"] > 5
    assert (second.counts["repaired"], second.findings) == (0, [])
    await agrees_with_the_psp(shop.world, shop.admin)


async def test_a_dry_run_writes_findings_only(shop: Shop) -> None:
    """It says what it would do, and nothing else changes: no state, no log, no cursor, no lease."""
    await a_busy_hour(shop.world)
    await shop.place_order("order-7", pays=True)
    await shop.lose_webhooks()
    await shop.age()
    await shop.settle_down()
    before = await shop.everything()
    ran = await shop.repair(dry_run=True)

    assert await shop.everything() == before
    assert len(ran.findings) > 5
    assert {repaired for _, _, repaired in ran.findings} == {False}
    assert [
        await shop.value(f"SELECT count(*) FROM {table}")
        for table in ("psp_cursor", "reconcile_attempt", "alert")
    ] == [0, 0, 0]


async def test_acknowledged_rows_that_a_restore_lost_are_found(shop: Shop) -> None:
    """A snapshot without its last minute: the PSP calls those events delivered and lists them."""
    await shop.world.buy()
    await shop.webhooks()
    await shop.settle_down()
    await shop.repair()
    await a_busy_hour(shop.world)
    await shop.lose_webhooks()
    await shop.settle_down()
    undelivered = await shop.world.raw(
        "GET", "/v1/events?delivery_success=false", headers={"Authorization": f"Bearer {KEY}"}
    )
    ran = await shop.repair("undelivered_events")

    assert '"data": []' in undelivered[1]
    assert {kind for kind, _, _ in ran.findings} == {"missing_event"}
    await agrees_with_the_psp(shop.world, shop.admin)
    assert (await shop.repair("undelivered_events")).counts["repaired"] == 0


async def test_what_only_we_have_is_reported_and_left_alone(shop: Shop) -> None:
    """A top-up that the PSP does not know may be a forgery: a person is asked, nothing is undone."""
    session = checkout(account="acc-1")
    body = encode(event("checkout.session.completed", session))
    await events.append(shop.admin, [delivery(body)])
    await shop.drain()
    await shop.age()
    ran = await shop.repair("object_diff")

    assert ran.findings == [("extra_local", session["id"], False)]
    assert await shop.value("SELECT amount FROM balance WHERE account_id = 'acc-1'") == 250
    assert await shop.value("SELECT name FROM alert WHERE resolved_at IS NULL") == "psp_differs"


async def test_money_that_is_not_the_same_is_named(shop: Shop) -> None:
    """Sums of both sides, and the object that makes the difference; first as late, and as a mismatch only
    when no event can mend it.
    """
    payment = await shop.world.buy()
    await shop.webhooks()
    await shop.world.stripe.v1.refunds.create_async({"payment_intent": payment, "amount": 100})
    await shop.lose_webhooks()
    await shop.settle_down()
    late = await shop.repair("money_tie_out")
    await shop.repair()
    even = await shop.repair("money_tie_out")

    (refund,) = await shop.psp_refunds(payment)
    assert [finding[:2] for finding in late.findings] == [("missing_event", refund["id"])]
    assert late.details == ["refund: 1.00 USD at the PSP, 0.00 USD in our books"]
    assert (even.findings, even.counts["money_sums_agree"]) == ([], 2)


async def test_an_object_that_the_psp_made_no_event_of_is_fetched(shop: Shop) -> None:
    """The PSP's notice that it failed to generate an event names the object, which is read once."""
    session = await shop.world.open()
    await shop.world.post(f"checkout/sessions/{session.id}/pay")
    await shop.lose_webhooks()
    notice = {
        "id": unique("evt"),
        "object": "v2.core.event",
        "type": "v2.core.health.event_generation_failure.resolved",
        "created": "2026-11-21T00:00:00.000Z",
        "related_object": {"id": session.id, "type": "checkout.session", "url": "/v1/checkout/sessions/x"},
    }
    await events.append(shop.admin, [delivery(encode(notice))])
    await shop.drain()
    first = await shop.repair("generation_failures")
    second = await shop.repair("generation_failures")

    assert first.findings == [("missing_event", session.id, True)]
    assert await shop.value("SELECT amount FROM balance WHERE account_id = 'acc-1'") == 250
    assert (second.counts["looked_at"], second.findings) == (0, [])


async def test_what_is_in_quarantine_is_not_told_again(shop: Shop) -> None:
    """An event that said just this was of no use; a second one would be of none either. A person decides."""
    session = await shop.world.open(credits_sold=5_000, total=5_130)
    await shop.world.post(f"checkout/sessions/{session.id}/pay")
    await shop.webhooks()
    unbelievable = await shop.world.open(
        metadata={"purpose": "credits_topup", "accountId": "acc-2", "credits": "9999"}
    )
    await shop.world.post(f"checkout/sessions/{unbelievable.id}/pay")
    await shop.webhooks()
    await shop.settle_down()
    quarantined = "SELECT count(*) FROM webhook_event WHERE state = 'quarantined'"
    before = await shop.value(quarantined)
    ran = await shop.repair()

    assert (before, await shop.value(quarantined)) == (1, 1)
    assert set(ran.findings) == {("missed_apply", unbelievable.id, False)}
    assert ran.counts["repaired"] == 0
