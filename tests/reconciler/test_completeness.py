"""How complete we are, by the PSP's own list: by source and type, over a window, each event counted once."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import asyncpg
import pytest

from db import completeness
from db.completeness import Completeness, Measure
from db.findings import PHASES, Order, start_run
from tests.reconciler.shop import Shop

CHECKOUT = "checkout.session.completed"
A_MINUTE_S = 61
"""By then an event is in time, or never."""


async def measured(shop: Shop) -> Completeness | None:
    """What is told of the PSP."""
    found = {one.source: one for one in await completeness.read(shop.admin)}
    return found.get("stripe")


async def bought(shop: Shop, *, heard: bool) -> None:
    """A top-up, of whose webhooks all came or none."""
    await shop.world.buy()
    await (shop.webhooks() if heard else shop.lose_webhooks())


async def test_what_came_too_late_stays_counted_after_its_repair(shop: Shop) -> None:
    """One of two was heard of: a half, by type, however many runs follow and repair it."""
    await bought(shop, heard=True)
    await bought(shop, heard=False)
    ran = await shop.repair(later_s=A_MINUTE_S)
    await shop.admin.execute(
        "UPDATE webhook_event SET applied_at = now() + interval '2 min' WHERE log_id IN "
        "(SELECT id FROM webhook_log WHERE origin = 'reconciler')"
    )
    first = await measured(shop)
    drawn = await completeness.history(shop.admin)
    for later_s in (A_MINUTE_S, A_MINUTE_S + 5, A_MINUTE_S + 5):
        await shop.repair(later_s=later_s)
    again = await measured(shop)

    assert first is not None
    assert again is not None
    assert ran.record["counts"]["completeness"]["stripe"] == first.share == 0.5
    assert [(point.source, point.share) for point in drawn] == [("stripe", 0.5)]
    assert first.types[CHECKOUT] == again.types[CHECKOUT] == (2, 1)
    assert (again.listed, again.in_time) == (first.listed, first.in_time)
    assert again.until > first.until


async def test_an_event_counts_once_it_can_be_in_time_no_more(shop: Shop) -> None:
    """A run that lists it seconds after its creation leaves it to a later one, which finds it in time."""
    await bought(shop, heard=True)
    await shop.settle_down()
    await shop.repair()
    early = await measured(shop)
    await shop.repair(later_s=A_MINUTE_S)
    late = await measured(shop)

    assert early is not None
    assert late is not None
    assert (early.share, late.share, late.types[CHECKOUT]) == (None, 1.0, (1, 1))
    assert early.until == late.since or early.until < late.until


async def test_a_look_without_consequences_measures_nothing_for_the_window(shop: Shop) -> None:
    """A dry run and one of other phases would count what the next run counts again, or nothing."""
    await bought(shop, heard=True)
    await shop.repair(dry_run=True, later_s=A_MINUTE_S)
    await shop.repair("object_diff", later_s=A_MINUTE_S)

    assert await measured(shop) is None


async def test_a_list_that_cannot_be_read_counts_nothing(shop: Shop) -> None:
    """The walk is begun anew by the next run, which counts all of it once."""
    await bought(shop, heard=True)
    await shop.world.fault(kind="status", path="/v1/events", status=500, times=1)
    broken = await shop.repair(later_s=A_MINUTE_S)
    nothing = await measured(shop)
    await shop.repair(later_s=A_MINUTE_S)
    found = await measured(shop)

    assert (broken.status, nothing) == ("partial", None)
    assert found is not None
    assert found.types[CHECKOUT] == (1, 1)


def part(since: int, until: int, listed: int, *, begun: bool = True, source: str = "stripe") -> Measure:
    """A walk that found so many events, all but one in time."""
    return Measure(source, since, until, 60, begun, {CHECKOUT: (listed, listed - 1)})


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([part(0, 10, 5), part(10, 20, 7)], (12, 10)),
        ([part(0, 10, 5), part(0, 10, 7, begun=False)], (12, 10)),
        ([part(0, 10, 5), part(0, 20, 7)], (7, 6)),
        ([part(0, 10, 5), part(0, 10, 2, begun=False), part(0, 20, 9)], (9, 8)),
        ([part(0, 10, 5), part(0, 10, 5)], (5, 4)),
        ([part(0, 10, 5), part(0, 10, 7, source="hyperswitch")], (5, 4)),
        ([part(-200_000, -100_000, 5), part(0, 10, 7)], (7, 6)),
    ],
    ids=["one after the other", "cut short", "begun anew", "cut short and anew", "at once", "others", "old"],
)
async def test_a_span_counts_once_however_it_was_walked(
    dsn: str, parts: Sequence[Measure], expected: tuple[int, int]
) -> None:
    """Runs follow each other, go on with a walk that was cut short, begin one anew, or run at once."""
    connection = await asyncpg.connect(dsn)
    now = await connection.fetchval("SELECT extract(epoch FROM now())::bigint - 1000")
    for one in parts:
        order = Order(uuid4(), "tests", PHASES, dry_run=False)
        await start_run(connection, order, None)
        moved = Measure(one.source, now + one.since, now + one.until, 60, one.begun, one.types)
        await completeness.add(connection, order.id, [moved])
    found = {one.source: (one.listed, one.in_time) for one in await completeness.read(connection)}
    await connection.close()

    assert found["stripe"] == expected
