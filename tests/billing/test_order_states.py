"""The transition tables of orders, licences and transfers, and what our own plans walk of a subscription's.

Every edge is taken by an event, and every state is covered.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from msgspec.structs import replace

from billing.commands import OrderPlaced, PaymentRefused, PlanSubscribed, RefundRequested, ReversalEnded
from billing.decision import Transition
from billing.facts import Cause, DisputeReported, Fact, PaymentReported, RefundReported, TransferReported
from billing.machine import Edge, Machine
from billing.order import Order, Transfer
from billing.order_states import LICENCE, ORDER, PAYMENT_LADDER, TRANSFER
from billing.plan import PlanSubscription
from billing.refunds import Refund
from billing.rules import decide
from billing.subject import Book, Subject
from billing.subscription import INVOICE, SUBSCRIPTION
from billing.terms import OrderTerms, PlanTerms

TABLES = (ORDER, LICENCE, TRANSFER)
EDGES = [(machine, edge) for machine in TABLES for edge in machine.edges]
TERMS = OrderTerms("o_1", "buyer_1", "seller_1", 1000, "usd", 800, ("font",))
PLAN = PlanTerms("s_1", "cust_1", "pro", 1000, "usd")
SENT = Transfer("tr_1", "acct_1", 700, "usd", "completed")


def refund(status: str, amount: int = 1000, refund_id: str = "re_1") -> Refund:
    """A refund of the order's payment."""
    return Refund(refund_id, "pi_1", amount, "usd", status)


def order(status: str, *refunds: Refund, transfer: str | None = None) -> Order:
    """The order in a state, with licences and, where asked for, its transfer in one."""
    payment = {"pending": "pending", "failed": "failed", "cancelled": "canceled"}.get(status, "succeeded")
    if status == "refunded" and not refunds:
        refunds = (refund("succeeded"),)
    paid = payment == "succeeded"
    licence = ("revoked" if status == "refunded" else "active") if paid else None
    return Order(
        "stripe",
        TERMS,
        None if status == "pending" else "pi_1",
        payment,
        status,
        reversed_minor=sum(one.amount_minor for one in refunds if one.status == "succeeded"),
        licence_status=licence,
        licence_version=int(paid),
        refunds={one.id: one for one in refunds},
        transfers={} if transfer is None else {"tr_1": replace(SENT, status=transfer)},
    )


def payment(status: str, payment_id: str = "pi_1") -> PaymentReported:
    """A payment of the order, which carries its terms."""
    paid = 1000 if status == "succeeded" else None
    return PaymentReported(payment_id, status, paid, "usd", TERMS.key, TERMS)


def refunded(status: str, amount: int = 1000) -> RefundReported:
    """What the PSP says of the refund."""
    return RefundReported("re_1", "pi_1", amount, "usd", status)


def sent(reversed_minor: int) -> TransferReported:
    """What the PSP says of the transfer."""
    return TransferReported("tr_1", "o_1", "acct_1", 700, reversed_minor, "usd")


TAKEN: dict[tuple[str, str | None, str, str], tuple[Order | None, Fact]] = {
    ("order", None, "pending", "placed"): (None, OrderPlaced("stripe", None, TERMS)),
    ("order", None, "failed", "payment_failed"): (None, payment("failed")),
    ("order", None, "completed", "payment_succeeded"): (None, payment("succeeded")),
    ("order", None, "cancelled", "payment_canceled"): (None, payment("canceled")),
    ("order", "pending", "pending", "payment_opened"): (
        order("pending"),
        OrderPlaced("stripe", "pi_1", TERMS),
    ),
    ("order", "pending", "failed", "payment_failed"): (order("pending"), payment("failed")),
    ("order", "pending", "failed", "payment_refused"): (
        order("pending"),
        PaymentRefused("stripe", TERMS.key, "parameter_invalid"),
    ),
    ("order", "pending", "completed", "payment_succeeded"): (order("pending"), payment("succeeded")),
    ("order", "pending", "cancelled", "payment_canceled"): (order("pending"), payment("canceled")),
    ("order", "failed", "failed", "payment_failed"): (order("failed"), payment("failed", "pi_2")),
    ("order", "failed", "cancelled", "payment_canceled"): (order("failed"), payment("canceled")),
    ("order", "cancelled", "cancelled", "payment_canceled"): (
        order("cancelled"),
        payment("canceled", "pi_2"),
    ),
    ("order", "failed", "completed", "late_success"): (order("failed"), payment("succeeded")),
    ("order", "cancelled", "completed", "late_success"): (order("cancelled"), payment("succeeded")),
    ("order", "completed", "refund_pending", "refund_requested"): (
        order("completed"),
        RefundRequested("stripe", "o_1", "own_1", 400),
    ),
    ("order", "completed", "refunded", "refunded"): (order("completed"), refunded("succeeded")),
    ("order", "refund_pending", "refunded", "refunded"): (
        order("refund_pending", refund("pending")),
        refunded("succeeded"),
    ),
    ("order", "refund_pending", "completed", "refund_failed"): (
        order("refund_pending", refund("pending")),
        refunded("failed"),
    ),
    ("order", "refund_pending", "completed", "refunded_in_part"): (
        order("refund_pending", refund("pending", 400)),
        refunded("succeeded", 400),
    ),
    ("order", "refunded", "completed", "late_failure"): (order("refunded"), refunded("failed")),
    ("order", "refunded", "refund_pending", "late_failure"): (
        order("refunded", refund("succeeded"), refund("pending", 400, "re_2")),
        refunded("failed"),
    ),
    ("order", "completed", "cancelled", "payment_reversed"): (order("completed"), payment("reversed")),
    ("order", "refund_pending", "cancelled", "payment_reversed"): (
        order("refund_pending", refund("pending")),
        payment("reversed"),
    ),
    ("order", "refunded", "cancelled", "payment_reversed"): (order("refunded"), payment("reversed")),
    ("license", None, "active", "granted"): (None, payment("succeeded")),
    ("license", None, "revoked", "never_granted"): (None, payment("reversed")),
    ("license", "active", "revoked", "revoked"): (order("completed"), refunded("succeeded")),
    ("license", "revoked", "active", "reinstated"): (order("refunded"), refunded("failed")),
    ("transfer", None, "completed", "transferred"): (order("completed"), sent(0)),
    ("transfer", None, "reversal_pending", "reversal_due"): (order("refunded"), sent(0)),
    ("transfer", None, "reversed", "reversed"): (order("completed"), sent(700)),
    ("transfer", "completed", "completed", "reversed_in_part"): (
        order("completed", transfer="completed"),
        sent(10),
    ),
    ("transfer", "reversal_pending", "reversal_pending", "reversed_in_part"): (
        order("refunded", transfer="reversal_pending"),
        sent(10),
    ),
    ("transfer", "permanently_failed", "permanently_failed", "reversed_in_part"): (
        order("refunded", transfer="permanently_failed"),
        sent(10),
    ),
    ("transfer", "completed", "reversal_pending", "reversal_due"): (
        order("completed", transfer="completed"),
        refunded("succeeded"),
    ),
    ("transfer", "completed", "reversed", "reversed"): (order("completed", transfer="completed"), sent(700)),
    ("transfer", "reversal_pending", "reversed", "reversed"): (
        order("refunded", transfer="reversal_pending"),
        ReversalEnded("stripe", "tr_1", "reversed"),
    ),
    ("transfer", "reversal_pending", "permanently_failed", "reversal_given_up"): (
        order("refunded", transfer="reversal_pending"),
        ReversalEnded("stripe", "tr_1", "permanently_failed"),
    ),
    ("transfer", "reversal_pending", "completed", "reversal_withdrawn"): (
        order("refunded", transfer="reversal_pending"),
        refunded("failed"),
    ),
    ("transfer", "completed", "permanently_failed", "reversal_given_up"): (
        order("completed", transfer="completed"),
        ReversalEnded("stripe", "tr_1", "permanently_failed"),
    ),
    ("transfer", "permanently_failed", "reversed", "late_success"): (
        order("refunded", transfer="permanently_failed"),
        sent(700),
    ),
}
"""For every edge the order before it and the event that takes it."""


def transitions(known: Subject | None, fact: Fact) -> tuple[Transition, ...]:
    """What the rules make of a fact."""
    return decide(fact, Book([] if known is None else [known]), Cause("stripe", "evt_1", 1, 2)).transitions


@pytest.mark.parametrize(("machine", "edge"), EDGES, ids=lambda value: getattr(value, "name", None))
def test_every_edge_is_taken_by_an_event(machine: Machine, edge: Edge) -> None:
    """An edge that nothing takes is prose."""
    known, fact = TAKEN[machine.name, edge.from_state, edge.to_state, edge.rule]
    steps = [
        Edge(t.from_state, t.to_state, t.rule) for t in transitions(known, fact) if t.kind == machine.name
    ]

    assert steps == [edge]


def test_the_examples_are_the_edges() -> None:
    """No example of an edge that is gone."""
    assert set(TAKEN) == {(machine.name, *_values(edge)) for machine, edge in EDGES}


def _values(edge: Edge) -> tuple[str | None, str, str]:
    return edge.from_state, edge.to_state, edge.rule


@pytest.mark.parametrize("machine", TABLES, ids=lambda machine: machine.name)
def test_every_state_is_reached_and_final_ones_are_not_left(machine: Machine) -> None:
    """Walking the edges from nothing reaches every state; exactly the terminal ones have no exit."""
    reached: set[str | None] = {None}
    while more := {edge.to_state for edge in machine.edges if edge.from_state in reached} - reached:
        reached |= more

    assert reached == {None, *machine.states}
    assert set(machine.states) - {edge.from_state for edge in machine.edges} == set(machine.terminal)
    assert {edge.to_state for edge in machine.edges if edge.from_state is None} == set(machine.initial)


PLAN_STEPS = {
    (None, "pending"): ("payment_awaited", "finalized"),
    (None, "failed"): ("first_seen", "first_seen"),
    (None, "canceled"): ("first_seen", "first_seen"),
    (None, "succeeded"): ("started", "paid"),
    (None, "reversed"): ("first_seen", "first_seen"),
    ("pending", "failed"): ("payment_failed", "given_up"),
    ("pending", "canceled"): ("payment_failed", "given_up"),
    ("pending", "succeeded"): ("payment_succeeded", "paid"),
    ("pending", "reversed"): ("payment_failed", "voided"),
    ("failed", "canceled"): ("payment_noted", None),
    ("failed", "succeeded"): ("late_success", "late_success"),
    ("failed", "reversed"): ("payment_noted", "voided"),
    ("canceled", "succeeded"): ("late_success", "late_success"),
    ("canceled", "reversed"): ("payment_noted", "voided"),
    ("succeeded", "reversed"): ("late_failure", "status_corrected"),
}
"""Every step up a payment's ladder, and the rules of subscription and invoice that it goes by."""


@pytest.mark.parametrize("before", [None, *PAYMENT_LADDER])
@pytest.mark.parametrize("after", PAYMENT_LADDER)
def test_a_plan_takes_every_step_of_its_payment_and_none_back(before: str | None, after: str) -> None:
    """The 6×5 matrix: up the ladder each step has its rules; down or along nothing happens."""
    known = None if before is None else PlanSubscription("stripe", PLAN, "pi_1", before)
    paid = 1000 if after == "succeeded" else None
    told = transitions(known, PaymentReported("pi_1", after, paid, "usd", PLAN.key, PLAN))
    rules = {step.kind: step.rule for step in told}
    steps = PLAN_STEPS.get((before, after))

    assert (rules.get("subscription"), rules.get("subscription_invoice")) == (steps or (None, None))
    for step in told:
        machine = SUBSCRIPTION if step.kind == SUBSCRIPTION.name else INVOICE
        assert step.rule in ("payment_noted", machine.rule(step.from_state, step.to_state))


def test_a_plan_that_was_subscribed_to_waits_for_its_payment() -> None:
    """Nothing but the command: pending, with an open invoice."""
    told = transitions(None, PlanSubscribed("stripe", None, PLAN))

    assert [(step.kind, step.to_state) for step in told] == [
        ("subscription", "pending_payment"),
        ("subscription_invoice", "open"),
    ]


def test_a_plan_whose_payment_is_refused_expires_and_a_late_success_revives_it() -> None:
    """The invoice that nobody can pay goes with it; what has a payment that moved is left alone."""
    refused = PaymentRefused("stripe", PLAN.key, "parameter_invalid")
    told = transitions(PlanSubscription("stripe", PLAN, None, "pending", invoice_version=1), refused)
    revived = transitions(
        PlanSubscription("stripe", PLAN, None, "failed", invoice_version=1),
        PaymentReported("pi_1", "succeeded", 1000, "usd", PLAN.key, PLAN),
    )

    assert [(step.kind, step.from_state, step.to_state, step.rule) for step in told] == [
        ("subscription", "pending_payment", "expired", "payment_refused"),
        ("subscription_invoice", "open", "uncollectible", "given_up"),
    ]
    assert (revived[0].to_state, revived[0].rule) == ("active", "late_success")
    for status in ("failed", "canceled", "succeeded", "reversed"):
        assert transitions(PlanSubscription("stripe", PLAN, "pi_1", status), refused) == ()


def test_a_refusal_of_what_nobody_knows_is_looked_at() -> None:
    """It is said after what it is about, so that is a fault of ours."""
    decision = decide(PaymentRefused("stripe", "order:o_9", "x"), Book(), Cause("stripe", "evt_1", 1, 1))

    assert (decision.state, decision.reason) == ("quarantined", "unknown_agreement")


def test_a_plan_keeps_refunds_and_disputes_and_moves_nothing() -> None:
    """They have their own journal; the subscription's own payment decides its state."""
    active = PlanSubscription("stripe", PLAN, "pi_1", "succeeded")
    for fact in (refunded("succeeded"), DisputeReported("dp_1", "pi_1", 9, "usd", "lost", "withdrawn")):
        decided = decide(fact, Book([active]), Cause("stripe", "evt_1", 1, 2))
        (after,) = decided.subjects

        assert isinstance(after, PlanSubscription)
        assert (decided.state, decided.movements, after.status) == ("applied", (), "active")
        assert [step.kind for step in decided.transitions] == [
            *("refund" for _ in after.refunds),
            *("dispute" for _ in after.disputes),
        ]


def test_orders_make_journal_entries_through_the_walk_alone() -> None:
    """A `Transition` that is made elsewhere has met no table; the one of a plan stays in its state."""
    folder = Path(__file__).resolve().parents[2] / "billing"
    makers = {
        (file.name, function.name)
        for file in (folder / "orders.py", folder / "payments.py", folder / "reversal.py")
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Transition"
    }

    assert makers == {("payments.py", "_plan_changed")}
