"""However a refund's call ended, the PSP never makes two: crashes, lost replies, ids used again."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from db import outbox
from psp.calls import Done
from psp.stripe.calls import StripeCalls
from psp.stripe.client import StripeApi
from runtime import limits
from tests.reconciler.shop import Shop
from tests.sandbox.worlds import KEY
from tests.support.office import nobodys


async def refund_asked(shop: Shop) -> str:
    """A paid order whose refund waits in the outbox; its payment."""
    payment_id = await shop.place_order(pays=True)
    await shop.webhooks()
    await shop.ask_refund("refund-1")
    return payment_id


async def crash_after_the_call(shop: Shop) -> None:
    """A worker that is killed between the PSP's answer and the commit of it."""
    async with shop.workers.acquire() as connection:
        (effect,) = await outbox.claim_due(connection, "stripe", 1, 45.0)
    async with StripeApi(KEY, shop.world.url) as api:
        assert isinstance(await StripeCalls(api, "stripe").do(effect.call, effect.attempts, 0, nobodys), Done)


async def states(shop: Shop) -> tuple[str | None, str | None]:
    """Of the refund and its order."""
    return await shop.status("refund", "refund-1"), await shop.status("orders", "order-1")


async def test_a_crash_before_the_id_is_stored_makes_no_second_refund(shop: Shop) -> None:
    """The outbox still has the call, so the reconciler leaves it alone; the next worker finds it."""
    payment_id = await refund_asked(shop)
    await crash_after_the_call(shop)
    await shop.lose_webhooks()
    await shop.admin.execute("UPDATE refund SET created_at = created_at - interval '1 day'")
    ran = await shop.repair("orphan_refunds")
    before = await states(shop)
    await shop.do_calls()
    after = await states(shop)
    await shop.age()
    await shop.repair("stuck_refunds")

    assert ran.counts["looked_at"] == 0
    assert (before, after) == (("pending", "refund_pending"), ("pending", "refund_pending"))
    assert await states(shop) == ("succeeded", "refunded")
    assert [refund["amount"] for refund in await shop.psp_refunds(payment_id)] == [1_000]


async def test_a_lost_reply_and_a_call_given_up_find_the_refund_at_the_psp(shop: Shop) -> None:
    """The refund was made, no answer ever came: it is taken over as it is, never declared dead."""
    payment_id = await refund_asked(shop)
    await shop.world.fault(kind="drop_after", path="/v1/refunds")
    await shop.do_calls()
    await shop.world.fault(
        kind="status", path="/v1/refunds", status=500, times=limits.effect_attempts_max - 1
    )
    for _ in range(limits.effect_attempts_max - 1):
        await shop.do_calls()
    await shop.lose_webhooks()
    await shop.age()
    given_up = await shop.value("SELECT state FROM outbox_effect"), await states(shop)
    dry = await shop.repair("orphan_refunds", dry_run=True)
    after_dry = await states(shop)
    first = await shop.repair("orphan_refunds")
    second = await shop.repair()
    await shop.ask_refund("refund-2")
    await shop.do_calls()

    (refund,) = await shop.psp_refunds(payment_id)
    assert given_up == ("failed", ("pending", "refund_pending"))
    assert (dry.findings, after_dry) == ([("stale", "refund-1", False)], ("pending", "refund_pending"))
    assert first.counts["repaired"] == 2
    assert await states(shop) == ("succeeded", "refunded")
    assert await shop.value("SELECT psp_id FROM refund") == refund["id"]
    assert (second.counts["stale"], second.counts["amount_mismatch"]) == (0, 0)


async def test_an_answer_that_is_not_whole_declares_nothing_dead(shop: Shop) -> None:
    """As long as the PSP cannot be asked, the refund stays pending."""
    await refund_asked(shop)
    await shop.world.fault(
        kind="status", path="/v1/refunds", status=500, times=limits.effect_attempts_max + 1
    )
    for _ in range(limits.effect_attempts_max):
        await shop.do_calls()
    await shop.age()
    ran = await shop.repair("orphan_refunds")

    assert (ran.status, ran.findings, await states(shop)) == ("failed", [], ("pending", "refund_pending"))


async def test_a_buyer_who_asks_again_after_a_dead_refund_gets_one(shop: Shop) -> None:
    """What was declared dead is dead: the second request makes the only refund."""
    payment_id = await refund_asked(shop)
    await shop.world.fault(kind="status", path="/v1/refunds", status=500, times=limits.effect_attempts_max)
    for _ in range(limits.effect_attempts_max):
        await shop.do_calls()
    await shop.age()
    await shop.repair("orphan_refunds")
    dead = await states(shop)
    await shop.ask_refund("refund-2")
    await shop.do_calls()
    await shop.do_calls()
    await shop.webhooks()

    assert dead == ("failed", "completed")
    assert [refund["metadata"] for refund in await shop.psp_refunds(payment_id)] == [{"refundId": "refund-2"}]
    assert (await shop.status("refund", "refund-2"), await shop.status("orders", "order-1")) == (
        "succeeded",
        "refunded",
    )


async def test_an_id_used_again_makes_no_second_refund(shop: Shop) -> None:
    """The same request twice is one refund, here and there."""
    payment_id = await refund_asked(shop)
    await shop.ask_refund("refund-1")
    await shop.do_calls()
    await shop.ask_refund("refund-1")
    await shop.do_calls()
    await shop.webhooks()
    await shop.age()
    await shop.repair("orphan_refunds", "stuck_refunds")

    assert len(await shop.psp_refunds(payment_id)) == 1
    assert await states(shop) == ("succeeded", "refunded")


async def test_many_reconcilers_at_once_have_one_effect(shop: Shop) -> None:
    """Three at the same time, each for its own reason: every run on record, one declaration, one repair."""
    await refund_asked(shop)
    await shop.world.fault(kind="status", path="/v1/refunds", status=500, times=limits.effect_attempts_max)
    for _ in range(limits.effect_attempts_max):
        await shop.do_calls()
    await shop.place_order("order-2", pays=True)
    await shop.lose_webhooks()
    await shop.age()
    askers = ("interval", "command line", str(uuid4()))
    runs = await asyncio.gather(
        *(shop.reconcile("orphan_refunds", "stuck_orders", by=asker) for asker in askers)
    )
    await shop.drain()

    assert sorted(run.record["requested_by"] for run in runs) == sorted(askers)
    assert {run.status for run in runs} == {"succeeded"}
    assert sum(run.counts["repaired"] for run in runs) == 2
    assert await shop.value("SELECT count(*) FROM webhook_event WHERE event_type = 'refund.refused'") == 1
    assert await shop.value("SELECT count(*) FROM webhook_redelivery") == 0
    assert await shop.status("orders", "order-2") == "completed"
