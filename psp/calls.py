"""What a call to a PSP is and how it can end, in words that every provider shares: values only, no I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from billing.commands import (
    CheckoutOpened,
    CheckoutRefused,
    PaymentOpened,
    PaymentRefused,
    RefundCallEnded,
    ReversalEnded,
)
from billing.decision import PspCall

type_ended = (
    PaymentOpened | PaymentRefused | CheckoutOpened | CheckoutRefused | RefundCallEnded | ReversalEnded
)
"""What our own side has to say of a call that has ended."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened for a customer: the PSP's id, and what completes it, the payment's client secret or the
    address of its page. That goes to the customer and to nobody else: no row, no log.
    """

    id: str
    secret: str = field(repr=False)


class NotShownError(Exception):
    """What was opened could not be read; `kind` is a type or code, `our_fault` as of `Transient`."""

    def __init__(self, kind: str, our_fault: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.our_fault = our_fault


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """What was read at the PSP, told as an event of the PSP; `event_id` is the same whenever it is read
    again.
    """

    event_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The PSP did it, or had done it before: `ended` and `read` are what the log is to hear, `opened` is for
    whoever waits for it.
    """

    ended: type_ended | None = None
    read: tuple[ReadEvent, ...] = ()
    opened: Opened | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The PSP will never do it; `error` is a type or code, never the PSP's text."""

    error: str
    ended: type_ended | None = None


@dataclass(frozen=True, slots=True)
class Transient:
    """Not done, or nobody knows: to be tried again with the same key.

    `unwell`: the PSP as a whole is in trouble (no answer, 429, 5xx, our key), so that other calls would fail
    as well. `retry_after_s` is what the PSP asked for. `our_fault`: it is about our key or our question, so
    that a person has to mend it first.
    """

    error: str
    unwell: bool
    retry_after_s: float | None = None
    our_fault: bool = False


Outcome = Done | Refused | Transient


type_taken = Callable[[Sequence[str]], Awaitable[set[str]]]
"""Tells which of these ids of a PSP belong to another call of the same kind already."""


class Caller(Protocol):
    """What the outbox needs of a provider.

    `open_payment`: `object_id` is our order or subscription; arguments `claim` (its key), `amount_minor`,
    `currency`, `placed_at` (unix seconds, before which nothing was opened). `open_checkout`: `object_id` is
    our own id of the purchase; arguments `account_id`, `credits`, `amount_minor`, `currency`, `success_url`,
    `placed_at`.
    `reverse_transfer`: `object_id` is the PSP's transfer; arguments `amount_minor` (absent: all of it).
    `create_refund`: `object_id` is our refund id; arguments `payment_id` (the PSP's), `amount_minor` (absent:
    all that is left). `read_object`: `object_id` is the PSP's; argument `object`: `subscription` or
    `invoice`. `read_refunds`: `object_id` is the PSP's payment.
    """

    async def do(self, call: PspCall, attempts: int, now: int, taken: type_taken) -> Outcome:
        """Make the call; `attempts` counts this one, `now` is its start in unix seconds, `taken` helps to
        find what an earlier attempt has left behind.

        Whatever the PSP answers is an Outcome; an exception means that the call itself is at fault.
        """
        ...

    async def show(self, kind: str, made_id: str) -> Opened:
        """What a call of this kind has opened under this id of the PSP, with its secret. Raises
        NotShownError.
        """
        ...


def given_up(source: str, call: PspCall) -> type_ended | None:
    """What is to be said of a call whose last attempt has failed too.

    Nothing of a refund: it may have been made all the same, and another one in its place would pay twice. A
    payment that was opened all the same costs nobody anything, and if it is paid that counts.
    """
    return refused(source, call, "given_up") if call.kind != "create_refund" else None


def refused(source: str, call: PspCall, reason: str) -> type_ended | None:
    """What is to be said of a call that the PSP will never do."""
    match call.kind:
        case "open_payment":
            return PaymentRefused(source, str(call.arguments["claim"]), reason)
        case "open_checkout":
            return CheckoutRefused(source, call.object_id, reason)
        case "create_refund":
            return RefundCallEnded(source, call.object_id, None)
        case "reverse_transfer":
            return ReversalEnded(source, call.object_id, "permanently_failed")
        case _:
            return None
