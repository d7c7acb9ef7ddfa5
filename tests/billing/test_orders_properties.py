"""Any order, repetition and split into batches of an order's or a plan's events ends in one state.

The oracle knows only the PSP's last words, never the path to them or what the rules do with it.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.commands import ReversalEnded
from billing.decision import PLATFORM_FEES, PSP_CLEARING
from billing.facts import PaymentReported, RefundReported, TransferReported
from billing.order import Order
from billing.plan import PlanSubscription
from billing.terms import OrderTerms
from tests.billing.order_stories import Story, last_payment, last_words, orders, plans, refunds_of_ours
from tests.support.mirrored import End, happen


def shuffled(story: Story, data: st.DataObject) -> End:
    """The story as it may arrive: `rest` permuted, anything repeated, cut into any batches."""
    head, numbers = len(story.first), list(range(len(story.events)))
    tail = numbers[head:] + data.draw(st.lists(st.sampled_from(numbers), max_size=4))
    order = [*numbers[:head], *data.draw(st.permutations(tail))]
    splits = data.draw(st.lists(st.integers(0, len(order)), max_size=4))
    return happen(*story.events, order=order, splits=splits)


def is_sound(end: End) -> None:
    """Nothing waits or failed, nothing is posted twice, and every journal is without a gap."""
    assert end.waiting == {}
    assert {state for state, _ in end.outcomes} <= {"applied", "superseded", "parked"}
    posted = Counter(
        (moved.movement, moved.money_object, moved.moved_at)
        for effect in end.effects
        if (moved := effect.movement)
    )
    assert set(posted.values()) <= {1}
    journal: dict[tuple[str, str], list[tuple[int, str | None, str]]] = {}
    for effect in end.effects:
        if (step := effect.transition) is not None:
            journal.setdefault((step.kind, step.object_id), []).append(
                (step.seq, step.from_state, step.to_state)
            )
    for entries in journal.values():
        assert [seq for seq, _, _ in entries] == list(range(1, len(entries) + 1))
        assert [before for _, before, _ in entries] == [None, *(after for _, _, after in entries[:-1])]


def balances(end: End) -> dict[str, int]:
    """What the ledger holds, zero as absent."""
    held: Counter[str] = Counter()
    for effect in end.effects:
        for leg in effect.movement.legs if effect.movement is not None else ():
            held[leg.account_id] += leg.amount
    return {account_id: amount for account_id, amount in held.items() if amount}


def the_one(end: End) -> Order | PlanSubscription:
    """The order or plan of a story."""
    (found,) = end.subjects.values()
    assert isinstance(found, Order | PlanSubscription)
    return found


def expected_order(story: Story) -> dict[str, object]:
    """What must be left of an order, from the PSP's last words alone."""
    terms = story.terms
    assert isinstance(terms, OrderTerms)
    refunds, held = last_words(story)
    paid = last_payment(story)
    refunded = sum(amount for amount, status in refunds.values() if status == "succeeded")
    status = {"failed": "failed", "pending": "pending"}.get(paid, "cancelled")
    if paid == "succeeded" and refunded == terms.amount_minor:
        status = "refunded"
    elif paid == "succeeded":
        waits = any(status in ("pending", "requires_action") for _, status in refunds.values())
        status = "refund_pending" if waits else "completed"
    gone, sold = refunded + held, int(paid == "succeeded")
    sent = {fact.id: fact for fact in story.facts(TransferReported) if isinstance(fact, TransferReported)}
    out = sum(fact.amount_minor - fact.reversed_minor for fact in sent.values())
    seller = sold * terms.seller_amount_minor - terms.seller_amount_minor * gone // terms.amount_minor
    clearing = gone - sold * terms.amount_minor
    money = {
        terms.seller_id or "": seller - out,
        PLATFORM_FEES: -seller - clearing,
        PSP_CLEARING: clearing + out,
    }
    wanted = "reversal_pending" if status == "refunded" or paid == "reversed" else "completed"
    held_licence = None if paid not in ("succeeded", "reversed") else "active"
    return {
        "status": status,
        "licence": "revoked" if held_licence and status in ("refunded", "cancelled") else held_licence,
        "refunds": refunds,
        "gone": gone,
        "transfers": {
            fact.id: ("reversed" if fact.reversed_minor == fact.amount_minor else wanted, fact.reversed_minor)
            for fact in sent.values()
        },
        "money": {account_id: amount for account_id, amount in money.items() if amount},
    }


def ended_order(end: End) -> dict[str, object]:
    """What is left of an order when the path to it does not count."""
    order = the_one(end)
    assert isinstance(order, Order)
    return {
        "status": order.status,
        "licence": order.licence_status if order.terms.licences else order.due_licence_status,
        "refunds": {refund.id: (refund.amount_minor, refund.status) for refund in order.refunds.values()},
        "gone": order.reversed_minor,
        "transfers": {one.id: (one.status, one.reversed_minor) for one in order.transfers.values()},
        "money": balances(end),
    }


@settings(max_examples=400, deadline=None)
@given(st.one_of(orders(), refunds_of_ours()), st.data())
def test_every_order_of_arrival_ends_like_the_order_of_events(story: Story, data: st.DataObject) -> None:
    """Orders with refunds, disputes and transfers: one state, one set of books, the PSP's last words."""
    in_order = happen(*story.events)
    end = shuffled(story, data)

    is_sound(end)
    assert ended_order(in_order) == expected_order(story)
    assert ended_order(end) == expected_order(story)
    assert the_one(end).payment_id == the_one(in_order).payment_id
    called = {effect.call.object_id for effect in end.effects if effect.call is not None}
    order = the_one(end)
    assert isinstance(order, Order)
    assert {one.id for one in order.transfers.values() if one.status == "reversal_pending"} <= called


@settings(max_examples=200, deadline=None)
@given(plans(), st.data())
def test_every_order_of_arrival_ends_a_plan_alike(story: Story, data: st.DataObject) -> None:
    """A subscription of ours: its state and its invoice's are those of its payment; no balance moves."""
    in_order = happen(*story.events)
    end = shuffled(story, data)
    plan, paid = the_one(end), last_payment(story)
    assert isinstance(plan, PlanSubscription)

    is_sound(end)
    assert (plan.status, plan.invoice_status) == {
        "pending": ("pending_payment", "open"),
        "succeeded": ("active", "paid"),
        "reversed": ("expired", "void"),
    }.get(paid, ("expired", "uncollectible"))
    assert {one.id: (one.amount_minor, one.status) for one in plan.refunds.values()} == last_words(story)[0]
    assert plan.payment_id == the_one(in_order).payment_id
    assert balances(end) == balances(in_order) == {}


@settings(max_examples=150, deadline=None)
@given(st.one_of(orders(), refunds_of_ours(), plans()), st.data())
def test_a_replay_of_everything_changes_nothing(story: Story, data: st.DataObject) -> None:
    """Whatever has been decided once is superseded ever after: no entry, no posting, no call more."""
    numbers = list(range(len(story.events)))
    again = data.draw(st.permutations(numbers))

    once = happen(*story.events)
    twice = happen(*story.events, order=[*numbers, *again])

    assert twice.effects == once.effects
    assert the_one(twice) == the_one(once)
    assert {state for state, _ in twice.outcomes[len(once.outcomes) :]} <= {"superseded"}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_reversal_that_was_called_off_leaves_the_books_alike(data: st.DataObject) -> None:
    """A refund that fails late calls a reversal off. Whether the call had gone out, and how it ended, is a
    matter of arrival; the order, its licences and what the PSP says came back are not.
    """
    terms = OrderTerms("o_1", "buyer_1", "seller_1", 1000, "usd", 800, ("font",))
    ended = data.draw(st.sampled_from(["reversed", "permanently_failed"]))
    story = Story(
        terms,
        [
            (0, PaymentReported("pi_1", "succeeded", 1000, "usd", terms.key, terms)),
            (0, TransferReported("tr_1", "o_1", "acct_1", 700, 0, "usd")),
            (1, RefundReported("re_1", "pi_1", 1000, "usd", "succeeded")),
        ],
        [
            (2, ReversalEnded("stripe", "tr_1", ended)),
            (3, RefundReported("re_1", "pi_1", 1000, "usd", "failed")),
        ],
    )
    if ended == "reversed":
        story.rest.append((2, TransferReported("tr_1", "o_1", "acct_1", 700, 700, "usd")))
    end = shuffled(story, data)
    order = the_one(end)
    assert isinstance(order, Order)

    is_sound(end)
    assert (order.status, order.licence_status, order.reversed_minor) == ("completed", "active", 0)
    assert order.transfers["tr_1"].status == ended
    out = 0 if ended == "reversed" else 700
    assert balances(end) == {"seller_1": 800 - out, PLATFORM_FEES: 200, PSP_CLEARING: out - 1000}


def test_the_oracle_can_disagree() -> None:
    """The property has teeth: a story whose last refund is left out ends elsewhere."""
    terms = OrderTerms("o_1", "buyer_1", "seller_1", 1000, "usd", 800, ("font",))
    story = Story(
        terms,
        [],
        [
            (0, PaymentReported("pi_1", "succeeded", 1000, "usd", terms.key, terms)),
            (1, RefundReported("re_1", "pi_1", 1000, "usd", "succeeded")),
        ],
    )

    assert ended_order(happen(*story.events)) == expected_order(story)
    assert ended_order(happen(story.events[0])) != expected_order(story)
