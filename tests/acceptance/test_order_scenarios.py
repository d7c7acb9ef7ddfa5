"""Orders from outside: signed deliveries of either PSP in, what the API explains out, with honest books after
each step.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.conftest import Stack
from tests.support import stripe_events as made
from tests.support.shop import Shop

BOUGHT = (4000, 1000, -5000)
"""What seller, house and PSP hold after an order of 5000 cents, of which its seller gets four fifths."""
NOTHING = (0, 0, 0)


@pytest.fixture(params=["stripe", "hyperswitch"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """An order at either PSP."""
    return Shop(request.param, made.unique("pay"))


async def goes(stack: Stack, shop: Shop, *bodies: dict[str, Any]) -> None:
    """Delivered one by one; after each every invariant holds."""
    for body in bodies:
        await stack.send_of(shop.source, body)
        status = await stack.settled()
        assert {name: rows for name, rows in status["invariants"].items() if rows} == {}


async def status_of(stack: Stack, kind: str, name: str) -> str:
    """The state of an object, as the API explains it."""
    return str((await stack.get(f"/audit/explain/{kind}/{name}"))["state"]["status"])


async def books(stack: Stack) -> tuple[int, ...]:
    """Cents of the seller, of the house and at the PSP; together always nothing."""
    held = []
    for account in ("seller_1", "system:platform_fees", "system:psp_clearing"):
        state = (await stack.get(f"/audit/explain/account/{account}"))["state"]
        held.append(sum(one["amount_minor"] for one in state["balances"] if one["unit"] == "usd"))
    assert sum(held) == 0
    return tuple(held)


async def test_a_refund_before_its_order(stack: Stack, shop: Shop) -> None:
    """It waits, is woken by the payment, and is applied as if it had come in order."""
    await goes(stack, shop, shop.refund("re_1", 5000))
    waiting = await stack.deliveries()
    await goes(stack, shop, shop.payment("succeeded"))

    assert [one["state"] for one in waiting] == ["parked"]
    assert await status_of(stack, "order", "order_1") == "refunded"
    assert await status_of(stack, "refund", "re_1") == "succeeded"
    assert await books(stack) == NOTHING


async def test_a_payment_that_fails_and_then_succeeds(stack: Stack, shop: Shop) -> None:
    """The late success counts, also when the failure is told after it."""
    await goes(stack, shop, shop.payment("failed"))
    failed = await status_of(stack, "order", "order_1")
    await goes(stack, shop, shop.payment("succeeded"), shop.payment("failed"))

    assert (failed, await status_of(stack, "order", "order_1")) == ("failed", "completed")
    assert await books(stack) == BOUGHT


async def test_a_refund_that_succeeds_and_then_fails(stack: Stack, shop: Shop) -> None:
    """The bank sent the money back: the order stands again, and the seller has its part."""
    await goes(stack, shop, shop.payment("succeeded"), shop.refund("re_1", 5000))
    refunded = (await status_of(stack, "order", "order_1"), await books(stack))
    await goes(stack, shop, shop.refund("re_1", 5000, "failed"))

    assert refunded == ("refunded", NOTHING)
    assert await status_of(stack, "order", "order_1") == "completed"
    assert await status_of(stack, "refund", "re_1") == "failed"
    assert await books(stack) == BOUGHT


async def test_two_partial_refunds_at_once(stack: Stack, shop: Shop) -> None:
    """Both take their share; the order is refunded only when all of it is."""
    await goes(stack, shop, shop.payment("succeeded"))
    first, second = shop.refund("re_1", 1250), shop.refund("re_2", 1250)
    await stack.send_of(shop.source, first, second, first)
    await stack.settled()
    half = (await status_of(stack, "order", "order_1"), await books(stack))
    await goes(stack, shop, shop.refund("re_3", 2500))

    assert half == ("completed", (2000, 500, -2500))
    assert await status_of(stack, "order", "order_1") == "refunded"
    assert await books(stack) == NOTHING


async def test_a_dispute_that_takes_the_funds_and_is_won(stack: Stack, shop: Shop) -> None:
    """The seller is debited while the funds are gone, and whole again when they are back."""
    events = shop.dispute()
    taken = 2  # events until the funds are gone, at both PSPs
    await goes(stack, shop, shop.payment("succeeded"), *events[:taken])
    gone = await books(stack)
    await goes(stack, shop, *events[taken:])

    assert (gone, await books(stack)) == (NOTHING, BOUGHT)
    assert (await status_of(stack, "dispute", "dp_1")).removeprefix("dispute_") == "won"
    assert await status_of(stack, "order", "order_1") == "completed"
