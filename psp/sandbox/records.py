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
    """The bytes that are delivered and what became of them. `seq` is the event's place."""

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


class SavedAnswer(msgspec.Struct, kw_only=True):
    """The answer that an idempotency key repeats."""

    key: str
    created: int
    request_sha256: str
    request_id: str
    status: int
    body: bytes


Record = CheckoutSession | PaymentIntent | Charge | Refund | Dispute | Movement | Event | SavedAnswer
