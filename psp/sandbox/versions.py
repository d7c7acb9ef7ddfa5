"""API versions: the old shape of what the newest one shows, and what changed between two shapes; pure.

On 2025-03-31 a subscription's period moved to its items, an invoice's subscription to `parent` and its
payment to `payments`; payments and charges lost their `invoice`. Source: Stripe's API reference.
"""

from __future__ import annotations

from typing import Any

api_version = "2026-10-28.endive"
"""The version in whose shape every answer is written: the newest one of the client library."""
OLD_VERSION = "2024-06-20"
"""The last widely pinned version from before the move; an account may have its events in it."""
VERSIONS = (api_version, OLD_VERSION)

_EVENTS_OF_NEWER_VERSIONS = frozenset({"invoice_payment.paid"})


def tells(version: str, kind: str) -> bool:
    """Whether an account of this version is sent events of this type."""
    return version != OLD_VERSION or kind not in _EVENTS_OF_NEWER_VERSIONS


def as_of(version: str, shape: dict[str, Any]) -> dict[str, Any]:
    """A shape of the newest version in that of another; the same where nothing of it has moved."""
    if version == api_version:
        return shape
    match shape["object"]:
        case "subscription":
            return _old_subscription(shape)
        case "invoice":
            return _old_invoice(shape)
        case _:
            return shape


def _old_subscription(shape: dict[str, Any]) -> dict[str, Any]:
    items = [
        _without(item, "current_period_start", "current_period_end") | {"plan": _plan(item["price"])}
        for item in shape["items"]["data"]
    ]
    first = shape["items"]["data"][0]
    return _without(shape, "billing_mode", "customer_account", "managed_payments") | {
        "current_period_end": first["current_period_end"],
        "current_period_start": first["current_period_start"],
        "discount": None,
        "items": shape["items"] | {"data": items, "total_count": len(items)},
        "plan": _plan(first["price"]),
        "quantity": first["quantity"],
    }


def _old_invoice(shape: dict[str, Any]) -> dict[str, Any]:
    details = shape["parent"]["subscription_details"]
    paid_by = shape["payments"]["data"][0]["payment"] if shape["payments"]["data"] else {}
    lines = [
        _without(line, "parent", "pricing", "taxes", "subtotal")
        | {
            "proration": False,
            "subscription": details["subscription"],
            "subscription_item": line["parent"]["subscription_item_details"]["subscription_item"],
            "tax_amounts": [],
            "tax_rates": [],
            "type": "subscription",
        }
        for line in shape["lines"]["data"]
    ]
    return _without(shape, "parent", "payments", "amount_overpaid", "customer_account", "total_taxes") | {
        "application_fee_amount": None,
        "discount": None,
        "lines": shape["lines"] | {"data": lines, "total_count": len(lines)},
        "paid": shape["status"] == "paid",
        "paid_out_of_band": False,
        "payment_intent": paid_by.get("payment_intent"),
        "quote": None,
        "subscription": details["subscription"],
        "subscription_details": {"metadata": details["metadata"]},
        "tax": None,
        "total_tax_amounts": [],
        "transfer_data": None,
    }


def _plan(price: dict[str, Any]) -> dict[str, Any]:
    """The plan that a price was called in older versions."""
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "aggregate_usage": None,
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "livemode": price["livemode"],
        "metadata": price["metadata"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def _without(shape: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in shape.items() if name not in names}


def earlier_values(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """`previous_attributes`: the old values of what differs, maps name by name, lists as a whole.

    A name that is new was null before, as Stripe has it.
    """
    found: dict[str, Any] = {}
    for name, now in after.items():
        then = before.get(name)
        if then == now:
            continue
        if isinstance(then, dict) and isinstance(now, dict):
            found[name] = earlier_values(then, now)
        else:
            found[name] = then
    return found
