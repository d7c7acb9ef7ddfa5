"""What proving needs of Postgres: one snapshot of the live database, a scratch database beside it, the log
in order, and tables in the shape in which they are compared. Never writes to the live database and decides
nothing.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from db import log_ids, pool
from db.migrate import migrate
from db.pool import type_connection
from db.queries import Queries

PROVE = Queries("prove.sql")

statement_s_max = 3_600.0
"""One statement over a whole table may take this long; nobody waits for it."""
rows_at_once = 2_000


class CannotMakeScratchError(Exception):
    """The login may not make databases."""


class Snapshot(NamedTuple):
    """A name under which other connections see the same, and when it was taken."""

    name: str
    at: datetime


class LoggedEvent(NamedTuple):
    """A delivery of the log with the event it belongs to as the live inbox has it; with `delivery_id` other
    than `log_id` an operator's replay of it.
    """

    source: str
    event_id: str
    log_id: int
    received_at: datetime
    psp_created: int | None
    body_sha256: bytes
    state: str
    applied_at: datetime | None
    next_attempt_at: datetime
    delivery_id: int
    delivered_at: datetime
    endpoint: str
    body: bytes


class DueAgain(NamedTuple):
    """An event of the scratch inbox that was parked and is due again."""

    source: str
    event_id: str
    log_id: int
    received_at: datetime
    attempts: int
    psp_created: int | None
    reason: str | None


class Gone(NamedTuple):
    """Events whose payload retention has taken: how many, and the last one's log id (0: none)."""

    events: int
    last_id: int


def beside(dsn: str, database: str) -> str:
    """Another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


@contextlib.asynccontextmanager
async def scratch(dsn: str, name: str) -> AsyncIterator[str]:
    """A migrated, empty database beside `dsn`, gone when the block is left. Raises CannotMakeScratchError.

    A database and not a schema: the ledger's trigger books balances in `public`, and must not find live ones.
    """
    owner = await pool.connect(dsn, None, "sluice-prove")
    try:
        drop = await owner.fetchval(PROVE.scratch_to_drop, name)
        try:
            await owner.execute(await owner.fetchval(PROVE.scratch_to_make, name), timeout=statement_s_max)
        except asyncpg.InsufficientPrivilegeError as error:
            raise CannotMakeScratchError from error
        try:
            made = beside(dsn, name)
            await migrate(made)
            yield made
        finally:
            if owner.is_closed():
                owner = await pool.connect(dsn, None, "sluice-prove")
            await owner.execute(drop, timeout=statement_s_max)
    finally:
        await owner.close()


async def connect_scratch(dsn: str) -> asyncpg.Connection:
    """A connection as the owner of a scratch database, which need not survive a crash."""
    connection = await pool.connect(dsn, None, "sluice-rebuild")
    await connection.fetchval(PROVE.waive_durability)
    return connection


@contextlib.asynccontextmanager
async def snapshot(live: type_connection) -> AsyncIterator[Snapshot]:
    """One view of the live database for as long as the block lasts; others may join it."""
    async with live.transaction(isolation="repeatable_read", readonly=True):
        await live.fetchval(PROVE.may_rest)
        row = await live.fetchrow(PROVE.share_snapshot)
        assert row is not None
        yield Snapshot(*row)


@contextlib.asynccontextmanager
async def joined(live: type_connection, name: str) -> AsyncIterator[None]:
    """The same view in another process."""
    join = await live.fetchval(PROVE.snapshot_to_join, name)
    async with live.transaction(isolation="repeatable_read", readonly=True):
        await live.execute(join)
        await live.fetchval(PROVE.may_rest)
        yield


async def payloads_gone(live: type_connection, from_id: int) -> Gone:
    """What retention has taken of the log from this id on."""
    row = await live.fetchrow(PROVE.payloads_gone, from_id, timeout=statement_s_max)
    assert row is not None
    return Gone(row["events"], row["last_id"] or 0)


async def events_to_rebuild(live: type_connection, from_id: int) -> tuple[int, int]:
    """How many events from this log id on have an outcome, and how many wait for theirs."""
    row = await live.fetchrow(PROVE.events_to_rebuild, from_id, timeout=statement_s_max)
    assert row is not None
    return row["decided"], row["waiting"]


async def log(live: type_connection, from_id: int, rows_max: int) -> AsyncIterator[list[LoggedEvent]]:
    """The verified deliveries that decide something, from this log id on, in the order of the log."""
    received_from = log_ids.span_of_id(from_id).received_from
    rows: list[LoggedEvent] = []
    cursor = live.cursor(
        PROVE.log_to_replay, from_id, received_from, prefetch=rows_max, timeout=statement_s_max
    )
    async for row in cursor:
        rows.append(LoggedEvent(*row))
        if len(rows) == rows_max:
            yield rows
            rows = []
    if rows:
        yield rows


async def bodies_again(
    live: type_connection, keys: Sequence[tuple[int, datetime]]
) -> dict[int, tuple[str, bytes]]:
    """Endpoint and body of first deliveries by log id."""
    rows = await live.fetch(PROVE.bodies_again, [key[0] for key in keys], [key[1] for key in keys])
    return {row["id"]: (row["endpoint"], row["body"]) for row in rows}


async def put_events(scratch_: type_connection, rows: Sequence[LoggedEvent], attempts: int) -> None:
    """Put events into the scratch inbox, their `attempts` counted already."""
    await scratch_.execute(
        PROVE.put_events,
        [row.source for row in rows],
        [row.event_id for row in rows],
        [row.log_id for row in rows],
        [row.received_at for row in rows],
        [row.psp_created for row in rows],
        [row.body_sha256 for row in rows],
        [attempts] * len(rows),
    )


async def claim_woken(scratch_: type_connection, attempts: int) -> list[DueAgain]:
    """Everything that is due in the scratch inbox, oldest first."""
    rows = await scratch_.fetch(PROVE.claim_woken, attempts)
    return sorted((DueAgain(*row) for row in rows), key=lambda due: due.log_id)


async def expire(scratch_: type_connection, keys: Sequence[tuple[str, str]]) -> None:
    """End the wait of these parked events (source, event id)."""
    await scratch_.execute(PROVE.expire_these, [key[0] for key in keys], [key[1] for key in keys])


async def keys_from_before(live: type_connection, log_id: int) -> list[tuple[str, str]]:
    """Source and key of whatever had a history before this log id."""
    rows = await live.fetch(PROVE.keys_from_before, log_id, timeout=statement_s_max)
    return [(row["source"], row["key"]) for row in rows]


async def accounts_from_before(live: type_connection, log_id: int) -> set[str]:
    """Accounts that money moved on before this log id."""
    rows = await live.fetch(PROVE.accounts_from_before, log_id, timeout=statement_s_max)
    return {row["account_id"] for row in rows}


_GIVEN_BEFORE = {
    "account": PROVE.given_accounts,
    "checkout_session": PROVE.given_sessions,
    "state_transition": PROVE.given_transitions,
}
_GIVEN_AFTER = {"ledger_transaction": PROVE.given_transactions, "ledger_posting": PROVE.given_postings}


async def copy_given(live: type_connection, scratch_: type_connection) -> dict[str, int]:
    """Copy what is there without any event and events then meet; returns rows by table."""
    return {table: await _copy(live, scratch_, table, query) for table, query in _GIVEN_BEFORE.items()}


async def copy_given_money(live: type_connection, scratch_: type_connection) -> dict[str, int]:
    """Copy money that was moved by hand, once all accounts are there; returns rows by table."""
    return {table: await _copy(live, scratch_, table, query) for table, query in _GIVEN_AFTER.items()}


async def _copy(live: type_connection, scratch_: type_connection, table: str, query: str) -> int:
    columns = [attribute.name for attribute in (await live.prepare(query)).get_attributes()]
    rows = io.BytesIO()
    await live.copy_from_query(query, output=rows, format="binary", timeout=statement_s_max)
    rows.seek(0)
    status: str = await scratch_.copy_to_table(
        table, source=rows, columns=columns, format="binary", timeout=statement_s_max
    )
    return int(status.rpartition(" ")[2])


COMPARED: dict[str, tuple[str, int]] = {
    "checkout_session": (PROVE.compared_checkout_session, 2),
    "orders": (PROVE.compared_orders, 2),
    "license": (PROVE.compared_license, 3),
    "seller_transfer": (PROVE.compared_seller_transfer, 2),
    "refund": (PROVE.compared_refund, 2),
    "dispute": (PROVE.compared_dispute, 2),
    "subscription": (PROVE.compared_subscription, 2),
    "subscription_invoice": (PROVE.compared_subscription_invoice, 2),
    "account": (PROVE.compared_account, 1),
    "balance": (PROVE.compared_balance, 2),
    "ledger_transaction": (PROVE.compared_ledger_transaction, 4),
    "ledger_posting": (PROVE.compared_ledger_posting, 6),
    "state_transition": (PROVE.compared_state_transition, 4),
    "outbox_effect": (PROVE.compared_outbox_effect, 2),
    "webhook_event": (PROVE.compared_webhook_event, 2),
}
"""Every table that events make: its query, and how many of its first columns are the key that it is ordered
by. Columns that begin with `~` say where a row comes from and are not compared.
"""


async def rows_of(connection: type_connection, table: str) -> AsyncIterator[dict[str, object]]:
    """The rows of a compared table in the order of its key; call inside a transaction."""
    async for row in connection.cursor(COMPARED[table][0], prefetch=rows_at_once, timeout=statement_s_max):
        yield dict(row)
