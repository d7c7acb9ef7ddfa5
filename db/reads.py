"""What the audit API reads of the log, and the record of who read a payload; never changes an event.

Each call is one snapshot. Ids are log ids; amounts are minor units; times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import msgspec

from db import events
from db.log_ids import span_of_id
from db.pool import type_connection
from db.queries import Queries

AUDIT = Queries("audit.sql")

type_pool = asyncpg.Pool
"""What `db.pool.create_pool` makes; for annotations of rooms that may not import the driver."""

timeline_rows_max = 500
"""Rows read per kind of a delivery's story: a PSP sends an event some dozen times, and an attacker's replays
add nothing here because they are refused."""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery of the log with the state of its event, whose columns are None for refused deliveries.

    `conflict` tells of the event: another body came under its id. `conflict_detail` is not None when it was
    this one.
    """

    id: int
    received_at: datetime
    source: str
    endpoint: str
    origin: str
    verdict: str
    secret_id: str | None
    signed_at: int | None
    event_id: str | None
    event_type: str | None
    object_id: str | None
    body_bytes: int
    body_sha256: bytes | None
    source_ip: str | None
    user_agent: str | None
    request_id: str
    actor: str | None
    requests: int
    state: str | None
    reason: str | None
    attempts: int | None
    last_error: str | None
    applied_at: datetime | None
    conflict: bool | None
    first_log_id: int | None
    first_received_at: datetime | None
    conflict_detail: str | None


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """What a list of deliveries is narrowed to; None does not narrow. `ip` is an address or a network."""

    source: str | None = None
    endpoint: str | None = None
    origin: str | None = None
    verdict: str | None = None
    state: str | None = None
    event_type: str | None = None
    event_id: str | None = None
    object_id: str | None = None
    ip: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """The kept bytes of a delivery and its headers as the log holds them: a JSON list of [name, value]."""

    body: bytes
    headers: bytes


@dataclass(frozen=True, slots=True)
class EventDelivery:
    """A verified delivery of an event, for its story."""

    id: int
    received_at: datetime
    endpoint: str
    origin: str
    actor: str | None
    request_id: str
    body_sha256: bytes


@dataclass(frozen=True, slots=True)
class NoteRow:
    """A note of what happened to an event besides its outcome."""

    at: datetime
    what: str
    log_id: int | None
    actor: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """A change of state. The last three columns describe the causing delivery where they were asked for."""

    at: datetime
    kind: str
    source: str
    object_id: str
    seq: int
    from_state: str | None
    to_state: str
    rule: str
    money_before: str | None
    money_after: str | None
    event_id: str | None
    log_id: int | None
    actor: str | None
    event_type: str | None = None
    origin: str | None = None
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallRow:
    """What was wanted of a PSP, and how it stands; the last four columns describe the delivery that wanted
    it.

    `made_id` is the PSP's id of what it has opened, `next_attempt_at` None where it has ended.
    """

    at: datetime
    kind: str
    object_id: str
    idempotency_key: str
    made_id: str | None
    state: str
    attempts: int
    last_error: str | None
    next_attempt_at: datetime | None
    finished_at: datetime | None
    event_id: str
    log_id: int
    actor: str | None
    event_type: str | None
    origin: str | None
    received_at: datetime | None


class Leg(msgspec.Struct, frozen=True):
    """One posting: what one account gained (or, below zero, lost), in minor units of `unit`."""

    account_id: str
    unit: str
    exponent: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class MovementRow:
    """A movement of money with its legs. The last three columns are the causing delivery's, if asked for."""

    at: datetime
    id: int
    source: str
    movement: str
    money_object: str
    event_id: str | None
    log_id: int | None
    actor: str | None
    legs: list[Leg]
    event_type: str | None = None
    origin: str | None = None
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """Everything known of one delivery; lists are newest first, `complete` is False where one was cut."""

    delivery: DeliveryRow
    payload: Payload
    deliveries: list[EventDelivery]
    notes: list[NoteRow]
    transitions: list[TransitionRow]
    movements: list[MovementRow]
    complete: bool


@dataclass(frozen=True, slots=True)
class Access:
    """Who asked for what: one row of the access log."""

    actor: str
    action: str
    object: str
    request_id: str
    source_ip: str | None


def movement_row(row: asyncpg.Record) -> MovementRow:
    """A row of one of the `movements_of_…` queries; the legs come as JSON."""
    values = dict(row)
    legs = msgspec.json.decode(values.pop("legs") or b"[]", type=list[Leg])
    return MovementRow(at=values.pop("posted_at"), legs=legs, **values)


async def by_index(connection: type_connection) -> datetime:
    """Plan what follows in this transaction once and by index; returns the database's time."""
    now: datetime = await connection.fetchval(AUDIT.plan_by_index_once)
    return now


async def deliveries_at(
    connection: type_connection, places: Sequence[tuple[int, datetime]], narrowed: DeliveryFilter
) -> list[DeliveryRow]:
    """Deliveries at these places (id, time of receipt) that pass the filter, newest first."""
    if not places:
        return []
    ids, times = [place[0] for place in places], [place[1] for place in places]
    rows = await connection.fetch(
        AUDIT.list_deliveries,
        ids,
        times,
        min(times),
        max(times),
        narrowed.source,
        narrowed.endpoint,
        narrowed.origin,
        narrowed.verdict,
        narrowed.state,
        narrowed.event_type,
        narrowed.event_id,
        narrowed.object_id,
        narrowed.ip,
        narrowed.reason,
    )
    return [DeliveryRow(*row) for row in rows]


async def read_delivery(connection: type_connection, log_id: int) -> tuple[DeliveryRow, Payload] | None:
    """One delivery with its payload; None when the log has no such row (any more)."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _delivery(connection, log_id)


async def _delivery(connection: type_connection, log_id: int) -> tuple[DeliveryRow, Payload] | None:
    await by_index(connection)
    span = span_of_id(log_id)
    payload = await connection.fetchrow(AUDIT.read_payload, log_id, span.received_from, span.received_until)
    if payload is None:
        return None
    received_at, body, headers = payload
    found = await deliveries_at(connection, [(log_id, received_at)], DeliveryFilter())
    return found[0], Payload(body, headers)


async def read_story(connection: type_connection, log_id: int) -> Story | None:
    """One delivery with all that followed from its event; None when the log has no such row (any more)."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = await _delivery(connection, log_id)
        if found is None:
            return None
        delivery, payload = found
        deliveries: list[EventDelivery] = []
        notes: list[NoteRow] = []
        rows_max = timeline_rows_max
        if delivery.state is not None:
            key = (delivery.source, delivery.event_id)
            since = delivery.first_received_at
            deliveries = [
                EventDelivery(*row)
                for row in await connection.fetch(AUDIT.deliveries_of_event, *key, since, rows_max)
            ]
            notes = [NoteRow(*row) for row in await connection.fetch(AUDIT.notes_of_event, *key, rows_max)]
        causes = {log_id, *(each.id for each in deliveries)}
        if delivery.first_log_id is not None:
            causes.add(delivery.first_log_id)
        transitions = [
            TransitionRow(*row)
            for row in await connection.fetch(AUDIT.transitions_of_deliveries, list(causes), rows_max)
        ]
        movements = [
            movement_row(row)
            for row in await connection.fetch(AUDIT.movements_of_deliveries, list(causes), rows_max)
        ]
    lists: tuple[Sequence[object], ...] = (deliveries, notes, transitions, movements)
    complete = all(len(rows) < rows_max for rows in lists)
    return Story(delivery, payload, deliveries, notes, transitions, movements, complete)


async def log_access(connection: type_connection, access: Access) -> None:
    """Record who asked for what; committed when this returns."""
    await connection.execute(
        AUDIT.log_access, access.actor, access.action, access.object, access.request_id, access.source_ip
    )


@dataclass(frozen=True, slots=True)
class Appended:
    """An appended delivery and how its event stood at that moment."""

    log_id: int
    state: str
    reason: str | None


async def append_one(connection: type_connection, delivery: events.Delivery) -> Appended:
    """Append one verified delivery to the log and the inbox, and tell which row it became."""
    async with connection.transaction():
        await events.append(connection, [delivery])
        row = await connection.fetchrow(
            AUDIT.appended_event, delivery.source, delivery.event_id, delivery.request_id
        )
    assert row is not None, "a delivery with verdict ok always has an event"
    return Appended(*row)


async def answers(connection: type_connection) -> bool:
    """Whether the database takes questions."""
    return bool(await connection.fetchval(AUDIT.answers))
