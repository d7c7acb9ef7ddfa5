"""Loads and writes what events change: the subjects of every family, journal and ledger. Decides nothing.

Loads lock rows in one fixed order. Writes are set-based and all belong into the caller's one transaction; a
row that another worker has inserted meanwhile raises one of `db.pool.LOST_RACE`, and the batch is decided
anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from billing.decision import Movement, Transition
from billing.facts import Cause
from billing.purchase import Purchase
from billing.subject import Subject
from billing.subscription import Invoice, Subscription
from db import purchases, subscriptions
from db.pool import type_connection
from db.queries import CREDITS, LEDGER


class Effect(NamedTuple):
    """One journal entry or movement of money with the event that caused it."""

    cause: Cause
    transition: Transition | None = None
    movement: Movement | None = None


async def load(connection: type_connection, keys: Sequence[str]) -> list[Subject]:
    """Lock and load every subject that one of these keys names, of any source: families in one fixed
    order.
    """
    names: dict[str, list[str]] = {}
    for key in sorted(set(keys)):
        kind, _, name = key.partition(":")
        names.setdefault(kind, []).append(name)
    bought = await purchases.load(connection, names)
    subscribed, invoiced = await subscriptions.load(connection, names)
    return [*bought, *subscribed, *invoiced]


async def write(
    connection: type_connection,
    before: Iterable[Subject],
    after: Iterable[Subject],
    effects: Sequence[Effect],
    causes: dict[str, Cause],
) -> list[str]:
    """Write changed subjects, the journal and the ledger; `causes` names for each account the event that may
    open it.

    Returns the accounts that are below zero after this batch.
    """
    known = {(subject.family, subject.source, subject.id): subject for subject in before}
    changed = sorted(
        (subject for subject in after if known.get((subject.family, subject.source, subject.id)) != subject),
        key=lambda subject: (subject.family, subject.source, subject.id),
    )
    opened = await _open_accounts(connection, causes)
    await purchases.write(
        connection,
        [subject for subject in changed if isinstance(subject, Purchase)],
        {(old.source, old.id): old for old in known.values() if isinstance(old, Purchase)},
    )
    await subscriptions.write_subscriptions(
        connection,
        [subject for subject in changed if isinstance(subject, Subscription)],
        {(old.source, old.id) for old in known.values() if isinstance(old, Subscription)},
    )
    await subscriptions.write_invoices(
        connection,
        [subject for subject in changed if isinstance(subject, Invoice)],
        {(old.source, old.id) for old in known.values() if isinstance(old, Invoice)},
    )
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
