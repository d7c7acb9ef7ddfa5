"""What a decision consists of: an outcome, journal entries, movements of money. Values only; the worker
writes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from billing.subject import Subject

CREDIT = "credit"
SYSTEM_PREFIX = "system:"
"""Accounts of the house begin with this; no customer's may."""
CREDITS_ISSUED = f"{SYSTEM_PREFIX}credits_issued"
"""The house's side of every credit posting: minus what customers hold."""

MOVEMENTS = ("topup", "refund_clawback", "refund_give_back", "dispute_clawback", "dispute_give_back", "grant")

ALERTS = ("ambiguous_order",)
"""What a decision may ask a person to look at without holding the event back; each has its runbook entry."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One posting: `amount` minor units of `unit`, above zero when the account gains."""

    account_id: str
    unit: str
    amount: int


@dataclass(frozen=True, slots=True)
class Movement:
    """One ledger transaction; unique by (source, movement, money object), whatever event brings it."""

    movement: str
    money_object: str
    legs: tuple[Leg, ...]

    def __post_init__(self) -> None:
        """Double entry, checked here as well as in the database: a bug must not get as far as a commit."""
        sums: dict[str, int] = {}
        for leg in self.legs:
            sums[leg.unit] = sums.get(leg.unit, 0) + leg.amount
        assert self.movement in MOVEMENTS, self.movement
        assert len(self.legs) >= 2, "double entry needs two legs"
        assert not any(sums.values()), "legs of a movement sum to zero in each unit"


def move_credits(movement: str, money_object: str, account_id: str, amount: int) -> Movement:
    """A movement of `amount` credits to (or, below zero, from) a customer's account."""
    legs = (Leg(account_id, CREDIT, amount), Leg(CREDITS_ISSUED, CREDIT, -amount))
    return Movement(movement, money_object, legs)


@dataclass(frozen=True, slots=True)
class Transition:
    """One journal entry: an object changed from one state (None: unknown before) to another by a named rule.

    `seq` is the object's version after the change. `money_before` and `money_after` hold the amounts it is
    about.
    """

    kind: str
    object_id: str
    seq: int
    from_state: str | None
    to_state: str
    rule: str
    money_before: dict[str, int] | None
    money_after: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class Alert:
    """Something about an object that a person should look at; `subject` is `kind:id`."""

    name: str
    subject: str
    detail: str

    def __post_init__(self) -> None:
        """An alert that the runbook does not know wakes people for nothing."""
        assert self.name in ALERTS, self.name


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one event. `state` is an event state of the contract, `reason` a short code.

    Only `applied` carries changed subjects, transitions and movements. `parked` names the key it waits for
    in `awaits` and for how long in `wait_s`. `wakes` are keys that others may wait for.
    """

    state: str
    reason: str | None = None
    detail: str | None = None
    awaits: str | None = None
    wait_s: float | None = None
    subjects: tuple[Subject, ...] = ()
    transitions: tuple[Transition, ...] = ()
    movements: tuple[Movement, ...] = ()
    wakes: tuple[str, ...] = ()
    alert: Alert | None = None


def ignored(reason: str) -> Decision:
    """Authentic, and nothing to do."""
    return Decision("ignored", reason)


def superseded(reason: str) -> Decision:
    """Says nothing that is not known already."""
    return Decision("superseded", reason)


def quarantined(reason: str, detail: str) -> Decision:
    """Should have had an effect and must not have one before a person has looked."""
    return Decision("quarantined", reason, detail)


def parked(reason: str, awaits: str, wait_s: float) -> Decision:
    """Came too early: waits for `awaits`."""
    return Decision("parked", reason, awaits=awaits, wait_s=wait_s)
