"""The records of the Hyperswitch-shaped merchant, one struct per table row; they must never hold what a shape
can derive.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Payment(msgspec.Struct, kw_only=True):
    """One payment over all its attempts. Amounts in minor units, times in unix milliseconds."""

    seq: int = 0
    id: str
    created_ms: int
    modified_ms: int
    amount: int
    currency: str
    status: str
    capture_method: str
    amount_captured: int = 0
    attempt_count: int = 1
    client_secret: str
    customer_id: str | None = None
    description: str | None = None
    return_url: str | None = None
    merchant_order_reference_id: str | None = None
    metadata: dict[str, Any] | None = None
    card_last4: str | None = None
    connector_transaction_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    cancellation_reason: str | None = None


class Refund(msgspec.Struct, kw_only=True):
    """Money on its way back; `review` waits for a person at the PSP."""

    seq: int = 0
    id: str
    created_ms: int
    modified_ms: int
    payment_id: str
    amount: int
    currency: str
    status: str
    metadata: dict[str, Any] | None = None
    reason: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class Dispute(msgspec.Struct, kw_only=True):
    """A chargeback; its status is the name of its last event."""

    seq: int = 0
    id: str
    created_ms: int
    modified_ms: int
    payment_id: str
    amount: int
    currency: str
    status: str
    reason: str
    connector_dispute_id: str


class Told(msgspec.Struct, kw_only=True):
    """An event as the events API knows it."""

    id: str
    object_id: str
    type: str
    # `class` is a word of Python's.
    kind: str = msgspec.field(name="class")
    created_ms: int
    delivered_at: int | None
    attempts: int
    body: bytes


Record = Payment | Refund | Dispute
TABLES: dict[type, str] = {
    Payment: "hyperswitch_payment",
    Refund: "hyperswitch_refund",
    Dispute: "hyperswitch_dispute",
}
