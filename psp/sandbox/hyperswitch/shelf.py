"""Puts the merchant's records into the sandbox's books and takes them out; must never decide about money."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from psp.sandbox.store import Store

from .errors import unknown
from .records import TABLES, Dispute, Payment, Record, Refund

R = TypeVar("R", bound=msgspec.Struct)
NOUNS: Mapping[type, str] = {Payment: "Payment", Refund: "Refund", Dispute: "Dispute"}
"""What Hyperswitch calls each kind when it cannot find one."""


class Shelf:
    """The tables of this merchant in the books of the sandbox, under the same transactions."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def insert(self, record: Record) -> None:
        """Writes a new record."""
        self.store.run(f"insert_{TABLES[type(record)]}", **_encoded(record))

    def update(self, record: Record) -> None:
        """Writes what can change of a known record."""
        self.store.run(f"update_{TABLES[type(record)]}", **_encoded(record))

    def find(self, kind: type[R], object_id: str) -> R | None:
        """The record of that kind with this id, or None."""
        found = self.many(kind, f"get_{TABLES[kind]}", id=object_id)
        return found[0] if found else None

    def the(self, kind: type[R], object_id: str) -> R:
        """The record with this id; raises HyperswitchError 404 where there is none."""
        record = self.find(kind, object_id)
        if record is None:
            raise unknown(NOUNS[kind])
        return record

    def many(self, kind: type[R], query: str, **params: object) -> list[R]:
        """The records that a query finds."""
        return [
            msgspec.convert(_decoded(row), kind, strict=False) for row in self.store.rows(query, **params)
        ]

    def count(self, query: str, **params: object) -> int:
        """The number that a counting query finds."""
        return int(self.store.rows(query, **params)[0]["rows"])


def _encoded(record: Record) -> dict[str, object]:
    fields = msgspec.structs.asdict(record)
    if "metadata" in fields:
        fields["metadata"] = json.dumps(fields["metadata"], separators=(",", ":"))
    return fields


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    if "metadata" in row:
        row["metadata"] = json.loads(row["metadata"])
    return row
