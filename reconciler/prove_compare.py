"""Compares the live state with the rebuilt one, row by row in the order of keys. Reads both and writes
neither.

Two things differ without anything being wrong, and are counted apart instead of reported. What depends on
the order in which events were applied (journal, causes, single postings, versions) may differ where the
live inbox went through an object's events in another order than the log has them; states and balances may
not. And what had a history before the first replayed event cannot be rebuilt at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

DISORDERED, BEFORE = 1, 2
"""Flags of events and keys, as the rebuild tells them."""

_MADE_IN_ORDER = {"ledger_transaction", "ledger_posting", "state_transition", "outbox_effect"}
"""Tables whose rows follow the order in which events were applied."""
_ORDERLY_COLUMNS = {"version", "reason"}
_FINE = {"applied", "superseded", "ignored"}
"""Outcomes that trade places with the order: who comes late says nothing new."""
_WORDS = {
    "status", "state", "reason", "kind", "currency", "movement", "unit", "rule", "from_state", "to_state",
    "origin", "payment_status", "psp_status", "owner_kind",
}  # fmt: skip
"""Columns whose values are words of ours and may be shown; other texts may hold what a customer wrote."""

type_row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Difference:
    """One value, or (column None) one row, that is not the same on both sides; values are described, not
    shown where they could hold a payload.
    """

    table: str
    key: str
    column: str | None
    live: str
    rebuilt: str


@dataclass
class Found:
    """What comparing one table found. `ordered`: differs by the order of arrival only; `before`: cannot be
    rebuilt; `by_hand`: taken off the list by an operator; `outcomes`: events by their outcome there and here.
    """

    table: str
    rows: int = 0
    different: int = 0
    ordered: int = 0
    before: int = 0
    by_hand: int = 0
    first: Difference | None = None
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass
class Flags:
    """What the rebuild says of events and keys, and which log ids and accounts lie before it."""

    from_id: int = 0
    accounts_before: set[str] = field(default_factory=set)
    events: dict[int, int] = field(default_factory=dict)
    keys: dict[tuple[str, str], int] = field(default_factory=dict)

    def of(self, table: str, row: type_row) -> int:
        """The flags of whatever this row belongs to."""
        log_id, key = row.get("~log_id"), row.get("~key")
        if isinstance(log_id, int):
            return BEFORE if log_id < self.from_id else self.events.get(log_id, 0)
        if isinstance(key, str):
            return self.keys.get((str(row["source"]), key), 0)
        if table == "balance" and row["account_id"] in self.accounts_before:
            return BEFORE
        return 0


async def compare(
    table: str,
    key_columns: int,
    live: AsyncIterator[type_row],
    rebuilt: AsyncIterator[type_row],
    flags: Flags,
) -> Found:
    """Walk both sides of a table, each in the order of its first `key_columns` columns."""
    found = Found(table)
    ours, theirs = await anext(live, None), await anext(rebuilt, None)
    while ours is not None or theirs is not None:
        found.rows += 1
        left, right = _key(ours, key_columns), _key(theirs, key_columns)
        if theirs is None or (left is not None and right is not None and left < right):
            assert ours is not None
            _judge(found, ours, None, key_columns, flags)
            ours = await anext(live, None)
        elif ours is None or (left is not None and right is not None and right < left):
            _judge(found, None, theirs, key_columns, flags)
            theirs = await anext(rebuilt, None)
        else:
            if ours != theirs:
                _judge(found, ours, theirs, key_columns, flags)
            ours, theirs = await anext(live, None), await anext(rebuilt, None)
    return found


def _key(row: type_row | None, columns: int) -> tuple[object, ...] | None:
    return None if row is None else tuple(row.values())[:columns]


def _judge(
    found: Found, live: type_row | None, rebuilt: type_row | None, key_columns: int, flags: Flags
) -> None:
    """Count a row that is not the same on both sides, and keep the first that should be."""
    either = live if live is not None else rebuilt
    assert either is not None
    columns = [
        column
        for column in either
        if live is not None
        and rebuilt is not None
        and not column.startswith("~")
        and live[column] != rebuilt[column]
    ]
    if live is not None and rebuilt is not None and not columns:
        return  # only where it comes from differs, and that is compared where it counts
    flagged = (0 if live is None else flags.of(found.table, live)) | (
        0 if rebuilt is None else flags.of(found.table, rebuilt)
    )
    if flagged & BEFORE:
        found.before += 1
        return
    if flagged & DISORDERED and _follows_order(found.table, live, rebuilt, columns):
        found.ordered += 1
        return
    if (
        live is not None
        and rebuilt is not None
        and live.get("~resolved")
        and rebuilt["state"] == "quarantined"
    ):
        found.by_hand += 1
        return
    found.different += 1
    if found.table == "webhook_event":
        found.outcomes[_outcome(live), _outcome(rebuilt)] += 1
    if found.first is None:
        key = "/".join(str(part) for part in tuple(either.values())[:key_columns])
        column = columns[0] if columns else None
        found.first = Difference(
            found.table, key, column, _described(live, column), _described(rebuilt, column)
        )


def _follows_order(table: str, live: type_row | None, rebuilt: type_row | None, columns: list[str]) -> bool:
    """Whether nothing differs but what another order of the same events explains."""
    if table in _MADE_IN_ORDER:
        return True
    if live is None or rebuilt is None:
        return False
    rest = set(columns) - _ORDERLY_COLUMNS
    return not rest or (rest == {"state"} and {live["state"], rebuilt["state"]} <= _FINE)


def _outcome(row: Mapping[str, object] | None) -> str:
    if row is None:
        return "none"
    return str(row["state"]) if row["reason"] is None else f"{row['state']} ({row['reason']})"


def _described(row: type_row | None, column: str | None) -> str:
    """A value in words that hold no payload."""
    if row is None:
        return "no such row"
    if column is None:
        return "a row"
    value = row[column]
    if value is None or isinstance(value, bool | int | datetime):
        return "nothing" if value is None else str(value)
    if isinstance(value, str) and column in _WORDS:
        return repr(value)
    return f"a {type(value).__name__} of {len(str(value))} characters"
