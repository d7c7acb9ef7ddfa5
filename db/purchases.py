"""Rows of the purchase family: purchases of credits. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from billing.purchase import Purchase
from db import columns
from db.pool import type_connection
from db.queries import CREDITS


async def lock(connection: type_connection, names: dict[str, list[str]]) -> list[Purchase]:
    """Lock and load the purchases that these keys name (ids by kind of key), of any source, in one fixed
    order; without their refunds and disputes.
    """
    ids, payment_ids = names.get("checkout", []), names.get("payment", [])
    if not ids and not payment_ids:
        return []
    rows = await columns.fetch(connection, CREDITS.lock_purchases, ids, payment_ids)
    return [Purchase(**dict(row)) for row in rows]


async def write(
    connection: type_connection, changed: Sequence[Purchase], known: set[tuple[str, str]]
) -> None:
    """Write changed purchases; `known` are those that were loaded, by source and id."""
    new = [p for p in changed if (p.source, p.id) not in known]
    old = [p for p in changed if (p.source, p.id) in known]
    if new:
        await columns.execute(
            connection,
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
        await columns.execute(
            connection,
            CREDITS.update_purchases,
            [p.source for p in old],
            [p.id for p in old],
            [p.payment_id for p in old],
            [p.status for p in old],
            [p.credits_taken for p in old],
            [p.version for p in old],
        )
