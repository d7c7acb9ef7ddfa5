"""Turns an object's rows into what it is today, and why: one history, oldest first, causes included. Pure.

Posted movements carry the balances before and after them; these are counted back from today's, so that they
are right even where the oldest entries were left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from api.delivery_view import movement_fields, posting_fields, transition_fields
from billing.units import decimal_text
from db.desk import BalanceRow
from db.explain import AccountBalance, AccountRow, History
from db.reads import CallRow, MovementRow, TransitionRow


def account(row: AccountRow, history: History) -> dict[str, Any]:
    """An account with balances and all that moved them."""
    movements = _with_balances(row, history.movements)
    return _answer("account", row.id, account_state(row), history, movements)


def account_state(row: AccountRow) -> dict[str, Any]:
    """An account as it is today; a customer below zero is `overdrawn`."""
    overdrawn = row.kind == "customer" and any(balance.amount < 0 for balance in row.balances)
    return {
        "id": row.id,
        "kind": row.kind,
        "status": "overdrawn" if overdrawn else "open",
        "created_at": row.created_at,
        "balances": [balance_fields(balance) for balance in row.balances],
    }


def balance_fields(balance: AccountBalance | BalanceRow) -> dict[str, Any]:
    """A balance in minor units and as decimal text."""
    return {
        "unit": balance.unit,
        "exponent": balance.exponent,
        "amount_minor": balance.amount,
        "amount": decimal_text(balance.amount, balance.exponent),
        "updated_at": balance.updated_at,
    }


def subject(kind: str, row: dict[str, Any], history: History) -> dict[str, Any]:
    """A purchase, refund, dispute or subscription with its own transitions and movements."""
    movements = [(movement, _posted(movement)) for movement in history.movements]
    amount = {"amount": decimal_text(row["amount_minor"], row["exponent"])} if "amount_minor" in row else {}
    return _answer(kind, row["id"], {**row, **amount}, history, movements)


def _answer(
    kind: str,
    object_id: str,
    state: dict[str, Any],
    history: History,
    movements: Iterable[tuple[MovementRow, dict[str, Any]]],
) -> dict[str, Any]:
    told: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (_transition_order(each), _told(each, {"what": "transition", **transition_fields(each)}))
        for each in history.transitions
    ]
    told += [(_movement_order(movement), _told(movement, fields)) for movement, fields in movements]
    told.sort(key=lambda entry: entry[0])
    return {
        "kind": kind,
        "id": object_id,
        "state": state,
        "history": [entry for _, entry in told],
        "history_complete": history.complete,
        "calls": [_call(each) for each in history.calls],
    }


def _call(row: CallRow) -> dict[str, Any]:
    """What was wanted of the PSP, by which event, and what has become of it."""
    return _told(
        row,
        {
            "kind": row.kind,
            "object_id": row.object_id,
            "idempotency_key": row.idempotency_key,
            "psp_id": row.made_id,
            "state": row.state,
            "attempts": row.attempts,
            "last_error": row.last_error,
            "next_attempt_at": row.next_attempt_at,
            "finished_at": row.finished_at,
        },
    )


def _told(row: TransitionRow | MovementRow | CallRow, fields: dict[str, Any]) -> dict[str, Any]:
    cause = {
        "event_id": row.event_id,
        "event_type": row.event_type,
        "delivery_id": None if row.log_id is None else str(row.log_id),
        "origin": row.origin,
        "received_at": row.received_at,
        "actor": row.actor,
    }
    return {"at": row.at, **fields, "cause": cause}


def _transition_order(row: TransitionRow) -> tuple[Any, ...]:
    """A transaction writes many rows with one time: by delivery, changes of state before their money."""
    return (row.at, row.log_id or 0, 0, row.seq, row.kind, row.object_id)


def _movement_order(row: MovementRow) -> tuple[Any, ...]:
    return (row.at, row.log_id or 0, 1, row.id, "", "")


def _posted(row: MovementRow) -> dict[str, Any]:
    return {"what": "posting", **movement_fields(row)}


def _with_balances(
    row: AccountRow, movements: Sequence[MovementRow]
) -> list[tuple[MovementRow, dict[str, Any]]]:
    """Each movement with the account's balance per unit before and after it."""
    left = {balance.unit: balance.amount for balance in row.balances}
    told = []
    for movement in sorted(movements, key=_movement_order, reverse=True):
        after, before = {}, {}
        for leg in movement.legs:
            if leg.account_id == row.id:
                after[leg.unit] = left.get(leg.unit, 0)
                before[leg.unit] = left[leg.unit] = after[leg.unit] - leg.amount_minor
        own = [posting_fields(leg) for leg in movement.legs if leg.account_id == row.id]
        told.append((movement, {**_posted(movement), "own": own, "before": before, "after": after}))
    return told
