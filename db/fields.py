"""Keeps which fields PSPs send, by type of event and version of their API: names only, never a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.pool import type_connection
from db.queries import Queries

FIELDS = Queries("fields.sql")


@dataclass(frozen=True, slots=True)
class Seen:
    """That an event had a field, or had it not; `version` is empty where the PSP tells none."""

    source: str
    event_type: str
    version: str
    field: str
    present: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A field that earlier events of its type had; `is_new`: nobody has been told yet."""

    source: str
    event_type: str
    version: str
    field: str
    is_new: bool


async def notice(connection: type_connection, seen: Sequence[Seen]) -> list[Lost]:
    """Record what was seen, and tell what of it is lost."""
    rows = await connection.fetch(
        FIELDS.notice_fields,
        [one.source for one in seen],
        [one.event_type for one in seen],
        [one.version for one in seen],
        [one.field for one in seen],
        [one.present for one in seen],
    )
    return [Lost(*row) for row in rows]
