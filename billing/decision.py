"""What a decision consists of: an outcome, journal entries, movements of money. Values only; the worker
writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from msgspec import Struct, field

from billing.subject import Subject

CREDIT = "credit"
SYSTEM_PREFIX = "system:"
"""Accounts of the house begin with this; no customer's may."""
CREDITS_ISSUED = f"{SYSTEM_PREFIX}credits_issued"
"""Minus the credits that customers were ever given: what they hold, and what they have used up."""
CREDITS_SPENT = f"{SYSTEM_PREFIX}credits_spent"
"""What customers have used up."""
PSP_CLEARING = f"{SYSTEM_PREFIX}psp_clearing"
"""What PSPs hold for us, below zero: buyers' payments came in there, refunds and transfers went out."""
PLATFORM_FEES = f"{SYSTEM_PREFIX}platform_fees"
"""What the house keeps of orders."""

MOVEMENTS = (
    "topup",
    "refund_clawback",
    "refund_give_back",
    "dispute_clawback",
    "dispute_give_back",
    "grant",
    "sale",
    "sale_reversal",
    "transfer",
    "transfer_reversal",
    "spend",
    "spend_reversal",
)

ALERTS = ("ambiguous_order", "unseen_api_version", "unknown_value")
"""What an event may ask a person to look at without being held back by it; each has its runbook entry."""

PSP_CALLS = (
    "open_payment",
    "open_checkout",
    "reverse_transfer",
    "create_refund",
    "read_object",
    "read_refunds",
)
"""What a decision may want done at a PSP."""


class Leg(Struct, frozen=True):
    """One posting: `amount` minor units of `unit`, above zero when the account gains."""

    account_id: str
    unit: str
    amount: int


class Movement(Struct, frozen=True):
    """One ledger transaction; unique by (source, movement, money object, moved at), whatever event brings it.

    `moved_at` is the PSP's second where an object can move its money this way again, else 0.
    """

    movement: str
    money_object: str
    legs: tuple[Leg, ...]
    moved_at: int = 0

    def __post_init__(self) -> None:
        """Double entry, checked here as well as in the database: a bug must not get as far as a commit."""
        sums: dict[str, int] = {}
        for leg in self.legs:
            sums[leg.unit] = sums.get(leg.unit, 0) + leg.amount
        assert self.movement in MOVEMENTS, self.movement
        assert len(self.legs) >= 2, "double entry needs two legs"
        assert not any(sums.values()), "legs of a movement sum to zero in each unit"


def move(
    movement: str, money_object: str, unit: str, amounts: Mapping[str, int], moved_at: int = 0
) -> Movement | None:
    """A movement of `unit` between accounts, each with what it gains; None where nothing moves."""
    legs = tuple(Leg(account_id, unit, amount) for account_id, amount in amounts.items() if amount != 0)
    return Movement(movement, money_object, legs, moved_at) if legs else None


def move_credits(
    movement: str,
    money_object: str,
    account_id: str,
    amount: int,
    moved_at: int = 0,
    against: str = CREDITS_ISSUED,
) -> Movement:
    """A movement of `amount` credits to (or, below zero, from) a customer's account, `against` one of the
    house's.
    """
    legs = (Leg(account_id, CREDIT, amount), Leg(against, CREDIT, -amount))
    return Movement(movement, money_object, legs, moved_at)


class Transition(Struct, frozen=True):
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


class Alert(Struct, frozen=True):
    """Something about an object that a person should look at; `subject` is `kind:id`."""

    name: str
    subject: str
    detail: str

    def __post_init__(self) -> None:
        """An alert that the runbook does not know wakes people for nothing."""
        assert self.name in ALERTS, self.name


class PspCall(Struct, frozen=True):
    """Something to be done at a PSP once the decision is committed: staged in the same transaction.

    `object_id` is what it is about; `idempotency_key` names this one intent, however often it is tried, and
    staging a known one again stages nothing. `arguments` hold ids and amounts, never a secret.
    """

    kind: str
    object_id: str
    idempotency_key: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        """A call that no worker knows would wait for ever; one without a key could be done twice."""
        assert self.kind in PSP_CALLS, self.kind
        assert self.idempotency_key, "a call needs its key"


CUSTOMER_FIRST_S = 5.0
"""What a customer waits for is tried at once by whoever the customer asks; so long the workers leave it."""

S_co = TypeVar("S_co", bound=Subject, covariant=True)


class Settled(Struct, Generic[S_co], frozen=True):
    """A subject after a change, and everything else that the change does."""

    subject: S_co
    transitions: tuple[Transition, ...]
    movements: tuple[Movement, ...] = ()
    calls: tuple[PspCall, ...] = ()


class Decision(Struct, frozen=True):
    """The outcome for one event. `state` is an event state of the contract, `reason` a short code.

    Only `applied` carries changed subjects, transitions and movements. `parked` names the key it waits for
    in `awaits` and for how long in `wait_s`. `wakes` are keys that others may wait for, `calls` what is to be
    done at the PSP.
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
    calls: tuple[PspCall, ...] = ()


def ignored(reason: str) -> Decision:
    """Authentic, and nothing to do."""
    return Decision("ignored", reason)


def superseded(reason: str) -> Decision:
    """Says nothing that is not known already."""
    return Decision("superseded", reason)


def quarantined(reason: str, detail: str) -> Decision:
    """Should have had an effect and must not have one before a person has looked."""
    return Decision("quarantined", reason, detail)


def unknown_currency(code: str) -> Decision:
    """Something is said in money that we cannot book; the database would refuse it without saying why."""
    return quarantined("unknown_currency", f"{code} is no currency that we know")


def parked(reason: str, awaits: str, wait_s: float) -> Decision:
    """Came too early: waits for `awaits`."""
    return Decision("parked", reason, awaits=awaits, wait_s=wait_s)
