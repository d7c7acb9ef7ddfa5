"""Hyperswitch's event bodies after its published schema (api_models: OutgoingWebhook, PaymentsResponse,
RefundResponse, DisputeResponse), and the flat ones of older integrations; our own values.
"""

from __future__ import annotations

import json
from typing import Any

MERCHANT = "merchant_1761130000"
TIMESTAMP = "2026-11-18T10:00:00.000Z"

ORDER = {
    "purpose": "order",
    "orderId": "order_1",
    "buyerId": "buyer_1",
    "sellerId": "seller_1",
    "sellerAmount": "4000",
    "licences": "font, font-italic",
}
PLAN = {"purpose": "subscription", "subscriptionId": "plan_1", "accountId": "buyer_1", "planId": "pro"}


def payment(status: str = "succeeded", **changes: Any) -> dict[str, Any]:
    """A PaymentsResponse, as far as anybody here reads or might misread it."""
    received = 5000 if status in ("succeeded", "cancelled_post_capture") else None
    made: dict[str, Any] = {
        "payment_id": "pay_1",
        "merchant_id": MERCHANT,
        "profile_id": "pro_1",
        "status": status,
        "amount": 5000,
        "net_amount": 5000,
        "amount_capturable": 0,
        "amount_received": received,
        "currency": "USD",
        "customer_id": "cust_1",
        "connector": "stripe_test",
        "connector_transaction_id": "pi_9",
        "refunds": None,
        "disputes": None,
        "mandate_id": None,
        "metadata": None,
        "error_code": None,
        "error_message": None,
        "created": "2026-11-18T09:58:00.000Z",
        "updated": "2026-11-18T09:59:59.000Z",
    }
    return made | changes


def refund(status: str = "succeeded", **changes: Any) -> dict[str, Any]:
    """A RefundResponse."""
    made: dict[str, Any] = {
        "refund_id": "ref_1",
        "payment_id": "pay_1",
        "amount": 2000,
        "currency": "USD",
        "status": status,
        "reason": "requested_by_customer",
        "metadata": None,
        "error_message": None,
        "error_code": None,
        "created_at": "2026-11-18T09:58:00.000Z",
        "updated_at": "2026-11-18T09:59:59.000Z",
        "connector": "stripe_test",
        "profile_id": "pro_1",
    }
    return made | changes


def dispute(status: str = "dispute_opened", **changes: Any) -> dict[str, Any]:
    """A DisputeResponse; its amount is text."""
    made: dict[str, Any] = {
        "dispute_id": "dp_1",
        "payment_id": "pay_1",
        "attempt_id": "pay_1_1",
        "amount": "5000",
        "currency": "USD",
        "dispute_stage": "dispute",
        "dispute_status": status,
        "connector": "stripe_test",
        "connector_status": "needs_response",
        "connector_dispute_id": "dp_9",
        "connector_reason": "fraudulent",
        "challenge_required_by": "2026-12-01T00:00:00.000Z",
        "created_at": "2026-11-18T09:58:00.000Z",
        "profile_id": "pro_1",
    }
    return made | changes


def event(event_type: str, family: str, subject: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A native event about `subject`."""
    made: dict[str, Any] = {
        "merchant_id": MERCHANT,
        "event_id": "evt_1",
        "event_type": event_type,
        "content": {"type": family, "object": subject},
        "timestamp": TIMESTAMP,
    }
    return made | changes


def flat(event_type: str, **fields: Any) -> dict[str, Any]:
    """A body of an older integration: everything stands at the top."""
    return {"event_id": "evt_1", "event_type": event_type, **fields}


def encode(body: object) -> bytes:
    """The bytes as they go over the wire."""
    return json.dumps(body).encode()


def _payments() -> dict[str, dict[str, Any]]:
    details = "payment_details"
    told = {
        "a payment succeeded": ("payment_succeeded", payment()),
        "a payment failed": ("payment_failed", payment("failed", error_code="card_declined")),
        "a payment is processing": ("payment_processing", payment("processing")),
        "a payment was cancelled": ("payment_cancelled", payment("cancelled")),
        "a payment was cancelled after its capture": (
            "payment_cancelled_post_capture",
            payment("cancelled_post_capture"),
        ),
        "a payment is authorized": ("payment_authorized", payment("requires_capture")),
        "a part of a payment is authorized": (
            "payment_partially_authorized",
            payment("partially_authorized_and_requires_capture"),
        ),
        "a part of a payment was captured": (
            "payment_captured",
            payment("partially_captured", amount_received=3000),
        ),
        "a part of a payment was captured and more may be": (
            "payment_captured",
            payment("partially_captured_and_capturable", amount_received=1000),
        ),
        "a payment has expired": ("payment_expired", payment("expired")),
        "a customer must act": ("action_required", payment("requires_customer_action")),
        "a merchant must act": ("action_required", payment("requires_merchant_action")),
        "a payment is conflicted": ("payment_processing", payment("conflicted")),
        "a payment that embeds refunds stays a payment": (
            "payment_succeeded",
            payment(refunds=[refund()], disputes=[dispute()], refund_id="ref_1"),
        ),
        "an order was paid": ("payment_succeeded", payment(metadata=ORDER)),
        "a plan was paid": ("payment_succeeded", payment(metadata=PLAN)),
        "an order's payment failed": ("payment_failed", payment("failed", metadata=ORDER)),
        "an order without its buyer names the order only": (
            "payment_succeeded",
            payment(metadata={"purpose": "order", "orderId": "order_1"}),
        ),
        "an order for the house itself": (
            "payment_succeeded",
            payment(metadata={**ORDER, "buyerId": "system:psp_clearing"}),
        ),
        "a type that is new with a status that is not": ("payment_adjusted", payment()),
    }
    return {name: event(event_type, details, subject) for name, (event_type, subject) in told.items()}


def _refunds_and_disputes() -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {
        "a refund succeeded": event("refund_succeeded", "refund_details", refund()),
        "a refund failed": event("refund_failed", "refund_details", refund("failed", error_code="late")),
        "a refund is in review": event("refund_pending", "refund_details", refund("review")),
        "a refund carries our id": event(
            "refund_succeeded", "refund_details", refund(metadata={"refundId": "own_1"})
        ),
        "a refund without its id": event("refund_succeeded", "refund_details", refund(refund_id=None)),
        "a refund of nothing": event("refund_succeeded", "refund_details", refund(amount=0)),
        "a refund in a state that is new": event("refund_succeeded", "refund_details", refund("teleported")),
        "a refund that calls itself a payment": event("payment_succeeded", "refund_details", refund()),
    }
    for word in ("opened", "challenged", "expired", "accepted", "cancelled", "won", "lost"):
        status = f"dispute_{word}"
        told[f"a dispute was {word}"] = event(status, "dispute_details", dispute(status))
    told["a dispute in a state that is new"] = event(
        "dispute_opened", "dispute_details", dispute("dispute_postponed")
    )
    told["a dispute whose amount is no number"] = event(
        "dispute_opened", "dispute_details", dispute(amount="50.00")
    )
    return told


def _others() -> dict[str, dict[str, Any]]:
    return {
        "a mandate became active": event("mandate_active", "mandate_details", {"mandate_id": "man_1"}),
        "a payout succeeded": event("payout_success", "payout_details", {"payout_id": "po_1"}),
        "an invoice of Hyperswitch's own subscription was paid": event(
            "invoice_paid", "subscription_details", {"id": "sub_1", "status": "active"}
        ),
        "a family that is new": event("voucher_printed", "voucher_details", {"voucher_id": "v_1"}),
        "a dotted name": event("Payment.Succeeded", "payment_details", payment()),
        "a dotted name of a refund": event("refund.succeeded", "refund_details", refund()),
        "an object beside the type": flat("refund.succeeded", object=refund()),
        "a flat payment": flat("payment.succeeded", payment_id="pay_1", status="succeeded"),
        "a flat payment by its type alone": flat("payment.failed", payment_id="pay_1"),
        "a flat refund": flat("refund.succeeded", refund_id="ref_1", status="succeeded"),
        "a flat refund that is processing": flat("refund.processing", refund_id="ref_1"),
        "a flat refund without its id": flat("refund.succeeded", payment_id="pay_1"),
        "a flat payment that names a refund": flat(
            "payment.succeeded", payment_id="pay_1", refund_id="ref_1", status="succeeded"
        ),
        "a flat dispute": flat(
            "dispute.won", dispute_id="dp_1", payment_id="pay_1", amount="100", currency="EUR"
        ),
        "a subscription's name of another product": flat(
            "subscription.payment_succeeded", payment_id="pay_1", status="succeeded"
        ),
    }


BODIES: dict[str, dict[str, Any]] = {**_payments(), **_refunds_and_disputes(), **_others()}
"""Bodies by what they tell."""
