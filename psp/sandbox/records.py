"""The sandbox's own records, one struct per table row; they must never hold what a shape can derive."""

from __future__ import annotations

from typing import Any

import msgspec


class CheckoutSession(msgspec.Struct, kw_only=True):
    """One checkout. Amounts in minor units, times in unix seconds."""

    id: str
    created: int
    expires_at: int
    status: str
    payment_status: str
    amount_total: int
    currency: str
    success_url: str | None = None
    cancel_url: str | None = None
    client_reference_id: str | None = None
    customer: str | None = None
    customer_email: str | None = None
    metadata: dict[str, str]
    intent_metadata: dict[str, str]
    line_items: list[dict[str, Any]]
    payment_intent: str | None = None


class PaymentIntent(msgspec.Struct, kw_only=True):
    """One payment. `checkout_session` is None for a payment that was made without a checkout."""

    id: str
    created: int
    amount: int
    currency: str
    status: str
    metadata: dict[str, str]
    client_secret: str
    checkout_session: str | None = None
    customer: str | None = None
    description: str | None = None
    payment_method: str | None = None
    payment_method_type: str = "card"
    latest_charge: str | None = None
    last_error: str | None = None
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    transfer_group: str | None = None


class Charge(msgspec.Struct, kw_only=True):
    """One attempt to take money. `amount_refunded` counts succeeded refunds that have not failed since."""

    id: str
    created: int
    payment_intent: str
    amount: int
    currency: str
    status: str
    metadata: dict[str, str]
    customer: str | None = None
    payment_method: str
    payment_method_type: str
    failure_code: str | None = None
    amount_refunded: int = 0
    disputed: bool = False
    transfer_group: str | None = None


class Refund(msgspec.Struct, kw_only=True):
    """Money sent back; `reference_status` of a card refund becomes `available` when the bank has named it."""

    id: str
    created: int
    charge: str
    payment_intent: str
    amount: int
    currency: str
    status: str
    metadata: dict[str, str]
    reason: str | None = None
    failure_reason: str | None = None
    reference_status: str = "pending"


class Dispute(msgspec.Struct, kw_only=True):
    """A chargeback, or an inquiry that moves no money."""

    id: str
    created: int
    charge: str
    payment_intent: str
    amount: int
    currency: str
    status: str
    reason: str
    evidence_submitted: bool = False
    funds_withdrawn: bool = False
    funds_reinstated: bool = False


class Price(msgspec.Struct, kw_only=True):
    """What one unit costs per interval (`day`, `week`, `month`, `year`)."""

    id: str
    created: int
    currency: str
    unit_amount: int
    interval: str
    product: str
    nickname: str | None = None
    metadata: dict[str, str]


class Subscription(msgspec.Struct, kw_only=True):
    """A subscription to one price. `item` is the id of its one line, `trial_end` stays after the trial."""

    id: str
    created: int
    customer: str
    status: str
    item: str
    price: str
    quantity: int
    currency: str
    metadata: dict[str, str]
    default_payment_method: str | None = None
    current_period_start: int
    current_period_end: int
    trial_end: int | None = None
    cancel_at_period_end: bool = False
    canceled_at: int | None = None
    ended_at: int | None = None
    latest_invoice: str | None = None


class Invoice(msgspec.Struct, kw_only=True):
    """An invoice of a subscription for one period. `payment` is the id that ties it to its payment intent,
    which an invoice over nothing does not have.
    """

    id: str
    created: int
    subscription: str
    customer: str
    status: str
    billing_reason: str
    number: str
    amount_due: int
    amount_paid: int = 0
    currency: str
    subscription_metadata: dict[str, str]
    period_start: int
    period_end: int
    attempt_count: int = 0
    payment: str
    payment_intent: str | None = None
    finalized_at: int | None = None
    paid_at: int | None = None
    voided_at: int | None = None


class Transfer(msgspec.Struct, kw_only=True):
    """Money passed on to a connected account; `amount_reversed` of it has come back. `chaos_number` is
    that of its first event and decides how its reversals fare.
    """

    id: str
    created: int
    amount: int
    amount_reversed: int = 0
    currency: str
    destination: str
    description: str | None = None
    transfer_group: str | None = None
    source_transaction: str | None = None
    metadata: dict[str, str]
    chaos_number: int


class TransferReversal(msgspec.Struct, kw_only=True):
    """Money that a connected account has given back."""

    id: str
    created: int
    transfer: str
    amount: int
    currency: str
    metadata: dict[str, str]


class Movement(msgspec.Struct, kw_only=True):
    """Money from one account to another; every change of money is exactly one of these."""

    id: str
    created: int
    kind: str
    source: str
    amount: int
    currency: str
    payer: str
    payee: str


class Event(msgspec.Struct, kw_only=True):
    """The bytes that are delivered and what became of them. `seq` is the event's place, `chaos_index` the
    number that decided its misfortunes: negative beside the plan, see `Turn.emit`. `psp` is told by the
    queries that deliver.
    """

    seq: int = 0
    id: str
    type: str
    created: int
    object_id: str
    body: bytes
    body_sha256: str
    chaos_index: int
    dropped: bool = False
    delivered_at: int | None = None
    gave_up: bool = False
    attempts: int = 0
    acknowledged: int = 0
    conflict_sha256: str | None = None
    conflict_acknowledged: int = 0
    psp: str = "stripe"


class SavedAnswer(msgspec.Struct, kw_only=True):
    """The answer that an idempotency key repeats."""

    key: str
    created: int
    request_sha256: str
    request_id: str
    status: int
    body: bytes


Record = (
    CheckoutSession
    | PaymentIntent
    | Charge
    | Refund
    | Dispute
    | Price
    | Subscription
    | Invoice
    | Transfer
    | TransferReversal
    | Movement
    | Event
    | SavedAnswer
)
