"""Mirrored subscriptions over a real database: one state in any order, invoices that wait, the journal."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from db import events, pool
from psp.reading import Expected
from tests.support import stripe_events as made
from tests.workers.conftest import House
from workers.drain import Drainer
from workers.sweep import Sweep

T = made.CREATED


def story() -> tuple[list[dict[str, Any]], str, str]:
    """A subscription that is begun and paid within a second, fails and recovers within another; with its
    ids.
    """
    invoice_id = made.unique("in")
    pending = made.subscription("incomplete", latest_invoice=invoice_id)
    active = pending | {"status": "active"}
    overdue = active | {"status": "past_due"}
    paid = made.invoice(pending["id"], id=invoice_id, status_transitions={"paid_at": T})
    told = [
        made.event("customer.subscription.created", pending, created=T),
        made.event("invoice.paid", paid, created=T),
        made.update("customer.subscription.updated", active, {"status": "incomplete"}, created=T),
        made.update("customer.subscription.updated", overdue, {"status": "active"}, created=T + 1),
        made.update(
            "customer.subscription.updated",
            active | {"cancel_at_period_end": True},
            {"status": "past_due", "cancel_at_period_end": False},
            created=T + 1,
        ),
    ]
    return told, pending["id"], invoice_id


async def row(house: House, subscription_id: str) -> dict[str, Any]:
    """The subscription without what depends on the path to it."""
    found = await house.admin.fetchrow("SELECT * FROM subscription WHERE id = $1", subscription_id)
    assert found is not None
    return {name: value for name, value in found.items() if name not in ("version", "created_at")}


async def journal(house: House, object_id: str) -> list[tuple[str | None, str, str]]:
    """From, to and rule of every change of an object, in order."""
    rows = await house.admin.fetch(
        "SELECT from_state, to_state, rule FROM state_transition WHERE object_id = $1 ORDER BY seq", object_id
    )
    return [tuple(each) for each in rows]


async def test_a_subscription_is_written_with_its_invoice_and_journal(house: House) -> None:
    """Every column is what the PSP said, and every change has its rule."""
    told, subscription_id, invoice_id = story()
    assert await house.process(*told[:3]) == {"applied": 3}
    found = await row(house, subscription_id)
    invoice = await house.admin.fetchrow("SELECT * FROM subscription_invoice WHERE id = $1", invoice_id)

    assert (found["status"], found["psp_status"], found["account_id"]) == ("active", "active", "cust_1")
    assert (found["price_id"], found["psp_second"], found["latest_invoice_id"]) == ("price_1", T, invoice_id)
    assert int(found["current_period_end"].timestamp()) == T + 2_592_000
    assert (found["deleted"], found["ambiguous"]) == (False, False)
    assert invoice is not None
    assert (invoice["status"], invoice["amount_paid_minor"], invoice["paid_at"].timestamp()) == (
        "paid",
        2000,
        T,
    )
    assert await journal(house, subscription_id) == [
        (None, "pending_payment", "payment_awaited"),
        ("pending_payment", "active", "payment_succeeded"),
        ("active", "active", "details_changed"),
    ]
    assert await journal(house, invoice_id) == [(None, "paid", "paid")]


async def test_every_order_of_two_clumped_seconds_ends_in_one_row(house: House) -> None:
    """The same five events of 24 subscriptions, each in another order, one batch an event."""
    ends = []
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 5):
        told, subscription_id, _ = story()
        for number in order:
            await house.process(told[number])
        end = await row(house, subscription_id)
        ends.append((end["status"], end["psp_status"], end["psp_second"], end["ambiguous"]))

    assert len(ends) == 24
    assert set(ends) == {("active", "active", T + 1, False)}


async def test_a_replay_changes_no_row(house: House) -> None:
    """Neither the same ids again nor the same content under new ids."""
    told, subscription_id, invoice_id = story()
    await house.process(*told)
    before = await house.admin.fetch("SELECT * FROM subscription")
    invoices = await house.admin.fetch("SELECT * FROM subscription_invoice")
    await house.process(*told)
    await house.process(made.event("customer.subscription.created", told[0]["data"]["object"], created=T))

    assert await house.admin.fetch("SELECT * FROM subscription") == before
    assert await house.admin.fetch("SELECT * FROM subscription_invoice") == invoices
    assert (await house.outcomes())[-1] == ("superseded", "older_version")
    assert len(await journal(house, invoice_id)) == 1
    assert subscription_id == before[0]["id"]


async def test_an_invoice_before_its_subscription_waits_and_is_woken(house: House) -> None:
    """Parked under the subscription, applied as soon as that is written, in another batch."""
    told, subscription_id, _ = story()
    assert await house.process(told[1]) == {"parked": 1}
    awaits = await house.admin.fetchval("SELECT awaits FROM webhook_event")
    await house.process(told[0])

    assert awaits == f"subscription:{subscription_id}"
    assert await house.outcomes() == [("applied", None), ("applied", None)]
    assert (await row(house, subscription_id))["status"] == "active"


async def test_an_invoice_that_was_parked_too_late_is_found_by_the_sweep(house: House) -> None:
    """The subscription was written while the invoice was being parked: no wake-up will come."""
    told, subscription_id, _ = story()
    await house.process(told[1])
    parked_under = "UPDATE webhook_event SET awaits = $1 WHERE event_id = $2"
    await house.admin.execute(parked_under, "subscription:not_yet", told[1]["id"])
    await house.process(told[0])
    await house.admin.execute(parked_under, f"subscription:{subscription_id}", told[1]["id"])

    assert await events.wake_parked_arrived(house.admin) == 1
    assert await house.drain() == {"applied": 1}


async def test_a_deleted_subscription_never_comes_back(house: House) -> None:
    """Not by a late event, not by a later one, not by a payment."""
    told, subscription_id, _ = story()
    gone = told[0]["data"]["object"] | {"status": "canceled", "ended_at": T + 5}
    await house.process(made.event("customer.subscription.deleted", gone, created=T + 5))
    later = told[4] | {"id": made.unique("evt"), "created": T + 9}
    await house.process(*told, later)
    found = await row(house, subscription_id)

    assert (found["status"], found["deleted"]) == ("canceled", True)
    assert [reason for _, reason in await house.outcomes()].count("after_deletion") == 5


async def test_a_payment_after_the_end_revives_what_expired(house: House) -> None:
    """Late success, under its own name."""
    told, subscription_id, invoice_id = story()
    expired = told[0]["data"]["object"] | {"status": "incomplete_expired"}
    paid = made.invoice(subscription_id, id=invoice_id, status_transitions={"paid_at": T + 8})
    await house.process(
        told[0],
        made.update("customer.subscription.updated", expired, {"status": "incomplete"}, created=T + 4),
    )
    await house.process(made.event("invoice.paid", paid, created=T + 8))
    found = await row(house, subscription_id)

    assert (found["status"], found["psp_status"]) == ("active", "expired")
    assert (await journal(house, subscription_id))[-1] == ("expired", "active", "late_success")


async def test_the_invoice_of_the_latest_version_counts_though_no_event_names_it(house: House) -> None:
    """A version that turns out to be the earlier leaves the revival as it is."""
    begun = made.subscription("incomplete")
    overdue = begun | {"status": "past_due", "latest_invoice": "in_late"}
    paid = made.invoice(begun["id"], id="in_late", status_transitions={"paid_at": T + 1})
    await house.process(
        made.update("customer.subscription.updated", overdue, {"status": "active"}, created=T)
    )
    await house.process(made.event("invoice.paid", paid, created=T + 1))
    await house.process(made.event("customer.subscription.created", begun, created=T))

    assert (await row(house, begun["id"]))["status"] == "active"
    assert (await journal(house, begun["id"]))[-1] == ("active", "active", "version_noted")


async def test_an_undecidable_tie_raises_one_alert(house: House) -> None:
    """Both orders end alike, the row is marked, and a person is asked once."""
    up = made.subscription("active")
    down = up | {"status": "past_due"}
    await house.process(
        made.update("customer.subscription.updated", down, {"status": "active"}, created=T),
        made.update("customer.subscription.updated", up, {"status": "past_due"}, created=T),
    )
    alerts = await house.admin.fetch("SELECT name, subject FROM alert")
    found = await row(house, up["id"])

    assert [tuple(alert) for alert in alerts] == [("ambiguous_order", f"stripe:subscription:{up['id']}")]
    assert (found["status"], found["ambiguous"]) == ("past_due", True)


async def test_a_later_version_settles_a_tie_and_closes_its_alert(house: House) -> None:
    """The alert is open exactly as long as the row is ambiguous."""
    up = made.subscription("active")
    down = up | {"status": "past_due"}
    sweep = Sweep(house.connections, house.drainer)
    open_alerts = "SELECT count(*) FROM alert WHERE resolved_at IS NULL"
    await house.process(
        made.update("customer.subscription.updated", down, {"status": "active"}, created=T),
        made.update("customer.subscription.updated", up, {"status": "past_due"}, created=T),
    )
    await sweep.run_once()
    before = await house.admin.fetchval(open_alerts)
    await house.process(made.update("customer.subscription.updated", up, {"metadata": {}}, created=T + 1))
    await sweep.run_once()

    assert (before, await house.admin.fetchval(open_alerts)) == (1, 0)
    assert (await row(house, up["id"]))["status"] == "active"


async def test_unusable_and_foreign_events_stop_nobody(house: House) -> None:
    """An unknown status goes to a person, an invoice of no subscription is ignored, the rest is applied."""
    told, _, _ = story()
    await house.process(
        made.event("customer.subscription.updated", made.subscription("dormant")),
        made.event("invoice.paid", made.invoice(None)),
        told[0],
        made.event("checkout.session.completed", made.checkout(mode="subscription")),
    )

    assert [reason for _, reason in await house.outcomes()] == [
        "unknown_subscription_status",
        "not_a_subscription_invoice",
        None,
        "not_a_payment_checkout",
    ]


async def test_workers_share_the_events_of_one_subscription(house: House) -> None:
    """Two workers, many deliveries at once: one row, a journal without a gap."""
    told, subscription_id, _ = story()
    other = await pool.create_pool(house.dsn, "sluice_worker", "test-other", size_max=4)
    try:
        second = Drainer(other, {"stripe": Expected()})
        for event in told:
            await house.receive(event)
            await asyncio.gather(house.drain(), second.run_once())
        await house.receive(*[each | {"id": made.unique("evt")} for each in told])
        await asyncio.gather(house.drain(), second.run_once())
    finally:
        await other.close()
    states = [state for state, _ in await house.outcomes()]

    assert set(states) <= {"applied", "superseded"}
    assert (await row(house, subscription_id))["psp_second"] == T + 1


async def test_a_refund_of_an_invoice_moves_nothing_of_ours(house: House) -> None:
    """Before and after the invoice that its payment paid: kept with its journal, and no balance moves."""
    told, subscription_id, invoice_id = story()
    told[1]["data"]["object"]["payment_intent"] = "pi_of_the_invoice"
    refund, dispute = made.refund("pi_of_the_invoice", 100), made.dispute("pi_of_the_invoice", 100)
    early = made.event("refund.created", refund)
    late = made.event("charge.dispute.funds_withdrawn", dispute)
    assert await house.process(early) == {"parked": 1}
    await house.process(*told[:3])
    status = (await row(house, subscription_id))["status"]
    assert await house.process(late) == {"applied": 1}
    owners = await house.admin.fetch(
        """SELECT owner_kind, owner_id, id, status FROM refund
           UNION ALL SELECT owner_kind, owner_id, id, status FROM dispute"""
    )

    assert [tuple(each) for each in owners] == [
        ("subscription_invoice", invoice_id, refund["id"], "succeeded"),
        ("subscription_invoice", invoice_id, dispute["id"], "needs_response"),
    ]
    assert await journal(house, refund["id"]) == [(None, "succeeded", "refund_succeeded")]
    assert await journal(house, dispute["id"]) == [(None, "needs_response", "funds_withdrawn")]
    assert set(await house.outcomes()) == {("applied", None)}
    assert await house.movements() == []
    assert (await row(house, subscription_id))["status"] == status
