"""The only module of the sandbox that speaks SQLite: records in and out; must never decide about money."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .records import (
    Charge,
    CheckoutSession,
    Dispute,
    Event,
    Invoice,
    Movement,
    PaymentIntent,
    Price,
    Record,
    Refund,
    SavedAnswer,
    Subscription,
    Transfer,
    TransferReversal,
)

_SQL = Path(__file__).resolve().parent / "sql"
_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)
_TABLES: Mapping[type, str] = {
    CheckoutSession: "checkout_session",
    PaymentIntent: "payment_intent",
    Charge: "charge",
    Refund: "refund",
    Dispute: "dispute",
    Price: "price",
    Subscription: "subscription",
    Invoice: "invoice",
    Transfer: "transfer",
    TransferReversal: "transfer_reversal",
    Movement: "movement",
    Event: "event",
    SavedAnswer: "saved_answer",
}
_JSON_COLUMNS = frozenset({"metadata", "intent_metadata", "subscription_metadata", "line_items"})
_EDITIONS = {2: "schema_2.sql", 3: "schema_3.sql"}
"""Books of an earlier edition are brought up to the newest, one by one, when opened."""
_NEWEST_FIRST = "ORDER BY seq DESC"
_OLDEST_FIRST = "ORDER BY seq ASC"
seq_max = 2**62
"""Above every place in a table: the open end of a page."""

R = TypeVar("R", bound=Record)


class Store:
    """The books on disk. One connection, used from one thread; write-ahead log, so a kill loses no commit."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 5000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript((_SQL / "schema.sql").read_text(encoding="utf-8"))
        edition = self._connection.execute("PRAGMA user_version").fetchone()[0]
        for number, file in _EDITIONS.items():
            if edition < number:
                self._connection.executescript((_SQL / file).read_text(encoding="utf-8"))
        self._connection.executescript((_SQL / "hyperswitch_schema.sql").read_text(encoding="utf-8"))
        self._queries = _queries("queries.sql") | _queries("hyperswitch.sql")

    def close(self) -> None:
        """Closes the books; nothing is lost by not calling it."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is kept, or on any exception nothing of it."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def run(self, query: str, **params: object) -> int:
        """Runs a writing query; returns the last inserted row's place."""
        return self._connection.execute(self._queries[query], params).lastrowid or 0

    def rows(self, query: str, **params: object) -> list[dict[str, Any]]:
        """Runs a reading query."""
        return [dict(row) for row in self._connection.execute(self._queries[query], params)]

    def insert(self, record: Record) -> int:
        """Writes a new record; returns its place. A known id raises sqlite3.IntegrityError."""
        return self.run(f"insert_{_TABLES[type(record)]}", **_encoded(record))

    def update(self, record: Record) -> None:
        """Writes what can change of a known record."""
        encoded = _encoded(record)
        self._connection.execute(self._queries[f"update_{_TABLES[type(record)]}"], encoded)

    def get(self, kind: type[R], object_id: str) -> R | None:
        """The record of that kind with this id, or None."""
        found = self.many(kind, f"get_{_TABLES[kind]}", id=object_id)
        return found[0] if found else None

    def many(self, kind: type[R], query: str, **params: object) -> list[R]:
        """The records that a query finds."""
        return [_decoded(kind, row) for row in self._connection.execute(self._queries[query], params)]

    def page(
        self,
        kind: type[R],
        *,
        rows: int,
        after: int | None,
        before: int | None,
        filters: Mapping[str, object],
    ) -> tuple[list[R], bool]:
        """One page, newest first, and whether more lies beyond it in the direction asked for.

        `after` and `before` are places: older than `after`, or the nearest ones newer than `before`.
        """
        text = self._queries[f"list_{_TABLES[kind]}"]
        if before is not None:
            text = text.replace(_NEWEST_FIRST, _OLDEST_FIRST)
        params = {
            **filters,
            "rows": rows + 1,
            "seq_above": 0 if before is None else before,
            "seq_below": seq_max if after is None else after,
        }
        found = [_decoded(kind, row) for row in self._connection.execute(text, params)]
        more = len(found) > rows
        found = found[:rows]
        return (found if before is None else found[::-1]), more

    def place(self, kind: type[Record], object_id: str) -> int | None:
        """Where in its table a record stands, or None where there is none."""
        found = self.rows(f"get_{_TABLES[kind]}", id=object_id)
        return int(found[0]["seq"]) if found else None

    def setting(self, name: str) -> str | None:
        """A remembered word."""
        found = self.rows("get_setting", name=name)
        return str(found[0]["value"]) if found else None


def _queries(file: str) -> dict[str, str]:
    """The named queries of one file of `sql`."""
    parts = _NAME.split((_SQL / file).read_text(encoding="utf-8"))
    return {name: text.strip().rstrip(";") for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _encoded(record: Record) -> dict[str, object]:
    fields = msgspec.structs.asdict(record)
    return {
        name: json.dumps(value, separators=(",", ":")) if name in _JSON_COLUMNS else value
        for name, value in fields.items()
    }


def _decoded(kind: type[R], row: sqlite3.Row) -> R:
    fields = {
        name: json.loads(value) if name in _JSON_COLUMNS else value for name, value in dict(row).items()
    }
    return msgspec.convert(fields, kind, strict=False)
