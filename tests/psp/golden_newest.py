"""Says in one sentence each what Stripe's bodies of the newest API version mean to us, built from its own
example objects; must never copy more of them than ids and types.

`python -m tests.psp.golden_newest` writes `golden_newest.txt` anew; read its diff before you keep it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psp.reading import Expected
from psp.stripe import versions
from psp.stripe.mapping import read
from tests.psp.golden_stripe import numbers, told
from tests.support import stripe_events as made
from tests.support.payloads import stripe_fixtures

GOLDEN = Path(__file__).with_name("golden_newest.txt")
VERSION = f"{versions.NEWEST}.endive"

ORDER = {"purpose": "order", "orderId": "order_1", "buyerId": "buyer_1", "sellerId": "seller_1"}
PLAN = {"purpose": "subscription", "subscriptionId": "plan_1", "accountId": "buyer_1", "planId": "pro"}
TOPUP = {"purpose": "credits_topup", "accountId": "cust_1", "credits": "250"}
OF_SUBSCRIPTION = {
    "type": "subscription_details",
    "subscription_details": {"metadata": {}, "subscription": "sub_1"},
}
PAID_BY = {"object": "list", "data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]}
PERIOD = {"current_period_start": 1234567890, "current_period_end": 1237246290}

CHANGES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "an order was paid": (
        "payment_intent.succeeded",
        "payment_intent",
        {"status": "succeeded", "amount_received": 1099, "metadata": ORDER},
    ),
    "an order's payment was refused and may still be paid": (
        "payment_intent.payment_failed",
        "payment_intent",
        {"status": "requires_payment_method", "metadata": ORDER},
    ),
    "an order's payment was given up": (
        "payment_intent.canceled",
        "payment_intent",
        {"status": "canceled", "metadata": ORDER},
    ),
    "a plan's payment waits for its customer": (
        "payment_intent.requires_action",
        "payment_intent",
        {"status": "requires_action", "metadata": PLAN},
    ),
    "a payment of somebody else": ("payment_intent.succeeded", "payment_intent", {"status": "succeeded"}),
    "a payment in a state that is new": (
        "payment_intent.processing",
        "payment_intent",
        {"status": "teleported", "metadata": ORDER},
    ),
    "credits were paid off-session": (
        "payment_intent.succeeded",
        "payment_intent",
        {"status": "succeeded", "metadata": TOPUP | {"paymentMethod": "off_session"}},
    ),
    "credits were paid at a checkout": (
        "checkout.session.completed",
        "checkout.session",
        {
            "mode": "payment",
            "payment_status": "paid",
            "amount_total": 289,
            "currency": "usd",
            "payment_intent": "pi_1",
            "metadata": TOPUP,
        },
    ),
    "a refund of a payment": ("refund.created", "refund", {"payment_intent": "pi_1"}),
    "a refund that we asked for failed late": (
        "refund.failed",
        "refund",
        {"payment_intent": "pi_1", "status": "failed", "metadata": {"refundId": "own_1"}},
    ),
    "a refund of an old charge": ("refund.created", "refund", {}),
    "a charge was refunded and lists nothing": (
        "charge.refunded",
        "charge",
        {"payment_intent": "pi_1", "amount_refunded": 100},
    ),
    "a dispute took its money": (
        "charge.dispute.funds_withdrawn",
        "dispute",
        {"payment_intent": "pi_1", "status": "needs_response"},
    ),
    "a dispute in a state that is new": (
        "charge.dispute.updated",
        "dispute",
        {"payment_intent": "pi_1", "status": "teleported"},
    ),
    "a transfer to the seller of an order": (
        "transfer.created",
        "transfer",
        {"metadata": {"orderId": "order_1"}, "transfer_group": "group_pi_1"},
    ),
    "a transfer of an order's group was taken back in part": (
        "transfer.reversed",
        "transfer",
        {"transfer_group": "order_1", "amount_reversed": 100},
    ),
    "a transfer of nobody's order": ("transfer.created", "transfer", {}),
    "a subscription began": (
        "customer.subscription.created",
        "subscription",
        {
            "status": "incomplete",
            "items": {"object": "list", "data": [{"id": "si_1", "price": {"id": "price_1"}, **PERIOD}]},
        },
    ),
    "an invoice of a subscription was paid": (
        "invoice.paid",
        "invoice",
        {
            "status": "paid",
            "parent": OF_SUBSCRIPTION,
            "payments": PAID_BY,
            "status_transitions": {"paid_at": 1234567890},
        },
    ),
    "an invoice of no subscription was paid": ("invoice.paid", "invoice", {"status": "paid", "parent": None}),
}
"""What is told, by which type of event, about which example object, and what differs from the example."""


def bodies() -> dict[str, tuple[dict[str, Any], frozenset[int]]]:
    """Events by what they tell, each with the numbers of its example; skips where the examples are absent."""
    examples = stripe_fixtures()
    found: dict[str, tuple[dict[str, Any], frozenset[int]]] = {}
    for name, (event_type, kind, changes) in CHANGES.items():
        event = made.event(event_type, examples[kind] | changes, api_version=VERSION)
        found[name] = event, frozenset(numbers(examples[kind]))
    return found


def text() -> str:
    """The golden file as it is now."""
    return "".join(
        f"{name[0].upper()}{name[1:]} ({event['type']}): {told(read(made.encode(event), Expected()), sent)}\n"
        for name, (event, sent) in bodies().items()
    )


if __name__ == "__main__":
    GOLDEN.write_text(text(), encoding="utf-8")
