"""Any order, any repetition and any split into batches of a purchase's events ends in one state, equal to the
oracle's.

The oracle knows only the PSP's own last word: which refunds stand, whether a dispute's funds are gone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.facts import DisputeReported, Fact, RefundReported, TopUpPaid
from billing.purchase import Purchase
from db.events import ClaimedEvent
from psp.reading import Reading
from runtime import clock
from workers.outcomes import Item, decide_batch

NOW = clock.now()


@dataclass(frozen=True)
class Story:
    """A legal history of one purchase at the PSP, in the order in which it happened."""

    credits: int
    amount: int
    events: tuple[tuple[int, Fact], ...]

    def expected_credits(self) -> int:
        """What the account holds at the end, from the PSP's last words alone."""
        refunds: dict[str, RefundReported] = {}
        withdrawn: dict[str, int] = {}
        for _, fact in self.events:
            if isinstance(fact, RefundReported):
                refunds[fact.id] = fact
            elif isinstance(fact, DisputeReported) and fact.funds == "withdrawn":
                withdrawn[fact.id] = fact.amount_minor
            elif isinstance(fact, DisputeReported) and fact.funds == "reinstated":
                withdrawn[fact.id] = 0
        gone = sum(r.amount_minor or 0 for r in refunds.values() if r.status == "succeeded") + sum(
            withdrawn.values()
        )
        return self.credits - self.credits * gone // self.amount


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Histories with partial refunds, late failures and disputes, clumped into few seconds."""
    credits = draw(st.integers(1, 5_000))
    amount = draw(st.integers(credits, credits + 300))
    second = 0
    events: list[tuple[int, Fact]] = [
        (0, TopUpPaid("cs_1", "checkout", "pi_1", "cust_1", credits, amount, "usd"))
    ]
    left = amount

    def happen(fact: Fact) -> None:
        nonlocal second
        second += draw(st.integers(0, 1))
        events.append((second, fact))

    for number in range(draw(st.integers(0, 3))):
        if left == 0:
            break
        part = draw(st.integers(1, left))
        path = draw(
            st.sampled_from(
                [("succeeded",), ("pending", "succeeded"), ("pending", "failed"), ("succeeded", "failed")]
            )
        )
        if path[-1] == "succeeded":
            left -= part  # one that failed has given its part back, and the next refund may take it
        for status in path:
            happen(RefundReported(f"re_{number}", "pi_1", part, "usd", status))
    if draw(st.booleans()):
        steps = draw(st.integers(1, 8))
        for status, funds in (
            ("needs_response", None),
            ("needs_response", "withdrawn"),
            ("won", None),
            ("won", "reinstated"),
            ("lost", None),
            ("lost", "withdrawn"),
            ("won", None),
            ("won", "reinstated"),
        )[:steps]:
            second += status == "lost" and funds is None  # no bank judges anew within a second
            happen(DisputeReported("dp_1", "pi_1", draw(st.just(amount)), "usd", status, funds))
    return Story(credits, amount, tuple(events))


def apply(story: Story, order: list[int], splits: list[int]) -> tuple[Purchase | None, int]:
    """Run the worker's own deciding over the events in `order`, cut into batches at `splits`; parked ones
    come again.
    """
    purchase: Purchase | None = None
    balance = 0
    cuts = sorted({0, len(order), *[cut % (len(order) + 1) for cut in splits]})
    batches = [order[a:b] for a, b in itertools.pairwise(cuts)]
    parked: list[int] = []
    while batches:
        numbers = batches.pop(0)
        items = [
            Item(
                ClaimedEvent("stripe", f"evt_{n}", n, NOW, 1, story.events[n][0], None, "stripe", b""),
                Reading(story.events[n][1]),
            )
            for n in numbers
        ]
        batch = decide_batch(items, [purchase] if purchase is not None else [])
        purchase = next((s for s in batch.subjects.values() if isinstance(s, Purchase)), purchase)
        balance += sum(e.movement.legs[0].amount for e in batch.effects if e.movement is not None)
        states = {mark.event_id: mark.state for mark in batch.marks}
        parked = [n for n in numbers if states[f"evt_{n}"] == "parked"] + [
            n for n in parked if n not in numbers
        ]
        if batch.wakes and parked:
            batches.insert(0, parked)
            parked = []
    assert not parked, "nothing waits for ever once the payment is known"
    return purchase, balance


@settings(max_examples=400, deadline=None)
@given(stories(), st.data())
def test_every_order_of_arrival_ends_like_the_order_of_events(story: Story, data: st.DataObject) -> None:
    """Permuted, repeated and split over batches: one final purchase, and the balance of the PSP's last
    words.
    """
    numbers = list(range(len(story.events)))
    repeated = numbers + data.draw(st.lists(st.sampled_from(numbers), max_size=4))
    order = data.draw(st.permutations(repeated))
    splits = data.draw(st.lists(st.integers(0, len(order)), max_size=4))

    in_order, balance_in_order = apply(story, numbers, [])
    shuffled, balance = apply(story, order, splits)

    assert balance_in_order == story.expected_credits()
    assert balance == story.expected_credits()
    assert final(shuffled) == final(in_order)


def final(purchase: Purchase | None) -> object:
    """What is left of a purchase when the path to it does not count."""
    assert purchase is not None
    return (
        purchase.status,
        purchase.credits_taken,
        {(r.id, r.status, r.amount_minor) for r in purchase.refunds.values()},
        {
            (d.id, d.status, d.funds_withdrawn, d.funds_reinstated, d.funds_at)
            for d in purchase.disputes.values()
        },
    )


def test_the_oracle_can_disagree() -> None:
    """The property has teeth: a story whose last refund is left out ends elsewhere."""
    paid = TopUpPaid("cs_1", "checkout", "pi_1", "cust_1", 100, 100, "usd")
    story = Story(100, 100, ((0, paid), (1, RefundReported("re_1", "pi_1", 40, "usd", "succeeded"))))

    assert apply(story, [0], [])[1] != story.expected_credits()
