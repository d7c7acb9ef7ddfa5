"""Rows of the log as bytes to be hashed, and the seals over them. Hashes nothing and judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from db import log_ids
from db.pool import type_connection
from db.queries import Queries

SEALS = Queries("seals.sql")

scan_s_max = 3_600.0
"""A verification reads the whole log once; nobody waits for it."""


class Head(NamedTuple):
    """The newest seal: its number, the last log id that it vouches for, and its hash."""

    number: int
    last_id: int
    seal: bytes


class StoredSeal(NamedTuple):
    """One seal as it stands in the table; `row_digests` holds 32 bytes for each of `row_ids`."""

    number: int
    row_ids: list[int]
    row_digests: bytes
    previous: bytes
    seal: bytes


async def horizon(connection: type_connection, seconds: float) -> tuple[int, list[str]]:
    """The first log id that is younger than this, and the transactions that write to the log right now."""
    row = await connection.fetchrow(SEALS.seal_horizon, seconds)
    assert row is not None
    return row["horizon_id"], row["writers"]


async def still_writing(connection: type_connection, writers: Sequence[str]) -> list[str]:
    """Those of these transactions that have not ended."""
    rows = await connection.fetch(SEALS.log_writers, list(writers))
    return [row["virtualtransaction"] for row in rows]


async def rows_to_hash(
    connection: type_connection, after_id: int, until_id: int, rows_max: int
) -> list[tuple[int, bytes]]:
    """Ids and binary forms of the log's rows with `after_id < id <= until_id`, oldest first; rows whose time
    is not that of their id are not among them.
    """
    received_from = log_ids.span_of_id(after_id).received_from
    received_until = log_ids.span_of_id(until_id).received_until
    rows = await connection.fetch(
        SEALS.rows_to_hash, after_id, until_id, received_from, received_until, rows_max
    )
    return [(row["id"], row["bytes"]) for row in rows]


async def misplaced(connection: type_connection) -> int | None:
    """The first row whose id does not tell its time; None when there is none."""
    found: int | None = await connection.fetchval(SEALS.misplaced_log_row, timeout=scan_s_max)
    return found


async def unsealed(connection: type_connection, after_id: int) -> int:
    """How many rows lie beyond the last sealed one."""
    return int(await connection.fetchval(SEALS.unsealed_log_rows, after_id, timeout=scan_s_max))


async def head(connection: type_connection) -> Head | None:
    """The newest seal; None before the first."""
    row = await connection.fetchrow(SEALS.seal_head)
    return None if row is None else Head(*row)


async def add(
    connection: type_connection,
    number: int,
    row_ids: Sequence[int],
    row_digests: bytes,
    previous: bytes,
    seal: bytes,
) -> None:
    """Append a seal; raises an error of LOST_RACE when another sealer has made this number."""
    await connection.execute(SEALS.add_seal, number, list(row_ids), row_digests, previous, seal)


async def after(connection: type_connection, number: int, seals_max: int) -> list[StoredSeal]:
    """The seals that follow, in order."""
    return [StoredSeal(*row) for row in await connection.fetch(SEALS.seals_after, number, seals_max)]
