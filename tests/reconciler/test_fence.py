"""What was read at the PSP is as old as its question: a sweep never beats a webhook that is newer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from db import findings
from db.findings import PHASES, Order
from psp.readers import opened
from psp.reads import Sighting
from reconciler import repair
from reconciler.run import Asked, Run
from runtime import clock
from tests.reconciler.shop import Shop

HOLD_BACK = (
    "UPDATE webhook_event SET next_attempt_at = now() + make_interval(secs => $1) WHERE state = 'pending'"
)
"""What is due now waits so many seconds."""


@contextlib.asynccontextmanager
async def slow_run(shop: Shop) -> AsyncIterator[tuple[Run, Asked]]:
    """A run whose answers may lie about for as long as a test likes."""
    order = Order(uuid4(), "tests", PHASES, dry_run=False)
    await findings.start_run(shop.admin, order, None)
    async with opened(shop.settings()) as readers:
        asked = Asked("stripe", "stripe", readers["stripe"])
        yield (
            Run(order, shop.settings(), shop.reconcilers, {"stripe": asked}, clock.now_unix_s(), 1),
            asked,
        )


async def seen(shop: Shop, asked: Asked, subscription_id: str) -> Sighting:
    """The subscription as the PSP shows it now; the PSP's next events are of later seconds."""
    sighting = await asked.reader.read("subscription", subscription_id, clock.now_unix_s())
    assert sighting is not None
    shop.world.clock.ahead_s += 2
    return sighting


async def state(shop: Shop) -> tuple[str, bool]:
    """Of the one subscription: its status, and whether it ends with its period."""
    row = await shop.admin.fetchrow("SELECT status, cancel_at_period_end FROM subscription")
    assert row is not None
    return row["status"], row["cancel_at_period_end"]


async def test_a_page_that_lay_about_says_nothing_any_more(shop: Shop) -> None:
    """Listed as incomplete, paid since, and the webhook was faster: nothing is appended."""
    made = await shop.world.subscribe()
    await shop.webhooks()
    async with slow_run(shop) as (run, asked):
        old = await seen(shop, asked, made.id)
        await shop.world.post(f"subscriptions/{made.id}/pay")
        await shop.webhooks()
        appended = await repair.settle(run, asked, "object_diff", [old])
    await shop.drain()

    assert (old.status, appended, await state(shop)) == ("incomplete", 0, ("active", False))


@pytest.mark.parametrize("webhook_first", [True, False])
async def test_a_repair_and_a_newer_webhook_end_alike_in_either_order(
    shop: Shop, webhook_first: bool
) -> None:
    """The repair tells of a payment that was lost; meanwhile the customer has called the renewal off."""
    made = await shop.world.subscribe()
    await shop.webhooks()
    shop.world.clock.ahead_s += 2
    await shop.world.post(f"subscriptions/{made.id}/pay")
    await shop.lose_webhooks()
    async with slow_run(shop) as (run, asked):
        sighting = await asked.reader.read("subscription", made.id, clock.now_unix_s() + 3)
        assert sighting is not None
        shop.world.clock.ahead_s += 5
        await shop.world.stripe.v1.subscriptions.update_async(made.id, {"cancel_at_period_end": True})
        appended = await repair.settle(run, asked, "object_diff", [sighting])
        if webhook_first:
            await shop.admin.execute(
                "UPDATE webhook_event SET next_attempt_at = now() + interval '1 h' WHERE state = 'pending'"
            )
            await shop.webhooks()
            await shop.admin.execute(
                "UPDATE webhook_event SET next_attempt_at = now() WHERE state = 'pending'"
            )
        await shop.drain()
        await shop.webhooks()

    assert (appended, await state(shop)) == (1, ("active", True))
    assert await shop.broken() == {}
