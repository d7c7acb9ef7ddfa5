"""What the tiny receiver makes of orders: statuses and sellers' balances from all events at once, apart from
both Sluice and the sandbox's own books.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Event = dict[str, Any]
_PAYMENT_RANK = {
    "payment_intent.payment_failed": 1,
    "payment_intent.canceled": 2,
    "payment_intent.succeeded": 3,
}
_REFUND_RANK = {"pending": 0, "succeeded": 1, "failed": 2}


def sales_of(events: Iterable[Event]) -> dict[str, dict[str, dict[str, Any]]]:
    """`{"order": {id: state}, "transfer": …, "account": …}`, each with what the API would show."""
    told = list(events)
    orders, transfers = _orders(told), _transfers(told)
    owed: dict[str, int] = defaultdict(int)
    for order in orders.values():
        if order["seller"] and order["paid"]:
            owed[order["seller"]] += order["share"] - order["share"] * order["back"] // order["amount"]
    for transfer in transfers.values():
        seller = orders.get(transfer["metadata"].get("orderId"), {}).get("seller")
        if seller:
            owed[seller] -= transfer["amount"] - transfer["amount_reversed"]
    return {
        "order": {order_id: {"status": order["status"]} for order_id, order in orders.items()},
        "transfer": {
            key: {"status": "reversed" if transfer["reversed"] else "completed"}
            for key, transfer in transfers.items()
        },
        "account": {
            seller: {"balances": [{"unit": "usd", "amount_minor": amount}]} for seller, amount in owed.items()
        },
    }


def to_be_reversed(events: Iterable[Event]) -> set[str]:
    """Transfers whose order is refunded."""
    told = list(events)
    refunded = {order_id for order_id, order in _orders(told).items() if order["status"] == "refunded"}
    return {key for key, each in _transfers(told).items() if each["metadata"].get("orderId") in refunded}


def _orders(events: list[Event]) -> dict[str, dict[str, Any]]:
    payments: dict[str, tuple[int, Any]] = {}
    for event in events:
        thing = event["data"]["object"]
        if thing["object"] == "payment_intent" and thing["metadata"].get("purpose") == "order":
            rank = _PAYMENT_RANK.get(event["type"], 0)
            payments[thing["id"]] = max(
                payments.get(thing["id"], (-1, None)), (rank, thing), key=lambda x: x[0]
            )
    orders: dict[str, dict[str, Any]] = {}
    for payment_id, (rank, payment) in payments.items():
        metadata, amount = payment["metadata"], payment["amount"]
        refunded, disputed = _refunded(events, payment_id), _disputed(events, payment_id)
        status = ("pending", "failed", "cancelled", "completed")[rank]
        orders[metadata["orderId"]] = {
            "status": "refunded" if rank == 3 and refunded == amount else status,
            "paid": rank == 3,
            "amount": amount,
            "back": refunded + disputed,
            "seller": metadata.get("sellerId"),
            "share": int(metadata.get("sellerAmount", amount)),
        }
    return orders


def _refunded(events: list[Event], payment_id: str) -> int:
    latest: dict[str, Any] = {}
    for event in events:
        thing = event["data"]["object"]
        if thing["object"] == "refund" and thing["payment_intent"] == payment_id:
            held = latest.setdefault(thing["id"], thing)
            if _REFUND_RANK[thing["status"]] > _REFUND_RANK[held["status"]]:
                latest[thing["id"]] = thing
    return sum(refund["amount"] for refund in latest.values() if refund["status"] == "succeeded")


def _disputed(events: list[Event], payment_id: str) -> int:
    total = 0
    for event in events:
        thing = event["data"]["object"]
        if thing.get("payment_intent") == payment_id:
            total += thing["amount"] * (event["type"] == "charge.dispute.funds_withdrawn")
            total -= thing["amount"] * (event["type"] == "charge.dispute.funds_reinstated")
    return total


def _transfers(events: list[Event]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in events:
        thing = event["data"]["object"]
        if thing["object"] == "transfer":
            held = found.setdefault(thing["id"], thing)
            if thing["amount_reversed"] > held["amount_reversed"]:
                found[thing["id"]] = thing
    return found
