"""What a provider's event says about money, in our words; values only. A mapping makes them, `billing`
decides on them.

Amounts are integers in minor units of `currency` (ISO 4217, lower case); credits are whole credits.
"""

from __future__ import annotations

from msgspec import Struct

from billing.commands import Command
from billing.keys import (
    checkout_key,
    invoice_key,
    order_key,
    payment_key,
    refund_key,
    subscription_key,
    transfer_key,
)
from billing.terms import Terms


class Cause(Struct, frozen=True):
    """The event that brought a fact: where it came from and when the PSP says that it happened (unix
    seconds).
    """

    source: str
    event_id: str
    log_id: int
    psp_created: int


class TopUpPaid(Struct, frozen=True):
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


class TopUpEnded(Struct, frozen=True):
    """A purchase of credits ended unpaid: `status` is `expired` or `failed`."""

    id: str
    status: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The subjects that this is about."""
        return (checkout_key(self.id),)


class PaymentReported(Struct, frozen=True):
    """A payment has this status now: `pending`, `failed`, `canceled`, `succeeded` or `reversed` (voided after
    it was captured).

    `paid_minor` and `currency` are what was received; None where the event does not tell. `claim` is the key
    of what the payment says that it pays for, `terms` the whole agreement where it carries it.
    """

    id: str
    status: str
    paid_minor: int | None
    currency: str | None
    claim: str | None = None
    terms: Terms | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Whatever the payment is known to pay for, and what it says that it pays for."""
        return (payment_key(self.id), *(() if self.claim is None else (self.claim,)))


class RefundReported(Struct, frozen=True):
    """A refund of a payment has this status now. What an event leaves out is None; `own_id` is our id of a
    refund to which the PSP has given one of its own.
    """

    id: str
    payment_id: str | None
    amount_minor: int | None
    currency: str | None
    status: str
    own_id: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The subjects that this is about."""
        return (refund_key(self.id),) if self.payment_id is None else (payment_key(self.payment_id),)


class ChargeRefunded(Struct, frozen=True):
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


class DisputeReported(Struct, frozen=True):
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


class TransferReported(Struct, frozen=True):
    """A transfer to a seller is `amount_minor`, of which `reversed_minor` has been taken back; `order_id` is
    None where it names none.
    """

    id: str
    order_id: str | None
    destination: str
    amount_minor: int
    reversed_minor: int
    currency: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The order, by the transfer and by its own id."""
        return (transfer_key(self.id), *(() if self.order_id is None else (order_key(self.order_id),)))


class SubscriptionValues(Struct, frozen=True):
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


class SubscriptionReported(Struct, frozen=True):
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


class InvoiceValues(Struct, frozen=True):
    """What a PSP's invoice looks like; `status` is a state of the invoice machine, `paid_at` unix seconds by
    the PSP, set exactly when it is paid.
    """

    status: str
    amount_due_minor: int
    amount_paid_minor: int
    attempt_count: int
    paid_at: int | None


class InvoiceReported(Struct, frozen=True):
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


class NotForUs(Struct, frozen=True):
    """An authentic event that moves nothing of ours; `reason` is a short code."""

    reason: str

    @property
    def keys(self) -> tuple[str, ...]:
        """None."""
        return ()


class Unusable(Struct, frozen=True):
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
    | PaymentReported
    | RefundReported
    | ChargeRefunded
    | DisputeReported
    | SubscriptionReported
    | InvoiceReported
    | TransferReported
    | Command
    | NotForUs
    | Unusable
)
"""Everything that an event can mean."""
