"""The same phases at Hyperswitch, which tells each state once at most, and some never."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from billing.commands import OrderPlaced, RefundRequested
from billing.terms import OrderTerms
from db import events
from psp.hyperswitch import ids
from runtime import limits
from tests.reconciler.shop import HYPERSWITCH_KEY, Shop
from tests.support import hyperswitch_events as told
from tests.support import stripe_events as made
from tests.support.poll import until
from tests.workers.conftest import delivery

PAYMENT = ids.payment_id(UUID(int=1))
OURS = str(UUID(int=2))
REFUND = ids.refund_id(UUID(int=2))
"""The same refund, by our id and at Hyperswitch."""
SLOW = {
    "RECONCILE_ORDER_STUCK_AFTER": "30m",
    "RECONCILE_REFUND_ORPHAN_AFTER": "5m",
    "RECONCILE_REFUND_STUCK_AFTER": "30m",
}


@pytest.fixture(autouse=True)
def _hyperswitch(shop: Shop) -> None:
    shop.environment |= {
        "HYPERSWITCH_ENABLED": "true",
        "HYPERSWITCH_URL": f"{shop.world.url}/hyperswitch",
        "HYPERSWITCH_API_KEY": HYPERSWITCH_KEY,
    }


async def call(shop: Shop, method: str, path: str, **body: Any) -> dict[str, Any]:
    """The merchant's own API, or its control plane."""
    status, text, _ = await shop.world.raw(method, path, json=body, headers={"api-key": HYPERSWITCH_KEY})
    assert status == 200, text
    answer: dict[str, Any] = json.loads(text)
    return answer


async def open_payment(shop: Shop, order_id: str = "order-1") -> None:
    """A payment of an order, which nobody here has heard of."""
    await call(
        shop,
        "POST",
        "/hyperswitch/payments",
        payment_id=PAYMENT,
        amount=1_000,
        currency="USD",
        metadata={"purpose": "order", "orderId": order_id, "buyerId": "buyer-1"},
    )


async def place(shop: Shop, *, paid: bool) -> None:
    """An order placed here and its payment there."""
    await open_payment(shop)
    terms = OrderTerms("order-1", "buyer-1", None, 1_000, "usd", 0, ())
    await shop.say(OrderPlaced("hyperswitch", PAYMENT, terms))
    if paid:
        await pay(shop)


async def pay(shop: Shop, outcome: str = "succeed") -> None:
    """The customer's card."""
    await call(shop, "POST", f"/sandbox/hyperswitch/payments/{PAYMENT}/pay", outcome=outcome)


async def refund(shop: Shop, answer: str) -> None:
    """A refund of the paid order that the processor answers so; called for."""
    await shop.age()
    await shop.repair("stuck_orders", **SLOW)
    await shop.say(RefundRequested("hyperswitch", "order-1", OURS, None))
    await call(shop, "POST", "/sandbox/hyperswitch/next_refunds", status=answer)


async def states(shop: Shop) -> tuple[str | None, str | None]:
    """Of the refund and its order."""
    return await shop.status("refund", OURS), await shop.status("orders", "order-1")


@pytest.mark.parametrize(
    ("outcome", "status"), [("succeed", "completed"), ("fail", "failed"), ("fail_then_succeed", "completed")]
)
async def test_a_stuck_order_follows_its_payment(shop: Shop, outcome: str, status: str) -> None:
    """Also one that failed first and then succeeded under the same id, which Hyperswitch never tells."""
    await place(shop, paid=False)
    await pay(shop, outcome)
    await shop.age()
    first = await shop.repair("stuck_orders", **SLOW)
    second = await shop.repair("stuck_orders", **SLOW)

    assert first.findings == [("stale", PAYMENT, True)]
    assert (await shop.status("orders", "order-1"), second.findings) == (status, [])


@pytest.mark.parametrize(
    ("decided", "expected"), [("succeed", ("succeeded", "refunded")), ("fail", ("failed", "completed"))]
)
async def test_a_stuck_refund_follows_the_psp(shop: Shop, decided: str, expected: tuple[str, str]) -> None:
    """It was in review, which Hyperswitch tells nobody."""
    await place(shop, paid=True)
    await refund(shop, "review")
    await shop.do_calls("hyperswitch")
    await shop.age()
    await shop.repair("stuck_refunds", **SLOW)
    waiting = await states(shop)
    await call(shop, "POST", f"/sandbox/hyperswitch/refunds/{REFUND}/{decided}")
    ran = await shop.repair("stuck_refunds", **SLOW)

    assert waiting == ("pending", "refund_pending")
    assert (ran.findings, await states(shop)) == ([("stale", REFUND, True)], expected)


@pytest.mark.parametrize(
    ("reached", "expected"), [(True, ("succeeded", "refunded")), (False, ("failed", "completed"))]
)
async def test_an_orphan_refund_is_found_under_our_id_or_declared_dead(
    shop: Shop, reached: bool, expected: tuple[str, str]
) -> None:
    """After a call of unknown fate the PSP is asked by our own id and by the payment; never a second one."""
    await place(shop, paid=True)
    await refund(shop, "succeeded")
    fault = {"kind": "drop_after"} if reached else {"kind": "status", "status": 500}
    await shop.world.fault(path="/hyperswitch/refunds", **fault)
    await shop.do_calls("hyperswitch")
    await shop.world.fault(
        kind="status", path="/hyperswitch/refunds", status=500, times=limits.effect_attempts_max - 1
    )
    for _ in range(limits.effect_attempts_max - 1):
        await shop.do_calls("hyperswitch")
    assert await shop.value("SELECT state FROM outbox_effect") == "failed"
    await shop.age()
    first = await shop.repair("orphan_refunds", **SLOW)
    second = await shop.repair("orphan_refunds", **SLOW)
    listed = await call(shop, "POST", "/hyperswitch/refunds/list", payment_id=PAYMENT)

    assert (await states(shop), second.findings) == (expected, [])
    assert first.counts["repaired"] == (2 if reached else 1)
    assert listed["total_count"] == (1 if reached else 0)


@pytest.mark.parametrize(("phase", "news"), [("undelivered_events", 3), ("object_diff", 2)])
async def test_what_never_came_is_made_good(shop: Shop, phase: str, news: int) -> None:
    """Events with their exact bodies from the events API, or the objects themselves; a second run repairs
    nothing.
    """
    await place(shop, paid=True)
    dispute = await call(shop, "POST", f"/sandbox/hyperswitch/payments/{PAYMENT}/dispute", amount=300)
    await call(shop, "POST", f"/sandbox/hyperswitch/disputes/{dispute['dispute_id']}/lose")
    await call(shop, "GET", f"/hyperswitch/payments/{PAYMENT}")

    async def older_than_the_grace() -> bool:
        ran = await shop.reconcile(phase, dry_run=True)
        return ran.counts["missing_event"] + ran.counts["stale"] >= news

    await until(older_than_the_grace, 20, "everything to be listed")
    first = await shop.repair(phase)
    second = await shop.repair(phase)

    assert (first.status, first.errors, second.counts["repaired"]) == ("succeeded", [], 0)
    assert await shop.status("orders", "order-1") == "completed"
    assert await shop.status("dispute", dispute["dispute_id"]) == "dispute_lost"
    assert await shop.broken() == {}


ORDER = str(UUID(int=1))
NAMED = {"purpose": "order", "orderId": ORDER, "buyerId": "buyer-1"}


@pytest.mark.parametrize(
    ("event", "key", "found"),
    [
        (told.flat("refund.succeeded", refund_id=REFUND, status="succeeded"), f"refund:{REFUND}", 2),
        (
            told.flat("payment.succeeded", payment_id=PAYMENT, status="succeeded", metadata=NAMED),
            f"order:{ORDER}",
            1,
        ),
    ],
)
async def test_an_event_of_an_older_integration_fetches_what_it_is_about(
    shop: Shop, event: dict[str, Any], key: str, found: int
) -> None:
    """It names neither payment nor amount: the refund's payment comes first, then the refund, in one run."""
    await open_payment(shop, ORDER)
    await pay(shop)
    await call(shop, "POST", "/hyperswitch/refunds", payment_id=PAYMENT, refund_id=REFUND, amount=300)
    await events.append(
        shop.admin,
        [delivery(made.encode(event), source="hyperswitch", event_id=event["event_id"], secret_id=None)],
    )
    await shop.drain()
    waited_for = await shop.value("SELECT awaits FROM webhook_event WHERE state = 'parked'")
    await asyncio.sleep(1.1)
    first = await shop.repair("awaited_parents")
    second = await shop.repair("awaited_parents")

    assert (waited_for, first.counts["repaired"], second.counts["looked_at"]) == (key, found, 0)
    assert await shop.status("orders", ORDER) == "completed"
    assert await shop.value("SELECT count(*) FROM refund WHERE status = 'succeeded'") == found - 1
    assert await shop.broken() == {}
