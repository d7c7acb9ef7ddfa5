"""The shapes of events: what changed can be put back, and an older account gets the older places."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from typing import Any

import pytest

from psp.sandbox.prices import period_end
from psp.sandbox.versions import OLD_VERSION, earlier_values
from tests.sandbox.worlds import World


async def _life(world: World) -> None:
    """One subscription through most of its states, another that ends, in one second or two."""
    subscription = await world.subscribe(trial_period_days=7)
    path = f"subscriptions/{subscription.id}"
    await world.post(f"{path}/trial_will_end")
    await world.post(f"{path}/advance", outcome="fail")
    await world.post(f"{path}/give_up")
    await world.post(f"{path}/pay")
    await world.stripe.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    await world.post(f"{path}/advance")
    await world.stripe.v1.subscriptions.cancel_async((await world.subscribe()).id)


@pytest.mark.parametrize("version", ["2026-10-28.endive", OLD_VERSION])
async def test_previous_attributes_put_back_give_the_earlier_object(world: World, version: str) -> None:
    """For every change of every object, in both shapes: what the event before it showed."""
    await world.post("account", api_version=version)
    await _life(world)
    seen: dict[str, dict[str, Any]] = {}
    checked = 0
    for event in await world.events():
        thing, previous = event["data"]["object"], event["data"].get("previous_attributes")
        assert event["api_version"] == version
        if event["type"] in {"customer.subscription.updated", "invoice.updated"} and previous is not None:
            assert seen[thing["id"]] == _put_back(thing, previous), event["type"]
            checked += 1
        seen[thing["id"]] = thing

    assert checked >= 8


def _put_back(now: Any, then: dict[str, Any]) -> Any:
    """Stripe's rule: maps name by name, everything else as a whole."""
    found = dict(now)
    for name, value in then.items():
        both = isinstance(value, dict) and isinstance(now[name], dict)
        found[name] = _put_back(now[name], value) if both else value
    return found


async def test_an_account_of_an_older_version_gets_the_older_shape(world: World) -> None:
    """Every field that moved on 2025-03-31 stands in its old place, and the newer event does not exist."""
    await world.post("account", api_version=OLD_VERSION)
    subscription = await world.subscribe()
    await world.post(f"subscriptions/{subscription.id}/pay")
    told = {event["type"]: event["data"]["object"] for event in await world.events()}
    invoice, changed = told["invoice.paid"], told["customer.subscription.updated"]
    payment = told["payment_intent.succeeded"]

    assert (invoice["subscription"], invoice["payment_intent"]) == (subscription.id, payment["id"])
    assert invoice["subscription_details"] == {"metadata": {"accountId": "acc-1"}}
    assert (payment["invoice"], told["charge.succeeded"]["invoice"]) == (invoice["id"], invoice["id"])
    assert changed["current_period_end"] == period_end(subscription.created, "month")
    assert changed["plan"]["id"] == changed["items"]["data"][0]["price"]["id"]
    assert not {"parent", "payments"} & invoice.keys()
    assert "current_period_end" not in changed["items"]["data"][0]
    assert "invoice_payment.paid" not in told
    assert (await world.get("account")) == {"api_version": OLD_VERSION}


async def test_an_unknown_version_is_refused(world: World) -> None:
    """Also none at all: the setting is never reset by accident."""
    await world.post("account", status=400, api_version="2011-01-01")
    await world.post("account", status=400)


@pytest.mark.parametrize(
    ("start", "interval", "end"),
    [
        ((2026, 1, 31), "month", (2026, 2, 28)),
        ((2028, 2, 29), "year", (2029, 2, 28)),
        ((2026, 12, 15), "month", (2027, 1, 15)),
        ((2026, 12, 29), "week", (2027, 1, 5)),
        ((2026, 12, 31), "day", (2027, 1, 1)),
    ],
)
def test_periods_end_by_the_calendar(
    start: tuple[int, int, int], interval: str, end: tuple[int, int, int]
) -> None:
    """Short months and leap years shorten to the last day."""
    starts, ends = (calendar.timegm(datetime(*day, tzinfo=UTC).timetuple()) for day in (start, end))

    assert ends == period_end(starts, interval)


def test_old_values_name_what_differs_and_nothing_else() -> None:
    """Maps name by name, lists whole, new names as null."""
    before = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1, {"f": 2}]}
    after = {"a": 1, "b": {"c": 2, "d": 4}, "e": [1, {"f": 3}], "g": 5}

    assert earlier_values(before, after) == {"b": {"d": 3}, "e": [1, {"f": 2}], "g": None}
