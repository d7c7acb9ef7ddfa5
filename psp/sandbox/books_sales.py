"""Computes from the money records what orders, sellers and subscriptions should look like to a receiver; it
must never look at an event.

The rules, from the product's contract: a paid order gives its seller a share; of an amount A with reversals R
(succeeded refunds that have not failed since, and disputes withdrawn and not reinstated) the share taken back
is `share * R // A`, a transfer takes its amount and a reversal of one gives it back. An order is `refunded`
only when all of it is.
"""

from __future__ import annotations

import json
from typing import Any

from .store import Store

STATUS_OF_SUBSCRIPTION = {
    "incomplete": "pending_payment",
    "incomplete_expired": "expired",
    "trialing": "trialing",
    "active": "active",
    "past_due": "past_due",
    "unpaid": "suspended",
    "canceled": "canceled",
}
"""The product's word for each of ours."""


def sales(store: Store) -> dict[str, Any]:
    """`{"orders": {id: {status, amount, currency, reversed, seller, share, licences}}, "sellers": {id: {unit:
    minor units}}, "transfers": {id: {status, order}}}`; a transfer belongs here if it names its order.
    """
    orders = {order["id"]: order for order in map(_order, store.rows("orders")) if order is not None}
    sellers: dict[str, dict[str, int]] = {}

    def give(seller: str | None, currency: str, amount: int) -> None:
        if seller is not None:
            units = sellers.setdefault(seller, {})
            units[currency] = units.get(currency, 0) + amount

    for order in orders.values():
        if order["paid"]:
            back = order["share"] * order["reversed"] // order["amount"]
            give(order["seller"], order["currency"], order["share"] - back)
    transfers: dict[str, dict[str, str]] = {}
    for row in store.rows("transfers_of_orders"):
        of = orders.get(row["order_id"])
        give(of["seller"] if of else None, row["currency"], row["amount_reversed"] - row["amount"])
        gone = row["amount_reversed"] == row["amount"]
        transfers[row["id"]] = {"status": "reversed" if gone else "completed", "order": row["order_id"]}
    shown = ("status", "amount", "currency", "reversed", "seller", "share", "licences")
    return {
        "orders": {key: {name: order[name] for name in shown} for key, order in sorted(orders.items())},
        "sellers": dict(sorted(sellers.items())),
        "transfers": transfers,
    }


def _order(row: dict[str, Any]) -> dict[str, Any] | None:
    """One order by its payment, None where the metadata do not say whose it is."""
    metadata = json.loads(row["metadata"])
    seller = metadata.get("sellerId")
    if not metadata.get("orderId") or not metadata.get("buyerId"):
        return None
    licences = [each.strip() for each in metadata.get("licences", "").split(",") if each.strip()]
    return {
        "id": metadata["orderId"],
        "status": order_status(row),
        "paid": row["status"] == "succeeded",
        "amount": row["amount"],
        "currency": row["currency"],
        "reversed": row["refunded"] + row["disputed"],
        "seller": seller,
        "share": int(metadata.get("sellerAmount", row["amount"])) if seller is not None else 0,
        "licences": licences,
    }


def order_status(row: dict[str, Any]) -> str:
    """The product's word for an order whose payment has this `status`, `last_error` and refunds."""
    if row["status"] == "succeeded":
        if row["refunded"] == row["amount"]:
            return "refunded"
        return "refund_pending" if row["refunds_pending"] else "completed"
    if row["status"] == "canceled":
        return "cancelled"
    return "failed" if row["last_error"] is not None else "pending"


def subscriptions(store: Store) -> dict[str, dict[str, Any]]:
    """`{id: {status, account}}` with the product's words for the status."""
    return {
        row["id"]: {"status": STATUS_OF_SUBSCRIPTION[row["status"]], "account": row["account"]}
        for row in store.rows("subscriptions_of_accounts")
    }
