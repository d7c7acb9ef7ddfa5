"""Runs the invariant queries of `sql/queries/checks.sql`: money and state must satisfy each at any commit."""

from __future__ import annotations

from db.pool import type_connection
from db.queries import CHECKS

query_s_max = 600.0
"""One invariant over the whole log: a minute at ten million rows, and nobody waits for it."""


async def run(connection: type_connection) -> dict[str, int]:
    """Every invariant by name with the number of rows that break it, all in one snapshot; all zero when
    well.
    """
    found: dict[str, int] = {}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for name, query in CHECKS.by_name.items():
            found[name] = len(await connection.fetch(query, timeout=query_s_max))
    return found
