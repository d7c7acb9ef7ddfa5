"""The demo's plan: decided by its seed, as large as asked for, and true about the events it causes."""

from __future__ import annotations

import pytest

from psp.sandbox.demo_customers import Customers, account_ids
from psp.sandbox.demo_http import Http, Place, flat
from psp.sandbox.demo_hyperswitch import HYPERSWITCH_SALES
from psp.sandbox.demo_plan import TOPUPS, gross, plan
from psp.sandbox.demo_plan_orders import ORDERS
from psp.sandbox.demo_plan_subscriptions import SUBSCRIPTIONS
from runtime.values import Secret
from tests.sandbox.merchants import HYPERSWITCH_KEY
from tests.sandbox.worlds import KEY, World

unbelievable_stories = 5
"""Every plan begins with them."""
longest_story_events = 45


def test_one_seed_gives_one_plan() -> None:
    """The same stories in the same order; another seed tells others."""
    assert plan(1, 2_000) == plan(1, 2_000)
    assert plan(1, 2_000) != plan(2, 2_000)


@pytest.mark.parametrize("events", [1, 100, 2_000, 20_000])
def test_a_plan_is_as_large_as_asked_for(events: int) -> None:
    """Within one story; several purchases per account from the start."""
    made = plan(4, events)

    assert events <= made.events < max(events, 20) + longest_story_events
    assert {story.account for story in made.stories} <= set(range(made.accounts))


def test_steps_of_one_story_stay_in_order() -> None:
    """Stories are told interleaved, each from its beginning to its end."""
    made = plan(1, 500)
    told: dict[int, list[object]] = {}
    for number, step in made.steps:
        told.setdefault(number, []).append(step)

    assert {story.number: list(story.steps) for story in made.stories} == told
    assert [number for number, _ in made.steps] != sorted(number for number, _ in made.steps)


@pytest.mark.parametrize(
    ("credit_cents", "total"), [(1, 32), (50, 83), (250, 289), (300, 340), (1_000, 1_061), (10_000, 10_330)]
)
def test_the_fee_is_grossed_up(credit_cents: int, total: int) -> None:
    """Figures of the shop that this one imitates."""
    assert total == gross(credit_cents)


def test_accounts_belong_to_the_books() -> None:
    """The same for the same books and seed, others for other books."""
    assert account_ids("acct_1", 7, 3) == account_ids("acct_1", 7, 3)
    assert not set(account_ids("acct_1", 7, 3)) & set(account_ids("acct_2", 7, 3))


def test_parameters_are_written_as_stripe_reads_them() -> None:
    """Nested maps, lists of maps and booleans."""
    assert flat({"a": {"b": 1}, "c": [{"d": True}], "e": None}) == [("a[b]", "1"), ("c[0][d]", "true")]


async def test_the_plan_is_true_about_its_events(both_psps: World) -> None:
    """Every step of every kind of story makes exactly the events it is planned to make."""
    world = both_psps
    weights = TOPUPS | SUBSCRIPTIONS | ORDERS | HYPERSWITCH_SALES
    made = plan(1, 3_000, dict.fromkeys(weights, 1))
    place = Place(world.url, world.url, Secret(KEY), Secret("unused"), Secret(HYPERSWITCH_KEY))
    wrong: list[tuple[str, str, int, int]] = []
    async with Http(place) as http:
        customers = Customers(http, account_ids("acct_1", 1, made.accounts), "run")
        seen = 0
        for number, (which, step) in enumerate(made.steps):
            story = made.stories[which]
            await customers.take(story, number, step)
            events = int((await world.get("stats"))["events"])
            if events - seen != step.events:
                wrong.append((story.kind, step.verb, step.events, events - seen))
            seen = events
        both = await http.books()
    books = await world.get("books")
    switched = await world.get("hyperswitch/books")

    assert wrong == []
    assert all(money["balanced"] for money in switched["money"].values())
    assert sum(account.get("usd", 0) for account in switched["accounts"].values()) == 0
    assert {order["status"] for order in switched["orders"].values()} == {
        "completed",
        "refunded",
        "failed",
        "cancelled",
    }
    assert {each["status"] for each in switched["subscriptions"].values()} == {"active", "expired"}
    assert len(both["orders"]) == len(books["orders"]) + len(switched["orders"])
    assert sum(units["usd"] for units in both["sellers"].values()) == sum(
        units["usd"] for side in (books, switched) for units in side["sellers"].values()
    )
    assert len({story.kind for story in made.stories}) == len(weights) + unbelievable_stories
    assert all(money["balanced"] for money in books["money"].values())
    assert {"completed", "refunded", "failed", "cancelled"} == {
        order["status"] for order in books["orders"].values()
    }
    assert {"expired", "trialing", "active", "past_due", "suspended", "canceled"} >= {
        each["status"] for each in books["subscriptions"].values()
    }
