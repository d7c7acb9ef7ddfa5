"""Subscriptions of ours from their start: to be paid, on trial or free, and what a payment then does."""

from __future__ import annotations

from itertools import permutations

import pytest
from msgspec.structs import replace

from billing.commands import PlanSubscribed
from billing.decision import Decision
from billing.facts import Cause, Fact, PaymentReported
from billing.keys import subscription_key
from billing.plan import PlanSubscription
from billing.rules import decide
from billing.subject import Book
from billing.terms import PlanTerms

PAID = PlanTerms("s_1", "a_1", "pro", 900, "usd")
FREE = replace(PAID, amount_minor=0)
TRIAL = replace(PAID, trial_ends_at=1_800_000_000)
CAUSE = Cause("stripe", "evt_1", 1, 1_790_000_000)


def payment(status: str) -> PaymentReported:
    """A payment of `PAID`, without any terms of its own."""
    return PaymentReported("pi_1", status, 900, "usd", PAID.key)


def told(*facts: Fact) -> tuple[PlanSubscription | None, list[Decision]]:
    """The subscription after these facts in this order, and what was decided."""
    book, decisions = Book(), []
    for fact in facts:
        decisions.append(decide(fact, book, CAUSE))
        for subject in decisions[-1].subjects:
            book.put(subject)
    found = book.find("stripe", subscription_key("s_1"))
    return (found[0] if found and isinstance(found[0], PlanSubscription) else None), decisions


@pytest.mark.parametrize(
    ("terms", "status", "invoice", "rules"),
    [
        (PAID, "pending_payment", "open", ["payment_awaited", "finalized"]),
        (TRIAL, "trialing", None, ["trial_started"]),
        (FREE, "active", None, ["started"]),
    ],
)
def test_a_start_is_what_the_terms_say(
    terms: PlanTerms, status: str, invoice: str | None, rules: list[str]
) -> None:
    """Only what has to be paid has an invoice, and wants its payment opened, under its own id as the key."""
    subscription, (decision,) = told(PlanSubscribed("stripe", None, terms))

    assert subscription is not None
    assert (subscription.status, subscription.invoice_status) == (status, invoice)
    assert [step.rule for step in decision.transitions] == rules
    wanted = [("open_payment", "s_1")] if status == "pending_payment" else []
    assert [(call.kind, call.idempotency_key) for call in decision.calls] == wanted


def test_saying_it_again_changes_nothing_and_other_terms_are_held_back() -> None:
    """A subscription cannot become a trial by asking again."""
    _, decisions = told(*(PlanSubscribed("stripe", None, terms) for terms in (PAID, PAID, TRIAL)))

    assert [decision.state for decision in decisions] == ["applied", "superseded", "quarantined"]


def test_any_order_of_agreement_and_payment_ends_alike() -> None:
    """The payment's id may be known before the API says it, and failures after the success."""
    facts: list[Fact] = [
        PlanSubscribed("stripe", "pi_1", PAID), payment("pending"), payment("failed"), payment("succeeded"),
    ]  # fmt: skip
    ends = set()
    for rest in permutations(facts):
        subscription, _ = told(PlanSubscribed("stripe", None, PAID), *rest)
        assert subscription is not None
        ends.add((subscription.status, subscription.invoice_status, subscription.payment_id))

    assert ends == {("active", "paid", "pi_1")}


def test_a_trial_that_is_paid_is_active() -> None:
    """With an invoice from then on; a payment that fails takes nothing from the trial."""
    failed, _ = told(PlanSubscribed("stripe", None, TRIAL), payment("failed"))
    paid, decisions = told(PlanSubscribed("stripe", None, TRIAL), payment("succeeded"))

    assert failed is not None
    assert paid is not None
    assert (failed.status, failed.invoice_status) == ("trialing", "uncollectible")
    assert (paid.status, paid.invoice_status, paid.invoice_version) == ("active", "paid", 1)
    assert [step.rule for step in decisions[1].transitions] == ["trial_ended", "paid"]
