"""A PSP that no longer sends a field is noticed before anybody wonders about empty rows."""

from __future__ import annotations

from typing import Any

import pytest

from psp.reading import Expected
from tests.support import hyperswitch_events as hyperswitch
from tests.support import stripe_events as made
from tests.workers.conftest import House
from workers.drain import Drainer

OPEN = "SELECT subject, detail FROM alert WHERE name = 'lost_fields' AND resolved_at IS NULL ORDER BY subject"
OLD, NEW = "2024-06-20", "2027-01-01.gale"


def paid(version: str, *lacks: str, **changes: Any) -> dict[str, Any]:
    """`invoice.paid` as a version tells it."""
    told = made.invoice("sub_1", **{"subscription": "sub_1", **changes})
    lacks = lacks if "parent" in changes else (*lacks, "parent")
    return made.event(
        "invoice.paid", {name: told[name] for name in told if name not in lacks}, api_version=version
    )


async def alarmed(house: House) -> list[tuple[str, str]]:
    """What is open of lost fields."""
    return [tuple(row) for row in await house.admin.fetch(OPEN)]


async def test_a_field_that_a_version_drops_is_one_alert_with_its_name(house: House) -> None:
    """Each event that lacks it is counted; values stand nowhere; what is closed stays closed."""
    await house.process(paid(OLD), paid(OLD))
    before = await alarmed(house)
    moved = {"details": {"subscription": "sub_1"}}
    first = await house.process(*[paid(NEW, "subscription", moved=moved) for _ in range(3)])
    other = Drainer(house.connections, {"stripe": Expected()})
    await house.receive(paid(NEW, "subscription"), paid(OLD))
    second = await other.run_once()
    after = await alarmed(house)
    await house.admin.execute("UPDATE alert SET resolved_at = now()")
    third = await house.process(paid(NEW, "subscription"))

    assert before == []
    assert after == [(f"stripe:invoice.paid {NEW}", "no longer sent: subscription")]
    assert [counts["lost_fields"] for counts in (first, second, third)] == [3, 1, 1]
    assert await alarmed(house) == []
    kept = await house.admin.fetch("SELECT field, present, lost FROM event_field WHERE api_version = $1", NEW)
    assert [tuple(row) for row in kept] == [("subscription", False, True)]


async def test_one_batch_over_a_change_of_versions_is_enough(house: House) -> None:
    """The new and the old shape are applied together: the loss is noticed all the same."""
    await house.process(paid(NEW, "subscription"), paid(OLD))

    assert await alarmed(house) == [(f"stripe:invoice.paid {NEW}", "no longer sent: subscription")]


async def test_a_psp_without_versions_loses_a_field_from_one_event_to_the_next(house: House) -> None:
    """Hyperswitch's bodies tell no version: what was there and is gone is lost."""
    paid = hyperswitch.payment("pay_1", "succeeded", None)
    whole = paid["content"]["object"]
    lacks = {name: whole[name] for name in whole if name != "currency"}
    for subject in (whole, lacks, lacks):
        body = {**paid, "event_id": made.unique("evt"), "content": {**paid["content"], "object": subject}}
        await house.tell("hyperswitch", body)
        await house.drain()

    subject = f"hyperswitch:{paid['event_type']}"
    assert await alarmed(house) == [(subject, "no longer sent: currency")]


async def test_what_was_never_sent_or_has_moved_is_no_loss(house: House) -> None:
    """An account that begins with the new version, and one that changes to it, hear nothing; nor does one
    whose events of one version differ.
    """
    parent = {"subscription_details": {"subscription": "sub_1"}}
    never = await house.process(made.event("refund.updated", {"id": "re_1"}))
    again = await house.process(made.event("refund.updated", made.refund("pi_1", 5)), paid(OLD))
    later = await house.process(
        made.event("refund.updated", {"id": "re_2"}), paid(NEW, "subscription", parent=parent)
    )

    same = await house.process(paid(OLD, "subscription"), made.event("refund.updated", {"id": "re_3"}))

    assert await alarmed(house) == []
    assert [counts["lost_fields"] for counts in (never, again, later, same)] == [0, 0, 0, 0]


@pytest.mark.books_left_broken("a subscription without its period is in quarantine")
async def test_a_lost_field_that_must_be_there_is_named_beside_the_quarantine(house: House) -> None:
    """The period of a subscription moved once; the next time the alert says which field it was."""
    told = made.subscription(current_period_end=made.CREATED)
    await house.process(made.event("customer.subscription.updated", told, api_version=OLD))
    lacks = {name: value for name, value in told.items() if name != "current_period_end"}
    lacks["items"] = {"data": [{"price": "price_1", "current_period_start": made.CREATED}]}
    await house.process(made.event("customer.subscription.updated", lacks, api_version=NEW))

    assert (await house.outcomes())[-1] == ("quarantined", "bad_schema")
    subject = f"stripe:customer.subscription.updated {NEW}"
    assert await alarmed(house) == [(subject, "no longer sent: current_period_end")]
