"""What a call to a PSP is and how it can end, in words that every provider shares: values only, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from billing.commands import RefundCallEnded, ReversalEnded
from billing.decision import PspCall

type_ended = RefundCallEnded | ReversalEnded
"""What our own side has to say of a call that has ended."""


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """What was read at the PSP, told as an event of the PSP; `event_id` is the same whenever it is read
    again.
    """

    event_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The PSP did it, or had done it before: `ended` and `read` are what the log is to hear."""

    ended: type_ended | None = None
    read: tuple[ReadEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The PSP will never do it; `error` is a type or code, never the PSP's text."""

    error: str
    ended: type_ended | None = None


@dataclass(frozen=True, slots=True)
class Transient:
    """Not done, or nobody knows: to be tried again with the same key.

    `unwell`: the PSP as a whole is in trouble (no answer, 429, 5xx, our key), so that other calls would fail
    as well. `retry_after_s` is what the PSP asked for.
    """

    error: str
    unwell: bool
    retry_after_s: float | None = None


Outcome = Done | Refused | Transient


class Caller(Protocol):
    """What the outbox needs of a provider.

    `reverse_transfer`: `object_id` is the PSP's transfer; arguments `amount_minor` (absent: all of it).
    `create_refund`: `object_id` is our refund id; arguments `payment_id` (the PSP's), `amount_minor` (absent:
    all that is left). `read_object`: `object_id` is the PSP's; argument `object`: `subscription` or
    `invoice`. `read_refunds`: `object_id` is the PSP's payment.
    """

    async def do(self, call: PspCall, attempts: int, now: int) -> Outcome:
        """Make the call; `attempts` counts this one, `now` is its start in unix seconds.

        Whatever the PSP answers is an Outcome; an exception means that the call itself is at fault.
        """
        ...


def given_up(source: str, call: PspCall) -> type_ended | None:
    """What is to be said of a call whose last attempt has failed too.

    Nothing of a refund: it may have been made all the same, and another one in its place would pay twice.
    """
    if call.kind == "reverse_transfer":
        return ReversalEnded(source, call.object_id, "permanently_failed")
    return None
