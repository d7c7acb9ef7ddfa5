"""Makes Stripe events for tests from the facts: our own shapes, newest API version, only the fields that
matter."""

from __future__ import annotations

import itertools
import json
import secrets
from typing import Any

API_VERSION = "2026-10-28.endive"
CREATED = 1_795_000_000
"""When the events of a test happen unless it says otherwise, unix seconds."""

_numbers = itertools.count(1)


def unique(prefix: str) -> str:
    """An id that no other test uses."""
    return f"{prefix}_{secrets.token_hex(6)}{next(_numbers)}"


def event(kind: str, subject: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An event of type `kind` about `subject`."""
    made = {
        "id": unique("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": CREATED,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        "data": {"object": subject},
    }
    return made | changes


def checkout(
    credits: object = 250, amount: int = 289, account: object = "cust_1", **changes: Any
) -> dict[str, Any]:
    """A paid checkout session that tops up `credits`."""
    number = unique("n")
    made = {
        "id": f"cs_test_{number}",
        "object": "checkout.session",
        "mode": "payment",
        "status": "complete",
        "payment_status": "paid",
        "amount_total": amount,
        "currency": "usd",
        "payment_intent": f"pi_{number}",
        "metadata": {"purpose": "credits_topup", "accountId": account, "credits": str(credits)},
    }
    return made | changes


def payment(
    credits: object = 250, amount: int = 289, account: object = "cust_1", **changes: Any
) -> dict[str, Any]:
    """A succeeded off-session payment that tops up `credits`."""
    made = {
        "id": unique("pi"),
        "object": "payment_intent",
        "status": "succeeded",
        "amount": amount,
        "amount_received": amount,
        "currency": "usd",
        "latest_charge": unique("ch"),
        "metadata": {
            "purpose": "credits_topup",
            "accountId": account,
            "credits": str(credits),
            "paymentMethod": "off_session",
        },
    }
    return made | changes


def order_payment(
    order_id: str, status: str = "succeeded", amount: int = 5000, **changes: Any
) -> dict[str, Any]:
    """A payment for an order of two licences; of `amount` its seller gets four fifths."""
    made = {
        "id": unique("pi"),
        "object": "payment_intent",
        "status": status,
        "amount": amount,
        "amount_received": amount if status == "succeeded" else 0,
        "currency": "usd",
        "metadata": {
            "purpose": "order",
            "orderId": order_id,
            "buyerId": "buyer_1",
            "sellerId": "seller_1",
            "sellerAmount": str(amount * 4 // 5),
            "licences": "font,font-italic",
        },
    }
    return made | changes


def plan_payment(subscription_id: str, status: str = "succeeded", **changes: Any) -> dict[str, Any]:
    """A payment for a subscription of our own to the plan `pro`."""
    metadata = {
        "purpose": "subscription",
        "subscriptionId": subscription_id,
        "accountId": "cust_1",
        "planId": "pro",
    }
    return order_payment(subscription_id, status, metadata=metadata) | changes


def transfer(order_id: str, amount: int = 4000, reversed_minor: int = 0, **changes: Any) -> dict[str, Any]:
    """A transfer of an order's money to its seller."""
    made = {
        "id": unique("tr"),
        "object": "transfer",
        "amount": amount,
        "amount_reversed": reversed_minor,
        "currency": "usd",
        "destination": "acct_seller",
        "transfer_group": order_id,
        "metadata": {"orderId": order_id},
    }
    return made | changes


def refund(payment_id: object, amount: int, status: str = "succeeded", **changes: Any) -> dict[str, Any]:
    """A refund of a payment."""
    made = {
        "id": unique("re"),
        "object": "refund",
        "amount": amount,
        "currency": "usd",
        "charge": unique("ch"),
        "payment_intent": payment_id,
        "status": status,
        "metadata": {},
    }
    return made | changes


def charge(payment_id: object, amount_refunded: int, refunds: list[dict[str, Any]] | None) -> dict[str, Any]:
    """A charge that has been refunded; `refunds` None leaves the list out, as newer API versions do."""
    made = {
        "id": unique("ch"),
        "object": "charge",
        "payment_intent": payment_id,
        "amount_refunded": amount_refunded,
        "currency": "usd",
        "refunded": True,
    }
    return (
        made
        if refunds is None
        else made | {"refunds": {"object": "list", "data": refunds, "has_more": False}}
    )


def dispute(
    payment_id: object, amount: int, status: str = "needs_response", **changes: Any
) -> dict[str, Any]:
    """A dispute of a payment."""
    made = {
        "id": unique("dp"),
        "object": "dispute",
        "amount": amount,
        "currency": "usd",
        "charge": unique("ch"),
        "payment_intent": payment_id,
        "status": status,
    }
    return made | changes


def subscription(status: str = "active", **changes: Any) -> dict[str, Any]:
    """A subscription as the newest API version shows it: its period stands in its item."""
    made = {
        "id": unique("sub"),
        "object": "subscription",
        "status": status,
        "customer": unique("cus"),
        "metadata": {"accountId": "cust_1"},
        "cancel_at_period_end": False,
        "items": {
            "object": "list",
            "data": [
                {
                    "id": unique("si"),
                    "price": {"id": "price_1", "object": "price"},
                    "current_period_start": CREATED,
                    "current_period_end": CREATED + 2_592_000,
                }
            ],
        },
        "trial_end": None,
        "canceled_at": None,
        "ended_at": None,
        "latest_invoice": None,
    }
    return made | changes


def invoice(
    subscription_id: object, status: str = "paid", amount: int = 2000, **changes: Any
) -> dict[str, Any]:
    """A subscription's invoice as the newest API version shows it: the subscription stands in `parent`."""
    made = {
        "id": unique("in"),
        "object": "invoice",
        "status": status,
        "amount_due": amount,
        "amount_paid": amount if status == "paid" else 0,
        "attempt_count": 1,
        "currency": "usd",
        "status_transitions": {"paid_at": CREATED + 60 if status == "paid" else None},
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": subscription_id},
        },
    }
    return made | changes


def update(kind: str, subject: dict[str, Any], previous: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An event that tells what its object looked like before."""
    return event(kind, subject, data={"object": subject, "previous_attributes": previous}, **changes)


def encode(body: object) -> bytes:
    """The bytes of an event as they go over the wire."""
    return json.dumps(body).encode()
