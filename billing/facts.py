"""What a provider's event says about money, in our words; values only. A mapping makes them, `billing`
decides on them.

Amounts are integers in minor units of `currency` (ISO 4217, lower case); credits are whole credits.
"""

from __future__ import annotations

from dataclasses import dataclass


def checkout_key(checkout_id: str) -> str:
    """The key of a purchase by its own id."""
    return f"checkout:{checkout_id}"


def payment_key(payment_id: str) -> str:
    """The key of whatever a payment paid."""
    return f"payment:{payment_id}"


def refunds_key(payment_id: str) -> str:
    """What an event waits for that only another refund of this payment can explain."""
    return f"refunds:{payment_id}"


def subscription_key(subscription_id: str) -> str:
    """The key of a subscription by its own id."""
    return f"subscription:{subscription_id}"


def invoice_key(invoice_id: str) -> str:
    """The key of a subscription's invoice by its own id."""
    return f"invoice:{invoice_id}"


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

    @property
    def keys(self) -> tuple[str, ...]:
        """The subjects that this is about."""
        return (checkout_key(self.id), *(() if self.payment_id is None else (payment_key(self.payment_id),)))


@dataclass(frozen=True, slots=True)
class TopUpEnded:
    """A purchase of credits ended unpaid: `status` is `expired` or `failed`."""

    id: str
    status: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The subjects that this is about."""
        return (checkout_key(self.id),)


@dataclass(frozen=True, slots=True)
class RefundReported:
    """A refund of a payment has this status now."""

    id: str
    payment_id: str
    amount_minor: int
    currency: str
    status: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The subjects that this is about."""
        return (payment_key(self.payment_id),)


@dataclass(frozen=True, slots=True)
class ChargeRefunded:
    """A charge has been refunded up to this sum; `refunds` are those the event lists, which newer versions do
    not.
    """

    payment_id: str
    amount_refunded_minor: int
    currency: str
    refunds: tuple[RefundReported, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The subjects that this is about."""
        return (payment_key(self.payment_id),)


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

    @property
    def keys(self) -> tuple[str, ...]:
        """The subjects that this is about."""
        return (payment_key(self.payment_id),)


@dataclass(frozen=True, slots=True)
class SubscriptionValues:
    """What a PSP's subscription looks like, in our words; times are unix seconds.

    `status` is a state of the subscription machine. `price_id` is the price, or in older versions the plan,
    of its first item.
    """

    status: str
    customer_id: str
    account_id: str | None
    price_id: str
    cancel_at_period_end: bool
    current_period_start: int
    current_period_end: int
    trial_end: int | None
    canceled_at: int | None
    ended_at: int | None
    latest_invoice_id: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionReported:
    """A subscription looks like this now. `kind` is created, changed or deleted; `before` is how it looked
    until this event, None where the event does not tell.
    """

    id: str
    kind: str
    values: SubscriptionValues
    before: SubscriptionValues | None

    @property
    def keys(self) -> tuple[str, ...]:
        """The subscription, and the invoice whose payment may decide its state."""
        latest = self.values.latest_invoice_id
        return (subscription_key(self.id), *(() if latest is None else (invoice_key(latest),)))


@dataclass(frozen=True, slots=True)
class InvoiceValues:
    """What a PSP's invoice looks like; `status` is a state of the invoice machine, `paid_at` unix seconds by
    the PSP, set exactly when it is paid.
    """

    status: str
    amount_due_minor: int
    amount_paid_minor: int
    attempt_count: int
    paid_at: int | None


@dataclass(frozen=True, slots=True)
class InvoiceReported:
    """An invoice of a subscription looks like this now; `kind` and `before` as for a subscription."""

    id: str
    kind: str
    subscription_id: str
    payment_id: str | None
    currency: str
    values: InvoiceValues
    before: InvoiceValues | None

    @property
    def keys(self) -> tuple[str, ...]:
        """The invoice and its subscription."""
        return (invoice_key(self.id), subscription_key(self.subscription_id))


@dataclass(frozen=True, slots=True)
class NotForUs:
    """An authentic event that moves nothing of ours; `reason` is a short code."""

    reason: str

    @property
    def keys(self) -> tuple[str, ...]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class Unusable:
    """An authentic event that should have moved something and cannot be read: `reason` is a short code."""

    reason: str
    detail: str

    @property
    def keys(self) -> tuple[str, ...]:
        """None."""
        return ()


Fact = (
    TopUpPaid
    | TopUpEnded
    | RefundReported
    | ChargeRefunded
    | DisputeReported
    | SubscriptionReported
    | InvoiceReported
    | NotForUs
    | Unusable
)
