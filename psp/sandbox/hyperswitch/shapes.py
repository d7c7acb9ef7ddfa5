"""Writes records in the shapes of Hyperswitch's API and webhooks; it must never change one.

Source: juspay/hyperswitch, crates/api_models: PaymentsResponse, RefundResponse, DisputeResponse.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .records import Dispute, Payment, Refund

CONNECTOR = "stripe_test"
"""The dummy processor behind the merchant."""
payment_open_s = 900
"""A client secret is good for a quarter of an hour."""
challenge_within_s = 777_600
"""Evidence is due nine days after a dispute opens."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who sells: the ids that every object and event carry."""

    id: str
    profile_id: str
    connector_id: str


def merchant_of(account: str) -> Merchant:
    """The merchant of a sandbox account, whose characters its ids carry."""
    return Merchant(f"merchant_{account}", f"pro_{account}", f"mca_{account}")


def iso(unix_ms: int) -> str:
    """`2026-11-21T13:55:02.007Z`."""
    at = dt.datetime.fromtimestamp(unix_ms // 1000, dt.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{unix_ms % 1000:03}Z"


def payment(
    record: Payment, merchant: Merchant, refunds: Iterable[Refund], disputes: Iterable[Dispute]
) -> dict[str, Any]:
    """A payment with what was reversed of it."""
    settled = record.status in {"succeeded", "partially_captured"}
    return {
        "payment_id": record.id,
        "merchant_id": merchant.id,
        "profile_id": merchant.profile_id,
        "status": record.status,
        "amount": record.amount,
        "net_amount": record.amount,
        "amount_capturable": _capturable(record),
        "amount_received": record.amount_captured if settled else None,
        "currency": record.currency,
        "capture_method": record.capture_method,
        "client_secret": record.client_secret,
        "created": iso(record.created_ms),
        "updated": iso(record.modified_ms),
        "expires_on": iso(record.created_ms + 1000 * payment_open_s),
        "customer_id": record.customer_id,
        "customer": {"id": record.customer_id} if record.customer_id is not None else None,
        "description": record.description,
        "return_url": record.return_url,
        "merchant_order_reference_id": record.merchant_order_reference_id,
        "metadata": record.metadata,
        "payment_method": "card" if record.card_last4 is not None else None,
        "payment_method_data": {"card": {"last4": record.card_last4}} if record.card_last4 else None,
        "next_action": {"type": "redirect_to_url"} if record.status == "requires_customer_action" else None,
        "connector": CONNECTOR if record.connector_transaction_id is not None else None,
        "connector_transaction_id": record.connector_transaction_id,
        "merchant_connector_id": merchant.connector_id if record.connector_transaction_id else None,
        "attempt_count": record.attempt_count,
        "cancellation_reason": record.cancellation_reason,
        "error_code": record.error_code,
        "error_message": record.error_message,
        "unified_code": "UE_9000" if record.error_code is not None else None,
        "unified_message": "Something went wrong" if record.error_code is not None else None,
        "mandate_id": None,
        "refunds": [refund(each, merchant) for each in refunds] or None,
        "disputes": [_dispute_of_payment(each) for each in disputes] or None,
    }


def _capturable(record: Payment) -> int:
    open_statuses = {
        "requires_payment_method",
        "requires_confirmation",
        "requires_customer_action",
        "requires_capture",
        "processing",
    }
    return record.amount if record.status in open_statuses else 0


def refund(record: Refund, merchant: Merchant) -> dict[str, Any]:
    """A refund."""
    return {
        "refund_id": record.id,
        "payment_id": record.payment_id,
        "amount": record.amount,
        "currency": record.currency,
        "status": record.status,
        "reason": record.reason,
        "metadata": record.metadata,
        "error_code": record.error_code,
        "error_message": record.error_message,
        "unified_code": "UE_9000" if record.error_code is not None else None,
        "unified_message": "Something went wrong" if record.error_code is not None else None,
        "created_at": iso(record.created_ms),
        "updated_at": iso(record.modified_ms),
        "connector": CONNECTOR,
        "profile_id": merchant.profile_id,
        "merchant_connector_id": merchant.connector_id,
    }


def dispute(record: Dispute, merchant: Merchant) -> dict[str, Any]:
    """A dispute. Its amount is a text of minor units, unlike all others."""
    return {
        "dispute_id": record.id,
        "payment_id": record.payment_id,
        "attempt_id": f"{record.payment_id}_1",
        "amount": str(record.amount),
        "currency": record.currency,
        "dispute_stage": "dispute",
        "dispute_status": record.status,
        "connector": CONNECTOR,
        "connector_status": record.status.removeprefix("dispute_"),
        "connector_dispute_id": record.connector_dispute_id,
        "connector_reason": record.reason,
        "connector_reason_code": None,
        "challenge_required_by": iso(record.created_ms + 1000 * challenge_within_s),
        "connector_created_at": iso(record.created_ms),
        "connector_updated_at": iso(record.modified_ms),
        "created_at": iso(record.created_ms),
        "profile_id": merchant.profile_id,
        "merchant_connector_id": merchant.connector_id,
    }


def _dispute_of_payment(record: Dispute) -> dict[str, Any]:
    return {
        "dispute_id": record.id,
        "dispute_stage": "dispute",
        "dispute_status": record.status,
        "connector_status": record.status.removeprefix("dispute_"),
        "connector_dispute_id": record.connector_dispute_id,
        "connector_reason": record.reason,
        "connector_reason_code": None,
        "challenge_required_by": iso(record.created_ms + 1000 * challenge_within_s),
        "connector_created_at": iso(record.created_ms),
        "connector_updated_at": iso(record.modified_ms),
        "created_at": iso(record.created_ms),
    }
