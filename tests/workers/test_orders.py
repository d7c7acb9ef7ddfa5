"""Orders over a real database, sold through either PSP: late, early, at once and again, with honest books
after each step."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from billing.commands import OrderPlaced, PlanSubscribed, RefundCallEnded, RefundRequested
from billing.terms import OrderTerms, PlanTerms
from db import checks, events, pool
from psp.reading import Expected
from runtime import limits
from tests.support import hyperswitch_events as told
from tests.support import stripe_events as made
from tests.support.poll import until
from tests.support.shop import Shop
from tests.workers.conftest import House
from workers import apply
from workers.drain import Drainer

BOUGHT = {"seller_1": 4000, "system:platform_fees": 1000, "system:psp_clearing": -5000}
"""The balances of one order of 5000 cents, of which its seller gets four fifths."""
TERMS = OrderTerms("order_1", "buyer_1", "seller_1", 5000, "usd", 4000, ("font", "font-italic"))


@pytest.fixture(params=["stripe", "hyperswitch"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """An order at either PSP."""
    return Shop(request.param, made.unique("pay"))


async def books(house: House) -> dict[str, int]:
    """What is in the ledger in cents, once every invariant has been found to hold."""
    assert {name: rows for name, rows in (await checks.run(house.admin)).items() if rows} == {}
    rows = await house.admin.fetch("SELECT account_id, amount FROM balance WHERE unit = 'usd'")
    return {row["account_id"]: row["amount"] for row in rows if row["amount"]}


async def goes(house: House, shop: Shop, *bodies: dict[str, Any]) -> None:
    """Each in a batch of its own, with honest books after it."""
    for body in bodies:
        await house.tell(shop.source, body)
        await house.drain()
        await books(house)


async def standing(house: House) -> tuple[str, set[str], set[tuple[str, str]]]:
    """The state of the order, of its licences and of its refunds."""
    status = await house.admin.fetchval("SELECT status FROM orders")
    licences = await house.admin.fetch("SELECT status FROM license")
    refunds = await house.admin.fetch("SELECT id, status FROM refund")
    return status, {row["status"] for row in licences}, {(row["id"], row["status"]) for row in refunds}


async def staged(house: House) -> list[tuple[str, str]]:
    """What the outbox wants done, in order."""
    rows = await house.admin.fetch("SELECT kind, object_id FROM outbox_effect ORDER BY id")
    return [tuple(row) for row in rows]


async def steps(house: House, kind: str) -> list[str]:
    """The rules of the journal of one kind of object, in order."""
    rows = await house.admin.fetch("SELECT rule FROM state_transition WHERE kind = $1 ORDER BY seq", kind)
    return [row["rule"] for row in rows]


async def test_a_refund_before_its_order_waits_for_it(house: House, shop: Shop) -> None:
    """Parked, woken by the payment, applied: as if it had come in order."""
    await goes(house, shop, shop.refund("re_1", 5000))
    before = await house.outcomes()
    await goes(house, shop, shop.payment("succeeded"))

    assert before == [("parked", "payment_unknown")]
    assert await standing(house) == ("refunded", {"revoked"}, {("re_1", "succeeded")})
    assert await books(house) == {}
    assert await house.movements() == [("sale", "order_1"), ("refund_clawback", "re_1")]


async def test_a_refund_webhook_before_its_id_is_stored_finds_our_refund(house: House, shop: Shop) -> None:
    """One refund, under our id, with the PSP's id from the webhook; the late answer of our call tells nothing
    new."""
    own = str(uuid4())
    await goes(house, shop, shop.payment("succeeded"))
    await house.order(RefundRequested(shop.source, "order_1", own, None))
    await house.drain()
    pending = await standing(house)
    await goes(house, shop, shop.refund("re_psp", 5000, own=own))
    await house.order(RefundCallEnded(shop.source, own, "re_psp"))
    await house.drain()

    assert pending == ("refund_pending", {"active"}, {(own, "pending")})
    assert await standing(house) == ("refunded", {"revoked"}, {(own, "succeeded")})
    assert await house.admin.fetchval("SELECT psp_id FROM refund") == "re_psp"
    assert await staged(house) == [("create_refund", own)]
    assert (await house.outcomes())[-1] == ("superseded", "nothing_new")
    assert await books(house) == {}


async def test_a_refund_that_only_the_psp_can_name_waits_until_its_id_is_stored(house: House) -> None:
    """An older integration's webhook names neither payment nor our id: the answer of our call wakes it."""
    shop, own = Shop("hyperswitch", "pay_1"), str(uuid4())
    await goes(house, shop, shop.payment("succeeded"))
    await house.order(RefundRequested("hyperswitch", "order_1", own, 2000))
    await house.drain()
    await goes(house, shop, told.flat("refund.succeeded", refund_id="ref_psp", status="succeeded"))
    waited = (await house.outcomes())[-1]
    await house.order(RefundCallEnded("hyperswitch", own, "ref_psp"))
    await house.drain()

    assert waited == ("parked", "refund_unknown")
    assert await standing(house) == ("completed", {"active"}, {(own, "succeeded")})
    assert (await books(house))["seller_1"] == 2400


async def test_a_dispute_that_is_won_gives_back_what_it_took(house: House, shop: Shop) -> None:
    """In every order of its events: what was withdrawn comes back, to seller and house alike."""
    await goes(house, shop, shop.payment("succeeded"))
    opened, *rest = shop.dispute()
    await goes(house, shop, opened, rest[0])
    taken = await books(house)
    await goes(house, shop, *rest[1:])

    assert taken == {}
    assert await books(house) == BOUGHT
    assert await house.movements() == [
        ("sale", "order_1"),
        ("dispute_clawback", "dp_1"),
        ("dispute_give_back", "dp_1"),
    ]
    assert (await house.admin.fetchval("SELECT status FROM dispute")).removeprefix("dispute_") == "won"


async def test_a_dispute_that_is_won_and_lost_again_takes_the_money_again(house: House, shop: Shop) -> None:
    """The last movement counts: taken, given back, taken again, each posted once however often it is told."""
    steps = [*shop.dispute(), *shop.dispute_lost_again()]
    await goes(house, shop, shop.payment("succeeded"), *steps, *steps)
    moved = [movement for movement, _ in await house.movements()]

    assert (await books(house), moved) == (
        {},
        ["sale", "dispute_clawback", "dispute_give_back", "dispute_clawback"],
    )
    assert (await house.admin.fetchval("SELECT status FROM dispute")).removeprefix("dispute_") == "lost"


async def test_a_dispute_lost_again_and_told_backwards_takes_the_money_once(house: House, shop: Shop) -> None:
    """What is heard of late was before: it moves nothing any more. One batch ends like many."""
    steps = [*shop.dispute_lost_again(), *reversed(shop.dispute())]
    await house.tell(shop.source, *steps, shop.payment("succeeded"))
    await house.drain()
    moved = [movement for movement, _ in await house.movements()]

    assert (await books(house), sorted(moved)) == ({}, ["dispute_clawback", "sale"])
    assert await house.admin.fetchval("SELECT funds_withdrawn AND NOT funds_reinstated FROM dispute")


async def test_a_dispute_told_backwards_takes_nothing(house: House, shop: Shop) -> None:
    """Won, then withdrawn, then opened, then paid: nothing is posted for the dispute."""
    await goes(house, shop, *reversed(shop.dispute()), shop.payment("succeeded"))

    assert await books(house) == BOUGHT
    assert await house.admin.fetchval("SELECT funds_withdrawn AND funds_reinstated FROM dispute")
    assert (await house.admin.fetchval("SELECT status FROM dispute")).removeprefix("dispute_") == "won"


async def test_a_payment_that_failed_and_succeeds_completes_its_order(house: House, shop: Shop) -> None:
    """Late success, under its own name; the failure told last says nothing any more."""
    await goes(house, shop, shop.payment("failed"))
    failed = await standing(house)
    await goes(house, shop, shop.payment("succeeded"), shop.payment("failed"))

    assert failed == ("failed", set(), set())
    assert await standing(house) == ("completed", {"active"}, set())
    assert await steps(house, "order") == ["payment_failed", "late_success"]
    assert await books(house) == BOUGHT
    assert (await house.outcomes())[-1] == ("superseded", "nothing_new")


async def test_a_refund_that_fails_after_all_restores_everything(house: House, shop: Shop) -> None:
    """Licences come back, the seller's money too, and the transfer that was to come back may stay."""
    await goes(house, shop, shop.payment("succeeded"))
    if shop.source == "stripe":
        await goes(house, shop, made.event("transfer.created", made.transfer("order_1", 3000)))
    await goes(house, shop, shop.refund("re_1", 5000))
    refunded, books_refunded = await standing(house), await books(house)
    await goes(house, shop, shop.refund("re_1", 5000, "failed"))
    sent = 3000 if shop.source == "stripe" else 0

    assert refunded == ("refunded", {"revoked"}, {("re_1", "succeeded")})
    if sent:
        assert books_refunded == {"seller_1": -sent, "system:psp_clearing": sent}
    assert await standing(house) == ("completed", {"active"}, {("re_1", "failed")})
    assert await books(house) == {
        "seller_1": 4000 - sent,
        "system:platform_fees": 1000,
        "system:psp_clearing": sent - 5000,
    }
    if sent:
        assert await steps(house, "transfer") == ["transferred", "reversal_due", "reversal_withdrawn"]
        assert [kind for kind, _ in await staged(house)] == ["reverse_transfer"]


async def test_two_partial_refunds_at_once_take_all_and_no_more(house: House, shop: Shop) -> None:
    """Two workers, two refunds of one order in the same instant; a third beyond what was paid waits."""
    await goes(house, shop, shop.payment("succeeded"))
    other = await pool.create_pool(house.dsn, "sluice_worker", "test-other", size_max=4)
    try:
        second = Drainer(other, {"stripe": Expected()})
        for refund in (shop.refund("re_1", 1667), shop.refund("re_2", 3333)):
            await house.tell(shop.source, refund)
        await asyncio.gather(house.drain(), second.run_once())
    finally:
        await other.close()
    await goes(house, shop, shop.refund("re_3", 1))

    assert await standing(house) == ("refunded", {"revoked"}, {("re_1", "succeeded"), ("re_2", "succeeded")})
    assert await books(house) == {}
    assert (await house.outcomes())[-1] == ("parked", "refund_exceeds_payment")


async def test_replays_move_no_time_and_post_nothing(house: House, shop: Shop) -> None:
    """The same events again under new ids: neither row, nor journal, nor ledger, nor outbox changes."""
    story = [shop.payment("succeeded"), shop.refund("re_1", 5000), *shop.dispute()]
    if shop.source == "stripe":
        story.insert(1, made.event("transfer.created", made.transfer("order_1", 3000)))
    await goes(house, shop, *story)
    tables = (
        "orders",
        "license",
        "refund",
        "dispute",
        "seller_transfer",
        "state_transition",
        "ledger_posting",
        "balance",
        "outbox_effect",
    )
    before = [await house.admin.fetch(f"SELECT * FROM {table}") for table in tables]
    for body in story:
        body["event_id" if shop.source == "hyperswitch" else "id"] = made.unique("evt")
    await goes(house, shop, *story)

    assert [await house.admin.fetch(f"SELECT * FROM {table}") for table in tables] == before
    assert {state for state, _ in (await house.outcomes())[len(story) :]} == {"superseded"}


async def test_workers_share_the_events_of_one_order(house: House, shop: Shop) -> None:
    """Three workers, every event three times under new ids, in three orders: one end, honest books."""
    story = [
        shop.payment("failed"),
        shop.payment("succeeded"),
        shop.refund("re_1", 2000, "pending"),
        shop.refund("re_1", 2000),
        shop.refund("re_2", 1000),
        shop.refund("re_2", 1000, "failed"),
        *shop.dispute()[:2],
    ]
    pools = [await pool.create_pool(house.dsn, "sluice_worker", f"other-{n}", size_max=2) for n in range(2)]
    drainers = [house.drainer, *(Drainer(each, {"stripe": Expected()}) for each in pools)]
    name = "event_id" if shop.source == "hyperswitch" else "id"
    try:
        for body in itertools.chain(reversed(story), story[::2] + story[1::2], story):
            await house.tell(shop.source, body | {name: made.unique("evt")})
            await asyncio.gather(*(drainer.run_once() for drainer in drainers))
        await events.wake_parked_arrived(house.admin)
        await house.drain()
    finally:
        for each in pools:
            await each.close()

    assert await standing(house) == ("completed", {"active"}, {("re_1", "succeeded"), ("re_2", "failed")})
    assert await books(house) == {
        "seller_1": -1600,
        "system:platform_fees": -400,
        "system:psp_clearing": 2000,
    }
    assert {state for state, _ in await house.outcomes()} == {"applied", "superseded"}


async def test_a_worker_that_waited_for_an_order_sees_its_licences_as_they_are_now(house: House) -> None:
    """A refund fails while another worker has it succeed: the licences that it revoked must come back."""
    shop = Shop("stripe", "pi_1")
    await goes(house, shop, shop.payment("succeeded"))
    other = await asyncpg.connect(house.dsn)
    await house.tell("stripe", shop.refund("re_1", 5000))
    work = other.transaction()
    await work.start()
    claimed = await events.claim_due(other, 10, limits.claim_lease_s, 2)
    await apply.apply_batch(other, claimed, {})
    await house.tell("stripe", shop.refund("re_1", 5000, "failed"))
    drained = asyncio.create_task(house.drain())
    waits = """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    await until(lambda: house.admin.fetchval(waits), 5, "the second worker waits for the order")
    await work.commit()
    await drained
    await other.close()

    assert await standing(house) == ("completed", {"active"}, {("re_1", "failed")})
    assert await books(house) == BOUGHT


async def test_an_order_that_was_placed_is_paid_by_the_payment_it_names(house: House, shop: Shop) -> None:
    """Our command first: pending, with the payment; the time of completion is the first one's for ever."""
    await house.order(OrderPlaced(shop.source, shop.payment_id, TERMS))
    await house.drain()
    placed = await standing(house)
    await goes(house, shop, shop.payment("succeeded"))
    completed_at = await house.admin.fetchval("SELECT completed_at FROM orders")
    await goes(house, shop, shop.refund("re_1", 5000), shop.refund("re_1", 5000, "failed"))

    assert placed == ("pending", set(), set())
    assert completed_at is not None
    assert await house.admin.fetchval("SELECT completed_at FROM orders") == completed_at


async def test_a_plan_is_active_by_its_payment_alone(house: House) -> None:
    """Failed expires it, late success revives it; a replay moves no `paid_at`, a refund no balance."""
    terms = PlanTerms("plan_1", "cust_1", "pro", 5000, "usd")
    await house.order(PlanSubscribed("stripe", None, terms))
    payment = made.plan_payment("plan_1", "requires_payment_method")
    paid = payment | {"status": "succeeded", "amount_received": 5000}
    await house.process(made.event("payment_intent.payment_failed", payment))
    expired = await house.admin.fetchval("SELECT status FROM subscription")
    await house.process(made.event("payment_intent.succeeded", paid))
    paid_at = await house.admin.fetchval("SELECT paid_at FROM subscription_invoice")
    await house.process(
        made.event("payment_intent.succeeded", paid),
        made.event("refund.created", made.refund(payment["id"], 5000)),
    )

    assert (expired, await house.admin.fetchval("SELECT status FROM subscription")) == ("expired", "active")
    assert await house.admin.fetchval("SELECT paid_at FROM subscription_invoice") == paid_at
    assert (await steps(house, "subscription"))[-1] == "late_success"
    assert (await steps(house, "subscription_invoice"))[-1] == "late_success"
    assert await books(house) == {}
    assert [tuple(row) for row in await house.admin.fetch("SELECT owner_kind, owner_id FROM refund")] == [
        ("subscription_invoice", "plan_1")
    ]


async def test_an_unknown_currency_is_named_before_the_database_refuses_it(house: House) -> None:
    """An order and a transfer in a currency that nobody knows wait in quarantine; their neighbours do not."""
    strange = made.order_payment("order_2", currency="zzz")
    counts = await house.process(
        made.event("payment_intent.succeeded", made.order_payment("order_1")),
        made.event("payment_intent.succeeded", strange),
        made.event("transfer.created", made.transfer("order_1", currency="zzz")),
    )

    assert counts == {"applied": 1, "quarantined": 2}
    assert await house.outcomes() == [("applied", None), *[("quarantined", "unknown_currency")] * 2]
    assert (await books(house))["seller_1"] == 4000
