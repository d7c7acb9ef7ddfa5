"""The log and the inbox: append deliveries, claim what is due, mark outcomes. Knows no rule of money.

Everything here is set-based: lists in, one statement each.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from db import columns
from db.pool import type_connection
from db.queries import EVENTS


class Delivery(NamedTuple):
    """One row to append to the audit log; with verdict `ok` also an event of the inbox. Its fields are those
    of the SQL type `webhook_delivery`, in order.

    `event_id`, `event_type` and `object_id` must be storable text (no NUL, no lone surrogate). `headers` is
    the JSON list of allow-listed headers. `body_bytes` is the length received or declared; `body` may hold
    less unless the verdict is `ok`. `requests` above 1 makes it an aggregate row.
    """

    source: str
    endpoint: str
    origin: str
    verdict: str
    secret_id: str | None
    signed_at: int | None
    event_id: str | None
    event_type: str | None
    object_id: str | None
    psp_created: int | None
    body: bytes
    body_bytes: int
    body_sha256: bytes | None
    headers: bytes
    source_ip: str | None
    user_agent: str | None
    request_id: str
    actor: str | None = None
    requests: int = 1


class ClaimedEvent(Struct, frozen=True):
    """An event leased to this worker. `reason` is of its last outcome (`expired`: what it waited for never
    came); `body` is None when retention has taken the payload.
    """

    source: str
    event_id: str
    log_id: int
    received_at: datetime
    attempts: int
    psp_created: int | None
    reason: str | None
    endpoint: str | None
    body: bytes | None


class Mark(Struct, frozen=True):
    """The outcome of one claimed event as it goes into the inbox. `delay_s` moves the next attempt."""

    source: str
    event_id: str
    attempts: int
    state: str
    reason: str | None = None
    last_error: str | None = None
    awaits: str | None = None
    delay_s: float | None = None


class Note(Struct, frozen=True):
    """Something that happened to an event besides its outcome; `what` as the CHECK of `event_note` lists."""

    source: str
    event_id: str
    what: str
    log_id: int | None = None
    actor: str | None = None
    detail: str | None = None


class Redelivery(Struct, frozen=True):
    """A verified delivery of an id that was known: `same_bytes` compares it with the first delivery's
    body.
    """

    log_id: int
    received_at: datetime
    source: str
    event_id: str
    origin: str
    state: str
    same_bytes: bool
    first_log_id: int
    first_received_at: datetime


def own_delivery(
    source: str,
    endpoint: str,
    origin: str,
    event: tuple[str | None, str | None, str | None, int | None],
    body: bytes,
    request_id: str,
    actor: str,
    source_ip: str | None = None,
    user_agent: str | None = None,
) -> Delivery:
    """A delivery that one of our own processes appends: nobody has signed it, `actor` answers for it.

    `event` is its id, type, object and creation time (unix seconds).
    """
    return Delivery(
        source,
        endpoint,
        origin,
        "ok",
        None,
        None,
        *event,
        body=body,
        body_bytes=len(body),
        body_sha256=hashlib.sha256(body).digest(),
        headers=b"[]",
        source_ip=source_ip,
        user_agent=user_agent,
        request_id=request_id,
        actor=actor,
    )


async def append(
    connection: type_connection, deliveries: Sequence[Delivery], timeout_s: float | None = None
) -> None:
    """Append deliveries to the log, and by its trigger to the inbox, in one statement and one commit.

    After a TimeoutError or a lost connection it is unknown whether they were committed.
    """
    await connection.execute(EVENTS.append_deliveries, deliveries, timeout=timeout_s)


async def remember_addresses(connection: type_connection) -> None:
    """Encode source addresses from memory on this connection: few senders send nearly everything, and parsing
    an address anew costs as much as all other columns of its row together.
    """
    await connection.set_type_codec(
        "inet", schema="pg_catalog", encoder=_inet, decoder=bytes, format="binary"
    )


@functools.lru_cache(maxsize=4_096)
def _inet(address: str) -> bytes:
    """Postgres' binary form: family (IPv4 2, IPv6 3), bits, whether it is a network, length, bytes."""
    parsed = ipaddress.ip_address(address)
    family = 2 if parsed.version == 4 else 3
    return bytes((family, parsed.max_prefixlen, 0, len(parsed.packed))) + parsed.packed


async def claim_due(
    connection: type_connection, rows_max: int, lease_s: float, alone_from: int
) -> list[ClaimedEvent]:
    """Lease the oldest due events, their attempt counted; one with `alone_from` attempts behind it comes
    alone.
    """
    rows = await connection.fetch(EVENTS.claim_due, rows_max, lease_s, alone_from)
    return [ClaimedEvent(*row) for row in rows]


async def release_claims(connection: type_connection, events: Sequence[ClaimedEvent]) -> None:
    """Give back attempts that were counted for work the database's own absence prevented."""
    await connection.execute(
        EVENTS.release_claims,
        [event.source for event in events],
        [event.event_id for event in events],
        [event.attempts for event in events],
    )


async def mark(connection: type_connection, marks: Sequence[Mark]) -> int:
    """Write outcomes; returns how many rows were still ours to mark."""
    status = await columns.execute(
        connection,
        EVENTS.mark_events,
        [m.source for m in marks],
        [m.event_id for m in marks],
        [m.attempts for m in marks],
        [m.state for m in marks],
        [m.reason for m in marks],
        [m.last_error for m in marks],
        [m.awaits for m in marks],
        [m.delay_s for m in marks],
    )
    return int(status.rpartition(" ")[2])


async def add_notes(connection: type_connection, notes: Sequence[Note]) -> None:
    """Record what happened to events besides their outcome."""
    if notes:
        await connection.execute(
            EVENTS.add_event_notes,
            [n.source for n in notes],
            [n.event_id for n in notes],
            [n.what for n in notes],
            [n.log_id for n in notes],
            [n.actor for n in notes],
            [n.detail for n in notes],
        )


async def wake_parked(connection: type_connection, keys: Sequence[tuple[str, str]]) -> int:
    """Open the events parked under these (source, awaited key) pairs; returns how many."""
    if not keys:
        return 0
    status = await columns.execute(
        connection, EVENTS.wake_parked, [key[0] for key in keys], [key[1] for key in keys]
    )
    return int(status.rpartition(" ")[2])


async def wake_parked_arrived(connection: type_connection) -> int:
    """Open the parked events whose payment or subscription is known by now; returns how many."""
    status = await connection.execute(EVENTS.wake_parked_arrived)
    return int(status.rpartition(" ")[2])


async def expire_parked(connection: type_connection) -> int:
    """Make events due once more whose awaited key never came; returns how many."""
    return len(await connection.fetch(EVENTS.expire_parked))


async def take_redeliveries(connection: type_connection, rows_max: int) -> list[Redelivery]:
    """Lock and return the oldest unjudged redeliveries; call inside a transaction."""
    return [Redelivery(*row) for row in await connection.fetch(EVENTS.take_redeliveries, rows_max)]


async def load_bodies(
    connection: type_connection, keys: Sequence[tuple[int, datetime]]
) -> dict[int, tuple[bytes, str | None]]:
    """Exact bytes and actor of deliveries by log id; those that retention took are missing."""
    rows = await connection.fetch(EVENTS.load_bodies, [key[0] for key in keys], [key[1] for key in keys])
    return {row["id"]: (row["body"], row["actor"]) for row in rows}


async def flag_conflicts(connection: type_connection, keys: Sequence[tuple[str, str]]) -> None:
    """Mark the events (source, event id) under whose id another body came."""
    await connection.execute(EVENTS.flag_conflicts, [key[0] for key in keys], [key[1] for key in keys])


async def reopen(connection: type_connection, keys: Sequence[tuple[str, str]]) -> None:
    """Make the events (source, event id) due again, unless they were applied."""
    await connection.execute(EVENTS.reopen_events, [key[0] for key in keys], [key[1] for key in keys])


async def drop_redeliveries(connection: type_connection, log_ids: Sequence[int]) -> None:
    """Forget redeliveries that have been judged."""
    await connection.execute(EVENTS.drop_redeliveries, list(log_ids))
