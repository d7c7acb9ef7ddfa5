"""Reads the access log: who looked at which payload or gave which command. It is written by whoever answers
them, in `db.reads`, and changed by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from db.log_ids import ID_MAX
from db.pool import type_connection
from db.queries import Queries
from db.reads import AUDIT

ACCESS = Queries("access.sql")


@dataclass(frozen=True, slots=True)
class AccessRow:
    """One entry; `object` is a kind and an id, like `delivery:7`."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    request_id: str
    source_ip: str | None


async def list_accesses(
    connection: type_connection, before_id: int | None, thing: str | None, actor: str | None, rows_max: int
) -> list[AccessRow]:
    """Entries below an id, newest first; only of one object or actor, if asked."""
    async with connection.transaction(readonly=True):
        await connection.execute(AUDIT.plan_for_these_values)
        rows = await connection.fetch(ACCESS.list_accesses, before_id or ID_MAX, thing, actor, rows_max)
    return [AccessRow(*row) for row in rows]
