"""Reads why an object is what it is: today's row, every transition, movement and call of a PSP behind it.
Never writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from db.pool import type_connection
from db.reads import AUDIT, CallRow, MovementRow, TransitionRow, by_index, movement_row

history_rows_max = 5_000
"""Newest transitions, and newest movements, of one answer: some megabytes of JSON."""


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """A balance in minor units; `exponent` is the number of digits after the point when shown."""

    unit: str
    exponent: int
    amount: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account as it is today; `kind` is customer or system."""

    id: str
    kind: str
    created_at: datetime
    balances: list[AccountBalance]


@dataclass(frozen=True, slots=True)
class History:
    """What happened to an object, in no order; `complete` is False where the oldest were left out. `calls`
    are what was wanted of its PSP, of objects other than accounts.
    """

    transitions: list[TransitionRow]
    movements: list[MovementRow]
    complete: bool
    calls: list[CallRow] = field(default_factory=list)


_PARTS = {
    "licenses": "license",
    "transfers": "transfer",
    "refunds": "refund",
    "disputes": "dispute",
    "invoices": "subscription_invoice",
}
"""Columns that list what hangs on an object, and of which kind that is: its history tells theirs too."""

_OBJECT_QUERIES = {
    "order": AUDIT.explain_order,
    "transfer": AUDIT.explain_transfer,
    "checkout_session": AUDIT.explain_checkout_session,
    "refund": AUDIT.explain_refund,
    "dispute": AUDIT.explain_dispute,
    "subscription": AUDIT.explain_subscription,
}
OBJECT_KINDS = frozenset(_OBJECT_QUERIES)
"""Kinds that `read_object` knows, besides accounts."""


async def read_account(connection: type_connection, account_id: str) -> tuple[AccountRow, History] | None:
    """An account with the history of itself and of what belongs to it; None when it does not exist."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await by_index(connection)
        row = await _account(connection, account_id)
        if row is None:
            return None
        subjects = await connection.fetch(AUDIT.subjects_of_account, account_id)
        transitions = await _transitions(connection, [(s["kind"], s["source"], s["id"]) for s in subjects])
        movements = [
            movement_row(each)
            for each in await connection.fetch(AUDIT.movements_of_account, account_id, history_rows_max)
        ]
    complete = max(len(transitions), len(movements)) < history_rows_max
    return row, History(transitions, movements, complete)


async def read_balances(connection: type_connection, account_id: str) -> AccountRow | None:
    """An account with its balances alone; None when it does not exist."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _account(connection, account_id)


async def _account(connection: type_connection, account_id: str) -> AccountRow | None:
    row = await connection.fetchrow(AUDIT.explain_account, account_id)
    if row is None:
        return None
    balances = [AccountBalance(*b) for b in await connection.fetch(AUDIT.balances_of_account, account_id)]
    return AccountRow(**row, balances=balances)


async def read_object(
    connection: type_connection, kind: str, object_id: str, source: str | None
) -> list[tuple[dict[str, Any], History]]:
    """Objects of this kind and id with their history: one per source, or that of `source`."""
    found = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await by_index(connection)
        for row in await connection.fetch(_OBJECT_QUERIES[kind], object_id):
            if source is not None and row["source"] != source:
                continue
            parts = [
                (part_kind, row["source"], part)
                for column, part_kind in _PARTS.items()
                for part in dict(row).get(column, ())
            ]
            transitions = await _transitions(connection, [(kind, row["source"], row["id"]), *parts])
            money_objects = [row["id"], *(part for _, _, part in parts)]
            movements = [
                movement_row(each)
                for each in await connection.fetch(
                    AUDIT.movements_of_money_objects, row["source"], money_objects
                )
            ]
            calls = [
                CallRow(*each)
                for each in await connection.fetch(
                    AUDIT.calls_of_objects, row["source"], money_objects, history_rows_max
                )
            ]
            complete = len(transitions) < history_rows_max
            found.append((dict(row), History(transitions, movements, complete, calls)))
    return found


async def _transitions(
    connection: type_connection, subjects: Sequence[tuple[str, str, str]]
) -> list[TransitionRow]:
    rows = await connection.fetch(
        AUDIT.transitions_of_subjects,
        [subject[0] for subject in subjects],
        [subject[1] for subject in subjects],
        [subject[2] for subject in subjects],
        history_rows_max,
    )
    return [TransitionRow(*row) for row in rows]
