"""What waits for too long is a gauge until the reconciler has settled it: stuck orders, orphan refunds."""

from __future__ import annotations

from runtime import limits
from tests.api.house import running
from tests.api.test_metrics import scrape
from tests.reconciler.shop import Shop

STUCK_ORDERS, STUCK_REFUNDS, ORPHANS = (
    "sluice_stuck_orders_pending",
    "sluice_stuck_refunds_pending",
    "sluice_orphan_refund_rows",
)


async def gauges(shop: Shop) -> tuple[float, float, float]:
    """Stuck orders, stuck refunds and orphans, as Prometheus sees them."""
    async with running(shop.dsn, shop.redis_url) as house:
        found = await scrape(house)
    return found[STUCK_ORDERS], found[STUCK_REFUNDS], found[ORPHANS]


async def test_a_stuck_order_is_counted_until_it_is_settled(shop: Shop) -> None:
    """Paid at the PSP, and nobody told; a young one is not counted."""
    await shop.place_order(pays=True)
    await shop.lose_webhooks()
    young = await gauges(shop)
    await shop.age()
    old = await gauges(shop)
    await shop.repair("stuck_orders")

    assert (young, old, await gauges(shop)) == ((0, 0, 0), (1, 0, 0), (0, 0, 0))


async def test_an_orphan_refund_is_counted_until_it_is_settled(shop: Shop) -> None:
    """Called for until nobody does any more, and unknown at the PSP; not while a call may be on its way."""
    await shop.place_order(pays=True)
    await shop.webhooks()
    await shop.ask_refund("refund-1")
    await shop.world.fault(kind="status", path="/v1/refunds", status=500, times=limits.effect_attempts_max)
    await shop.do_calls()
    await shop.admin.execute("UPDATE refund SET created_at = created_at - interval '10 minutes'")
    under_way = await gauges(shop)
    for _ in range(limits.effect_attempts_max - 1):
        await shop.do_calls()
    just_now = await gauges(shop)
    await shop.age()
    given_up = await gauges(shop)
    await shop.repair("orphan_refunds")

    assert under_way == just_now == (0, 0, 0)
    assert (given_up, await gauges(shop)) == ((0, 1, 1), (0, 0, 0))
