"""The transition tables of accounts, checkouts, refunds and disputes: complete, walkable, not to be left."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from billing.decision import Transition
from billing.facts import Cause, DisputeReported, Fact, RefundReported, TopUpEnded, TopUpPaid
from billing.machine import Edge, Machine
from billing.purchase import Purchase
from billing.purchase_states import ACCOUNT, CHECKOUT_SESSION, DISPUTE, REFUND, walk
from billing.refunds import Dispute, Refund
from billing.rules import decide
from billing.subject import Book

TABLES = (ACCOUNT, CHECKOUT_SESSION, REFUND, DISPUTE)
EDGES = [(machine, edge) for machine in TABLES for edge in machine.edges]
NOT_BY_EVENTS = {
    (ACCOUNT.name, Edge(None, "open", "first_credit")),  # made with the first posting, by the room of rows
    (CHECKOUT_SESSION.name, Edge(None, "open", "checkout_opened")),  # made by our API before it is paid
}
OPEN = Purchase("stripe", "cs_1", "checkout", "pi_1", "cust_1", 250, 289, "usd", "open", "ours")
FUNDS = {"funds_withdrawn": "withdrawn", "funds_reinstated": "reinstated"}


def transitions(known: Purchase | None, fact: Fact, at: int = 2) -> tuple[Transition, ...]:
    """What the rules make of a fact about a purchase."""
    book = Book([] if known is None else [known])
    return decide(fact, book, Cause("stripe", "evt_1", 1, at)).transitions


def happening(machine: Machine, edge: Edge) -> tuple[Transition, ...]:
    """The journal entries of an event that must take this edge."""
    if machine is CHECKOUT_SESSION:
        known = None if edge.from_state is None else replace(OPEN, status=edge.from_state)
        if edge.to_state != "paid":
            return transitions(known, TopUpEnded("cs_1", edge.to_state))
        if edge.rule == "off_session_paid":
            return transitions(known, TopUpPaid("pi_1", "off_session", "pi_1", "cust_1", 250, 289, "usd"))
        return transitions(known, TopUpPaid("cs_1", "checkout", "pi_1", "cust_1", 250, 289, "usd"))
    paid = replace(OPEN, status="paid")
    if machine is REFUND:
        if edge.from_state is not None:
            paid = replace(paid, refunds={"re_1": Refund("re_1", "pi_1", 9, "usd", edge.from_state)})
        psp_id = "re_psp" if edge.rule == "refund_accepted" else None
        report = RefundReported(psp_id or "re_1", "pi_1", 9, "usd", edge.to_state, psp_id and "re_1")
        return transitions(paid, report)
    if edge.from_state is not None:
        paid = replace(paid, disputes={"dp_1": Dispute("dp_1", "pi_1", 9, "usd", edge.from_state, 1)})
    return transitions(paid, DisputeReported("dp_1", "pi_1", 9, "usd", edge.to_state, FUNDS.get(edge.rule)))


@pytest.mark.parametrize(("machine", "edge"), EDGES, ids=lambda value: getattr(value, "name", None))
def test_every_edge_is_taken_by_an_event(machine: Machine, edge: Edge) -> None:
    """An edge that nothing takes is prose; each but two is walked by the rules themselves."""
    if (machine.name, edge) in NOT_BY_EVENTS:
        return
    taken = [(t.kind, Edge(t.from_state, t.to_state, t.rule)) for t in happening(machine, edge)]

    assert taken == [(machine.name, edge)]


@pytest.mark.parametrize("machine", TABLES, ids=lambda machine: machine.name)
def test_every_state_is_reached_and_final_ones_are_not_left(machine: Machine) -> None:
    """Walking the edges from nothing reaches every state; exactly the terminal ones have no exit."""
    reached: set[str | None] = {None}
    while more := {edge.to_state for edge in machine.edges if edge.from_state in reached} - reached:
        reached |= more

    assert reached == {None, *machine.states}
    assert set(machine.states) - {edge.from_state for edge in machine.edges} == set(machine.terminal)
    assert {edge.to_state for edge in machine.edges if edge.from_state is None} == set(machine.initial)


@given(st.sampled_from(TABLES), st.data())
def test_a_step_that_no_table_lists_cannot_be_written(machine: Machine, data: st.DataObject) -> None:
    """Any pair of states, any rule: what is made stands in the table or is its correction."""
    words = ["", "nonsense", *(state for table in TABLES for state in table.states)]
    from_state = data.draw(st.sampled_from([None, *words]))
    to_state = data.draw(st.sampled_from(words))
    rule = data.draw(st.sampled_from([None, "nonsense", *(edge.rule for edge in machine.edges)]))
    try:
        made = walk(machine, "x_1", 1, from_state, to_state, rule)
    except AssertionError:
        return

    assert made.rule == machine.correction or Edge(from_state, to_state, made.rule) in machine.edges
    assert {from_state, to_state} <= {None, *machine.states}


@pytest.mark.parametrize(
    ("machine", "from_state", "to_state"),
    [
        (CHECKOUT_SESSION, "paid", "expired"),
        (CHECKOUT_SESSION, "expired", "failed"),
        (REFUND, "failed", "succeeded"),
        (REFUND, "canceled", "failed"),
        (REFUND, "succeeded", "pending"),
    ],
)
def test_what_would_go_back_is_refused(machine: Machine, from_state: str, to_state: str) -> None:
    """Paid stays paid, failed stays failed; the rules never ask for it, and could not."""
    with pytest.raises(AssertionError, match="does not lead to"):
        walk(machine, "x_1", 1, from_state, to_state)


def test_a_dispute_follows_its_psp_beyond_the_table_by_a_name_of_its_own() -> None:
    """A bank that judges a won dispute anew is believed, and the journal shows that nobody expected it."""
    won = replace(
        OPEN, status="paid", disputes={"dp_1": Dispute("dp_1", "pi_1", 9, "usd", "won", status_at=1)}
    )
    (step,) = transitions(won, DisputeReported("dp_1", "pi_1", 9, "usd", "needs_response", "withdrawn"))

    assert (step.from_state, step.to_state, step.rule) == ("won", "needs_response", "dispute_corrected")


def test_ties_of_one_second_go_to_the_later_state_of_a_life() -> None:
    """Two statuses of one second: the one further down the list of states stands."""
    for earlier, later in zip(DISPUTE.states, DISPUTE.states[1:], strict=False):
        known = replace(OPEN, status="paid", disputes={"dp_1": Dispute("dp_1", "pi_1", 9, "usd", earlier, 2)})
        forward = transitions(known, DisputeReported("dp_1", "pi_1", 9, "usd", later, None))
        known = replace(OPEN, status="paid", disputes={"dp_1": Dispute("dp_1", "pi_1", 9, "usd", later, 2)})
        back = transitions(known, DisputeReported("dp_1", "pi_1", 9, "usd", earlier, None))

        assert [(step.from_state, step.to_state) for step in forward] == [(earlier, later)]
        assert back == ()


def test_purchases_make_journal_entries_through_the_walk_alone() -> None:
    """A `Transition` that is made elsewhere has met no table."""
    folder = Path(__file__).resolve().parents[2] / "billing"
    makers = {
        (file.name, function.name)
        for file in (folder / "credits.py", folder / "purchase.py", folder / "purchase_states.py")
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Transition"
    }

    assert makers == {("purchase_states.py", "walk")}
