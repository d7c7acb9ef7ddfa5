"""Rows of the purchase family: purchases of credits with their refunds and disputes. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from billing.purchase import Dispute, Purchase, Refund
from db.pool import type_connection
from db.queries import CREDITS


async def load(connection: type_connection, names: dict[str, list[str]]) -> list[Purchase]:
    """Lock and load the purchases that these keys name (ids by kind of key), of any source, in one fixed
    order.
    """
    ids, payment_ids = names.get("checkout", []), names.get("payment", [])
    if not ids and not payment_ids:
        return []
    rows = await connection.fetch(CREDITS.lock_purchases, ids, payment_ids)
    if not rows:
        return []
    purchases = {(row["source"], row["id"]): Purchase(**dict(row)) for row in rows}
    keys = [row["id"] for row in rows]
    refunds: dict[tuple[str, str], dict[str, Refund]] = {}
    for row in await connection.fetch(CREDITS.lock_refunds, keys):
        values = dict(row)
        key = (values.pop("source"), values.pop("checkout_session_id"))
        refunds.setdefault(key, {})[values["id"]] = Refund(**values)
    disputes: dict[tuple[str, str], dict[str, Dispute]] = {}
    for row in await connection.fetch(CREDITS.lock_disputes, keys):
        values = dict(row)
        key = (values.pop("source"), values.pop("checkout_session_id"))
        disputes.setdefault(key, {})[values["id"]] = Dispute(**values)
    return [
        replace(purchase, refunds=refunds.get(key, {}), disputes=disputes.get(key, {}))
        for key, purchase in purchases.items()
    ]


async def write(
    connection: type_connection, changed: Sequence[Purchase], known: dict[tuple[str, str], Purchase]
) -> None:
    """Write changed purchases; `known` holds them by source and id as they were loaded."""
    await _write_purchases(connection, changed, known)
    await _write_refunds(connection, changed, known)
    await _write_disputes(connection, changed, known)


async def _write_purchases(
    connection: type_connection, changed: Sequence[Purchase], known: dict[tuple[str, str], Purchase]
) -> None:
    new = [p for p in changed if (p.source, p.id) not in known]
    old = [p for p in changed if (p.source, p.id) in known]
    if new:
        await connection.execute(
            CREDITS.insert_purchases,
            [p.source for p in new],
            [p.id for p in new],
            [p.kind for p in new],
            [p.payment_id for p in new],
            [p.account_id for p in new],
            [p.credits for p in new],
            [p.amount_minor for p in new],
            [p.currency for p in new],
            [p.status for p in new],
            [p.origin for p in new],
            [p.credits_taken for p in new],
            [p.version for p in new],
        )
    if old:
        await connection.execute(
            CREDITS.update_purchases,
            [p.source for p in old],
            [p.id for p in old],
            [p.payment_id for p in old],
            [p.status for p in old],
            [p.credits_taken for p in old],
            [p.version for p in old],
        )


async def _write_refunds(
    connection: type_connection, changed: Sequence[Purchase], known: dict[tuple[str, str], Purchase]
) -> None:
    new: list[tuple[Purchase, Refund]] = []
    old: list[tuple[Purchase, Refund]] = []
    for purchase in changed:
        before = (
            known[(purchase.source, purchase.id)].refunds if (purchase.source, purchase.id) in known else {}
        )
        for refund in purchase.refunds.values():
            if refund.id not in before:
                new.append((purchase, refund))
            elif before[refund.id] != refund:
                old.append((purchase, refund))
    if new:
        await connection.execute(
            CREDITS.insert_refunds,
            [p.source for p, _ in new],
            [r.id for _, r in new],
            [p.id for p, _ in new],
            [r.payment_id for _, r in new],
            [r.amount_minor for _, r in new],
            [r.currency for _, r in new],
            [r.status for _, r in new],
            [r.version for _, r in new],
        )
    if old:
        await connection.execute(
            CREDITS.update_refunds,
            [p.source for p, _ in old],
            [r.id for _, r in old],
            [r.status for _, r in old],
            [r.version for _, r in old],
        )


async def _write_disputes(
    connection: type_connection, changed: Sequence[Purchase], known: dict[tuple[str, str], Purchase]
) -> None:
    new: list[tuple[Purchase, Dispute]] = []
    old: list[tuple[Purchase, Dispute]] = []
    for purchase in changed:
        before = (
            known[(purchase.source, purchase.id)].disputes if (purchase.source, purchase.id) in known else {}
        )
        for dispute in purchase.disputes.values():
            if dispute.id not in before:
                new.append((purchase, dispute))
            elif before[dispute.id] != dispute:
                old.append((purchase, dispute))
    if new:
        await connection.execute(
            CREDITS.insert_disputes,
            [p.source for p, _ in new],
            [d.id for _, d in new],
            [p.id for p, _ in new],
            [d.payment_id for _, d in new],
            [d.amount_minor for _, d in new],
            [d.currency for _, d in new],
            [d.status for _, d in new],
            [d.status_at for _, d in new],
            [d.funds_withdrawn for _, d in new],
            [d.funds_reinstated for _, d in new],
            [d.version for _, d in new],
        )
    if old:
        await connection.execute(
            CREDITS.update_disputes,
            [p.source for p, _ in old],
            [d.id for _, d in old],
            [d.status for _, d in old],
            [d.status_at for _, d in old],
            [d.funds_withdrawn for _, d in old],
            [d.funds_reinstated for _, d in old],
            [d.version for _, d in old],
        )
