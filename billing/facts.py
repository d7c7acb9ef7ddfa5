"""What a provider's event says about money, in our words; values only. A mapping makes them, `billing`
decides on them.

Amounts are integers in minor units of `currency` (ISO 4217, lower case); credits are whole credits.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """The event that brought a fact: where it came from and when the PSP says that it happened (unix
    seconds).
    """

    source: str
    event_id: str
    log_id: int
    psp_created: int


@dataclass(frozen=True, slots=True)
class TopUpPaid:
    """A purchase of credits was paid: through a hosted checkout, or off-session by its payment alone."""

    id: str
    kind: str
    payment_id: str | None
    account_id: str
    credits: int
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class TopUpEnded:
    """A purchase of credits ended unpaid: `status` is `expired` or `failed`."""

    id: str
    status: str


@dataclass(frozen=True, slots=True)
class RefundReported:
    """A refund of a payment has this status now."""

    id: str
    payment_id: str
    amount_minor: int
    currency: str
    status: str


@dataclass(frozen=True, slots=True)
class ChargeRefunded:
    """A charge has been refunded up to this sum; `refunds` are those the event lists, which newer versions do
    not.
    """

    payment_id: str
    amount_refunded_minor: int
    currency: str
    refunds: tuple[RefundReported, ...]


@dataclass(frozen=True, slots=True)
class DisputeReported:
    """A dispute of a payment has this status now; `funds` is `withdrawn` or `reinstated` where money
    moved.
    """

    id: str
    payment_id: str
    amount_minor: int
    currency: str
    status: str
    funds: str | None


@dataclass(frozen=True, slots=True)
class NotForUs:
    """An authentic event that moves nothing of ours; `reason` is a short code."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """An authentic event that should have moved something and cannot be read: `reason` is a short code."""

    reason: str
    detail: str


Fact = TopUpPaid | TopUpEnded | RefundReported | ChargeRefunded | DisputeReported | NotForUs | Unusable
