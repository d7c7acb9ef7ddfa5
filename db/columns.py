"""Columns of values as Postgres writes arrays; for statements that take many rows at once. Decides nothing.

The driver looks at each element of a list in Python, to see whether it is a list itself, before it sends it:
a sixth of a worker's time, for answers that are always no. Text it sends as it is, so a query that takes its
lists like this says `$1::text::bigint[]`.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from db.pool import type_connection

type_value = str | int | float | None


def column(values: Sequence[type_value]) -> str:
    """The array literal of texts, or of numbers and booleans; None is NULL."""
    first = next((value for value in values if value is not None), None)
    if isinstance(first, str):
        return _texts(values)
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _texts(values: Sequence[type_value]) -> str:
    if None not in values:
        joined = '","'.join(values)  # type: ignore[arg-type]  # a column is all of one type
        if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
            return '{"' + joined + '"}'
    return "{" + ",".join(["NULL" if value is None else _quoted(str(value)) for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


async def execute(connection: type_connection, query: str, *columns: Sequence[type_value]) -> str:
    """Run a query whose arguments are all columns; returns what the server says that it did."""
    return await connection.execute(query, *map(column, columns))


async def fetch(
    connection: type_connection, query: str, *columns: Sequence[type_value]
) -> list[asyncpg.Record]:
    """The same for a query that answers rows."""
    return await connection.fetch(query, *map(column, columns))
