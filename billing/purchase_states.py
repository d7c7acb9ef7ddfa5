"""The transition tables of accounts, checkouts, refunds and disputes, and the one function that walks them.
Values only; never an I/O.

A delivery may be missed, so a table also joins states that are several steps apart.
"""

from __future__ import annotations

from billing.decision import Transition
from billing.machine import Edge, Machine

ACCOUNT = Machine(
    "account",
    states=("open",),
    initial=("open",),
    edges=(Edge(None, "open", "first_credit"),),
    terminal=("open",),
)

CHECKOUT_SESSION = Machine(
    "checkout_session",
    states=("open", "expired", "failed", "paid"),
    initial=("open", "paid"),
    edges=(
        Edge(None, "open", "checkout_opened"),  # by our own API, before its customer pays
        Edge(None, "paid", "checkout_paid"),
        Edge(None, "paid", "off_session_paid"),
        Edge("open", "paid", "checkout_paid"),
        Edge("open", "expired", "checkout_expired"),
        Edge("open", "failed", "checkout_failed"),
        Edge("expired", "paid", "late_payment"),
        Edge("failed", "paid", "late_payment"),
    ),
    terminal=("paid",),
)

REFUND = Machine(
    "refund",
    states=("pending", "requires_action", "succeeded", "failed", "canceled"),
    initial=("pending", "requires_action", "succeeded", "failed", "canceled"),
    edges=(
        Edge(None, "pending", "refund_pending"),
        Edge(None, "requires_action", "refund_requires_action"),
        Edge(None, "succeeded", "refund_succeeded"),
        Edge(None, "failed", "refund_failed"),
        Edge(None, "canceled", "refund_canceled"),
        Edge("pending", "pending", "refund_accepted"),
        Edge("pending", "requires_action", "refund_requires_action"),
        Edge("pending", "succeeded", "refund_succeeded"),
        Edge("pending", "failed", "refund_failed"),
        Edge("pending", "canceled", "refund_canceled"),
        Edge("requires_action", "succeeded", "refund_succeeded"),
        Edge("requires_action", "failed", "refund_failed"),
        Edge("requires_action", "canceled", "refund_canceled"),
        Edge("succeeded", "failed", "late_failure"),
        Edge("succeeded", "canceled", "late_failure"),
    ),
    terminal=("failed", "canceled"),
)
"""Every edge leads forward, and what the table does not list says nothing new: so any order of arrival ends
alike.
"""

DISPUTE_RULES = ("dispute_reported", "funds_withdrawn", "funds_reinstated")
"""What an event says of a dispute: its status alone, or that money moved, with the status or without."""

_HYPERSWITCH_ENDS = "dispute_cancelled dispute_accepted dispute_expired dispute_lost dispute_won"
_DISPUTE_STEPS = (
    ("warning_needs_response", "warning_under_review warning_closed needs_response under_review lost won"),
    ("warning_under_review", "warning_closed needs_response under_review lost won"),
    ("needs_response", "under_review prevented lost won"),
    ("under_review", "lost won"),
    ("lost", "won"),
    # Hyperswitch has words of its own, and no event that says when the money moves: its last word does.
    (
        "dispute_opened",
        "dispute_challenged dispute_cancelled dispute_accepted dispute_expired dispute_lost dispute_won",
    ),
    ("dispute_challenged", "dispute_cancelled dispute_accepted dispute_expired dispute_lost dispute_won"),
    ("dispute_lost", "dispute_won"),
)
_DISPUTE_STATES = (
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "prevented",
    "lost",
    "won",
    "dispute_opened",
    "dispute_challenged",
    "dispute_cancelled",
    "dispute_accepted",
    "dispute_expired",
    "dispute_lost",
    "dispute_won",
)

DISPUTE = Machine(
    "dispute",
    states=_DISPUTE_STATES,
    initial=_DISPUTE_STATES,
    edges=tuple(
        Edge(from_state, to_state, rule)
        for pairs in (
            [(None, state) for state in _DISPUTE_STATES],
            [(state, state) for state in _DISPUTE_STATES],
            [(before, after) for before, listed in _DISPUTE_STEPS for after in listed.split()],
        )
        for from_state, to_state in pairs
        for rule in DISPUTE_RULES
    ),
    terminal=(),
    correction="dispute_corrected",
)
"""The status is the PSP's own word and its latest one counts, whatever the table expects; of two in one
second the later in the order of `states` does. Even a dispute that was won or lost may be judged anew.
"""


def walk(
    machine: Machine,
    object_id: str,
    seq: int,
    from_state: str | None,
    to_state: str,
    wanted: str | None = None,
    money_before: dict[str, int] | None = None,
    money_after: dict[str, int] | None = None,
) -> Transition:
    """The journal entry of a step: under the rule `wanted`, or under the first that the table lists.

    A step that the table does not list goes under the machine's correction; without one it is a bug, and its
    AssertionError keeps it from being written.
    """
    assert {from_state, to_state} <= {None, *machine.states}, f"{machine.name}: an unknown state"
    rule = machine.rule(from_state, to_state, wanted)
    assert rule is not None, f"{machine.name}: {from_state} does not lead to {to_state}"
    assert wanted in (None, rule) or rule == machine.correction, f"{machine.name}: {wanted} is no rule of it"
    return Transition(machine.name, object_id, seq, from_state, to_state, rule, money_before, money_after)
