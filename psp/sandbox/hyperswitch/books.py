"""Computes from the merchant's records what orders, sellers and subscriptions of ours should look like to a
receiver, and checks the double entry; it must never look at an event's body.

The rules, from the product's contract: a paid order gives its seller a share; of an amount A with reversals R
(succeeded refunds, and disputes lost, accepted or expired and not won since) the share taken back is
`share * R // A`. An order is `refunded` only when all that was captured is.
"""

from __future__ import annotations

import json
from typing import Any

from .shelf import Shelf

_PAID = ("succeeded", "partially_captured")


def books(shelf: Shelf) -> dict[str, Any]:
    """`{"money": {currency: {captured, refunded, disputed, net, balanced}}, "accounts": {name: {currency:
    minor units}}, "orders": {id: {status, amount, currency, reversed, seller, share, licences}}, "sellers":
    {id: {currency: minor units}}, "subscriptions": {id: {status, account, plan}}}`; currencies in lower case,
    as Sluice writes its units.
    """
    sales = [row | {"metadata": json.loads(row["metadata"])} for row in shelf.store.rows("hyperswitch_sales")]
    orders = {row["metadata"]["orderId"]: _order(row) for row in sales if _is_order(row)}
    sellers: dict[str, dict[str, int]] = {}
    for order in orders.values():
        if order["seller"] is not None and order.pop("paid"):
            back = order["share"] * order["reversed"] // order["amount"]
            units = sellers.setdefault(order["seller"], {})
            units[order["currency"]] = units.get(order["currency"], 0) + order["share"] - back
        order.pop("paid", None)
    return {
        "money": money(shelf),
        "accounts": accounts(shelf),
        "orders": orders,
        "sellers": dict(sorted(sellers.items())),
        "subscriptions": {
            row["metadata"]["subscriptionId"]: _subscription(row) for row in sales if _is_subscription(row)
        },
    }


def money(shelf: Shelf) -> dict[str, dict[str, int | bool]]:
    """Per currency what was captured, refunded and lost to disputes by the movements, in minor units.

    `balanced` says that the movements agree with the payments, refunds and disputes themselves.
    """
    moved: dict[str, dict[str, int]] = {}
    for row in shelf.store.rows("hyperswitch_movement_totals"):
        moved.setdefault(row["currency"], {})[row["kind"]] = row["total"]
    recorded = {row["currency"]: row for row in shelf.store.rows("hyperswitch_record_totals")}
    found: dict[str, dict[str, int | bool]] = {}
    for currency in sorted({*moved, *recorded}):
        kinds = moved.get(currency, {})
        captured, refunded = kinds.get("capture", 0), kinds.get("refund", 0)
        disputed = kinds.get("dispute", 0) - kinds.get("dispute_reversal", 0)
        record = recorded.get(currency, {"captured": 0, "refunded": 0, "disputed": 0})
        found[currency.lower()] = {
            "captured": captured,
            "refunded": refunded,
            "disputed": disputed,
            "net": captured - refunded - disputed,
            "balanced": (captured, refunded, disputed)
            == (record["captured"], record["refunded"], record["disputed"]),
        }
    return found


def accounts(shelf: Shelf) -> dict[str, dict[str, int]]:
    """What each account holds per currency; over all accounts that is nothing."""
    found: dict[str, dict[str, int]] = {}
    for row in shelf.store.rows("hyperswitch_account_totals"):
        found.setdefault(row["account"], {})[row["currency"].lower()] = row["total"]
    return found


def _is_order(row: dict[str, Any]) -> bool:
    metadata = row["metadata"]
    return metadata["purpose"] == "order" and bool(metadata.get("orderId")) and bool(metadata.get("buyerId"))


def _order(row: dict[str, Any]) -> dict[str, Any]:
    metadata = row["metadata"]
    seller = metadata.get("sellerId")
    return {
        "status": order_status(row),
        "paid": row["status"] in _PAID,
        "amount": row["amount"],
        "currency": row["currency"].lower(),
        "reversed": row["refunded"] + row["disputed"],
        "seller": seller,
        "share": int(metadata.get("sellerAmount", row["amount"])) if seller is not None else 0,
        "licences": [each.strip() for each in metadata.get("licences", "").split(",") if each.strip()],
    }


def order_status(row: dict[str, Any]) -> str:
    """The product's word for an order whose payment has this `status` and these refunds."""
    if row["status"] in _PAID:
        if row["refunded"] == row["amount_captured"]:
            return "refunded"
        return "refund_pending" if row["refunds_pending"] else "completed"
    return {"cancelled": "cancelled", "expired": "cancelled", "failed": "failed"}.get(
        row["status"], "pending"
    )


def _is_subscription(row: dict[str, Any]) -> bool:
    names = ("subscriptionId", "accountId", "planId")
    return row["metadata"]["purpose"] == "subscription" and all(row["metadata"].get(name) for name in names)


def _subscription(row: dict[str, Any]) -> dict[str, Any]:
    """A subscription of ours: refunds change it in nothing, and a payment that failed may still succeed."""
    status = {"failed": "expired", "cancelled": "expired", "expired": "expired"}.get(
        row["status"], "pending_payment"
    )
    return {
        "status": "active" if row["status"] in _PAID else status,
        "account": row["metadata"]["accountId"],
        "plan": row["metadata"]["planId"],
    }
