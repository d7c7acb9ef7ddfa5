"""Computes from the money records what every account should own; it must never look at an event.
Orders, sellers and subscriptions have a page of their own, `books_sales`.

The rule, from the product's contract: a paid top-up grants its credits; of a captured amount A with reversals
R (succeeded refunds that have not failed since, and disputes withdrawn and not reinstated, at most A), the
credits taken back are `credits * R // A`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .books_sales import sales, subscriptions
from .store import Store

_MONEY = ("charged", "refunded", "disputed", "transferred")
_POSITIVE = re.compile(r"[1-9][0-9]{0,17}\Z")


def granted(metadata: dict[str, str], amount: int, currency: str) -> int:
    """The credits that a paid top-up grants: 0 where its metadata or its amount are not to be believed."""
    promised = metadata.get("credits", "")
    if not metadata.get("accountId") or not _POSITIVE.match(promised):
        return 0
    return int(promised) if currency == "usd" and amount >= int(promised) else 0


def taken(grant: int, amount: int, reversed_amount: int) -> int:
    """The credits that reversals take back in all, rounded down once over their sum; a payment that was both
    refunded and disputed away is taken back twice, as its money was.
    """
    return grant * reversed_amount // amount


def books(store: Store) -> dict[str, Any]:
    """`{"accounts": {id: {credits, granted, taken, purchases}}, "totals": {…}, "money": {…}}` and the pages
    `orders`, `sellers`, `transfers` and `subscriptions`.
    """
    accounts: dict[str, dict[str, int]] = {}
    refused = 0
    for sale in store.rows("sales"):
        metadata = json.loads(sale["metadata"])
        grant = granted(metadata, sale["amount"], sale["currency"])
        refused += grant == 0
        if account_id := metadata.get("accountId"):
            account = accounts.setdefault(
                account_id, {"credits": 0, "granted": 0, "taken": 0, "purchases": 0}
            )
            back = taken(grant, sale["amount"], sale["refunded"] + sale["disputed"])
            account["credits"] += grant - back
            account["granted"] += grant
            account["taken"] += back
            account["purchases"] += grant > 0
    return {
        "accounts": dict(sorted(accounts.items())),
        "totals": {
            "accounts": len(accounts),
            "credits": sum(account["credits"] for account in accounts.values()),
            "granted": sum(account["granted"] for account in accounts.values()),
            "taken": sum(account["taken"] for account in accounts.values()),
            "purchases": sum(account["purchases"] for account in accounts.values()),
            "refused": refused,
        },
        "money": money(store),
        **sales(store),
        "subscriptions": subscriptions(store),
    }


def money(store: Store) -> dict[str, dict[str, int | bool]]:
    """Per currency `charged`, `refunded`, `disputed`, `transferred` and `net` from the movements, in minor
    units.

    `balanced` says that the movements agree with the charges, refunds, disputes and transfers themselves.
    """
    moved: dict[str, dict[str, int]] = {}
    for row in store.rows("movement_totals"):
        moved.setdefault(row["currency"], {})[row["kind"]] = row["total"]
    recorded = {row["currency"]: row for row in store.rows("record_totals")}
    found: dict[str, dict[str, int | bool]] = {}
    for currency in sorted({*moved, *recorded}):
        kinds = moved.get(currency, {})
        charged = kinds.get("charge", 0)
        refunded = kinds.get("refund", 0) - kinds.get("refund_failure", 0)
        disputed = kinds.get("dispute", 0) - kinds.get("dispute_reversal", 0)
        transferred = kinds.get("transfer", 0) - kinds.get("transfer_reversal", 0)
        record = recorded.get(currency, dict.fromkeys(_MONEY, 0))
        sums = (charged, refunded, disputed, transferred)
        found[currency] = {
            "charged": charged,
            "refunded": refunded,
            "disputed": disputed,
            "transferred": transferred,
            "net": charged - refunded - disputed - transferred,
            "balanced": sums == tuple(record[name] for name in _MONEY),
        }
    return found
