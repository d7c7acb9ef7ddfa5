"""Loads and writes what events change: purchases with refunds and disputes, journal and ledger. Decides
nothing.

Loads lock rows in one fixed order. Writes are set-based and all belong into the caller's one transaction; a
row that another worker has inserted meanwhile raises one of `db.pool.LOST_RACE`, and the batch is decided
anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from billing.decision import Movement, Transition
from billing.facts import Cause
from billing.purchase import Dispute, Purchase, Refund
from db.pool import type_connection
from db.queries import CREDITS, LEDGER


class Effect(NamedTuple):
    """One journal entry or movement of money with the event that caused it."""

    cause: Cause
    transition: Transition | None = None
    movement: Movement | None = None


async def load_purchases(
    connection: type_connection, ids: Sequence[str], payment_ids: Sequence[str]
) -> list[Purchase]:
    """Lock and load the purchases of these ids or payments (of any source) with their refunds and
    disputes.
    """
    rows = await connection.fetch(CREDITS.lock_purchases, list(ids), list(payment_ids))
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
    connection: type_connection,
    before: Iterable[Purchase],
    after: Iterable[Purchase],
    effects: Sequence[Effect],
    causes: dict[str, Cause],
) -> list[str]:
    """Write changed purchases, the journal and the ledger; `causes` names for each account the event that may
    open it.

    Returns the accounts that are below zero after this batch.
    """
    known = {(purchase.source, purchase.id): purchase for purchase in before}
    changed = sorted(
        (purchase for purchase in after if known.get((purchase.source, purchase.id)) != purchase),
        key=lambda purchase: (purchase.source, purchase.id),
    )
    opened = await _open_accounts(connection, causes)
    await _write_purchases(connection, changed, known)
    await _write_refunds(connection, changed, known)
    await _write_disputes(connection, changed, known)
    await _write_journal(
        connection, [*opened, *(effect for effect in effects if effect.transition is not None)]
    )
    return await _write_ledger(connection, [effect for effect in effects if effect.movement is not None])


async def _open_accounts(connection: type_connection, causes: dict[str, Cause]) -> list[Effect]:
    if not causes:
        return []
    rows = await connection.fetch(CREDITS.open_accounts, sorted(causes))
    return [
        Effect(
            causes[row["id"]], Transition("account", row["id"], 1, None, "open", "first_credit", None, None)
        )
        for row in rows
    ]


async def _write_purchases(
    connection: type_connection, changed: list[Purchase], known: dict[tuple[str, str], Purchase]
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
    connection: type_connection, changed: list[Purchase], known: dict[tuple[str, str], Purchase]
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
    connection: type_connection, changed: list[Purchase], known: dict[tuple[str, str], Purchase]
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


async def _write_journal(connection: type_connection, effects: list[Effect]) -> None:
    entries = [(effect.cause, effect.transition) for effect in effects if effect.transition is not None]
    if entries:
        await connection.execute(
            CREDITS.insert_transitions,
            [t.kind for _, t in entries],
            [c.source for c, _ in entries],
            [t.object_id for _, t in entries],
            [t.seq for _, t in entries],
            [t.from_state for _, t in entries],
            [t.to_state for _, t in entries],
            [t.rule for _, t in entries],
            [c.event_id for c, _ in entries],
            [c.log_id for c, _ in entries],
            [c.psp_created for c, _ in entries],
            [None if t.money_before is None else json.dumps(t.money_before) for _, t in entries],
            [None if t.money_after is None else json.dumps(t.money_after) for _, t in entries],
        )


async def _write_ledger(connection: type_connection, effects: list[Effect]) -> list[str]:
    moved = [(effect.cause, effect.movement) for effect in effects if effect.movement is not None]
    if not moved:
        return []
    legs = [(ordinal, leg) for ordinal, (_, movement) in enumerate(moved) for leg in movement.legs]
    await connection.execute(
        LEDGER.post_movements,
        list(range(len(moved))),
        [cause.source for cause, _ in moved],
        [movement.movement for _, movement in moved],
        [movement.money_object for _, movement in moved],
        [cause.event_id for cause, _ in moved],
        [cause.log_id for cause, _ in moved],
        [None] * len(moved),
        [ordinal for ordinal, _ in legs],
        [leg.account_id for _, leg in legs],
        [leg.unit for _, leg in legs],
        [leg.amount for _, leg in legs],
    )
    losers = sorted({leg.account_id for _, leg in legs if leg.amount < 0})
    if not losers:
        return []
    return [row["account_id"] for row in await connection.fetch(LEDGER.negative_balances, losers)]
