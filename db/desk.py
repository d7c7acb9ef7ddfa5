"""The operator's desk: commands that are no deliveries, and what the console reads; never an event's rule.

Ids are log ids, alert ids or places in the history; amounts are minor units; times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from db import completeness, rollup
from db.completeness import Point
from db.findings import Order
from db.log_ids import ID_MAX
from db.pool import type_connection
from db.queries import Queries
from db.reads import AUDIT, MovementRow, Payload, by_index, movement_row
from db.rollup import DeliveryCount, Waits

DESK = Queries("desk.sql")


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An open alert."""

    id: int
    name: str
    subject: str
    detail: str | None
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class RunRow:
    """A reconcile run; `picked_up_at` is None while nobody has begun it, `seq` is its place in history."""

    seq: int
    id: str
    requested_by: str
    phases: list[str]
    dry_run: bool
    object: str | None
    status: str
    started_at: datetime
    picked_up_at: datetime | None
    finished_at: datetime | None
    counts: dict[str, Any]
    errors: list[str]
    findings: int


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A difference that a run found."""

    id: int
    source: str
    kind: str
    object_id: str
    detail: str | None
    repaired: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """Events that wait in quarantine for one reason."""

    reason: str
    events: int
    oldest: datetime
    newest: datetime
    event_types: list[str]


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """One event in quarantine; `log_id` is its first delivery."""

    log_id: int
    source: str
    event_id: str
    event_type: str | None
    object_id: str | None
    reason: str
    last_error: str | None
    attempts: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Series:
    """What the overview draws; `pending`: seconds that the oldest pending event of a bucket has waited."""

    traffic: list[DeliveryCount]
    waits: dict[datetime, Waits]
    pending: dict[datetime, float]
    completeness: list[Point]


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """One balance in minor units with `exponent` digits after the point."""

    account_id: str
    kind: str
    unit: str
    exponent: int
    amount: int
    updated_at: datetime


async def resolve_event(
    connection: type_connection, source: str, event_id: str, log_id: int, actor: str, reason: str
) -> str | None:
    """Take a quarantined event off the list. Returns `quarantined` or, where only the alert of a conflict was
    closed, `conflict`; any other state means that nothing was changed, None that there is no such event.
    """
    was: str | None = await connection.fetchval(DESK.resolve_event, source, event_id, log_id, actor, reason)
    return was


async def list_alerts(connection: type_connection, before_id: int | None, rows_max: int) -> list[AlertRow]:
    """Open alerts, newest first."""
    rows = await connection.fetch(DESK.list_alerts, before_id or ID_MAX, rows_max)
    return [AlertRow(*row) for row in rows]


async def resolve_alert(connection: type_connection, alert_id: int, actor: str, reason: str) -> str | None:
    """Close an open alert that is not of a quarantined event; returns its name, None when it is none such."""
    name: str | None = await connection.fetchval(DESK.resolve_alert, alert_id, actor, reason)
    return name


async def read_alert(connection: type_connection, alert_id: int) -> tuple[str, str, datetime | None] | None:
    """Name, subject and end of an alert."""
    row = await connection.fetchrow(DESK.alert_by_id, alert_id)
    return None if row is None else (row["name"], row["subject"], row["resolved_at"])


async def read_payloads(
    connection: type_connection, log_ids: Sequence[int], received_from: datetime, received_until: datetime
) -> dict[int, Payload]:
    """Exact bytes and headers of deliveries that were all received in this span, by id."""
    async with connection.transaction(readonly=True):
        await by_index(connection)
        rows = await connection.fetch(DESK.read_payloads, list(log_ids), received_from, received_until)
    return {row["id"]: Payload(row["body"], row["headers"]) for row in rows}


async def request_run(connection: type_connection, order: Order) -> None:
    """Ask for a reconcile run; it is on record as running when this returns."""
    await connection.execute(
        DESK.request_run, order.id, order.requested_by, list(order.phases), order.dry_run, order.object
    )


async def list_runs(connection: type_connection, before: int | None, rows_max: int) -> list[RunRow]:
    """Reconcile runs, those asked for last first."""
    return [_run(row) for row in await connection.fetch(DESK.list_runs, before or ID_MAX, rows_max)]


async def read_run(
    connection: type_connection, run_id: UUID, after_finding: int, rows_max: int
) -> tuple[RunRow, list[FindingRow]] | None:
    """A run with its findings beyond an id, in the order found; None when there is no such run."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(DESK.read_run, run_id)
        if row is None:
            return None
        found = await connection.fetch(DESK.findings_of_run, run_id, after_finding, rows_max)
    return _run(row), [FindingRow(*each) for each in found]


def _run(row: Any) -> RunRow:
    values = dict(row)
    values["counts"] = msgspec.json.decode(values["counts"])
    values["errors"] = msgspec.json.decode(values["errors"])
    return RunRow(**values)


async def read_quarantine(
    connection: type_connection, reason: str | None, before_id: int | None, rows_max: int
) -> tuple[list[ReasonRow], list[QuarantinedRow]]:
    """Why events wait in quarantine, and those of one reason (None: of any), newest first."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(AUDIT.plan_for_these_values)
        reasons = await connection.fetch(DESK.quarantine_by_reason)
        rows = await connection.fetch(DESK.quarantined_events, reason, before_id or ID_MAX, rows_max)
    return [ReasonRow(*row) for row in reasons], [QuarantinedRow(*row) for row in rows]


async def read_series(
    connection: type_connection, since: datetime, until: datetime, bucket_s: float
) -> Series:
    """Deliveries and waits of a span by bucket, and what the latest runs measured."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = await rollup.counted(connection, since, until, bucket_s)
        return Series(
            found.deliveries,
            found.waits,
            await rollup.longest_pending(connection, since, until, bucket_s),
            await completeness.history(connection),
        )


async def list_balances(
    connection: type_connection, after: tuple[str, str], begins: str | None, overdrawn: bool, rows_max: int
) -> list[BalanceRow]:
    """Balances by account and unit, beyond (account id, unit); only of ids that begin so, only below zero."""
    async with connection.transaction(readonly=True):
        await connection.execute(AUDIT.plan_for_these_values)
        rows = await connection.fetch(DESK.list_balances, *after, begins, overdrawn, rows_max)
    return [BalanceRow(*row) for row in rows]


async def list_postings(
    connection: type_connection, account_id: str, before_id: int | None, rows_max: int
) -> list[MovementRow]:
    """Movements of money on one account, newest first."""
    async with connection.transaction(readonly=True):
        await by_index(connection)
        rows = await connection.fetch(
            DESK.desk_postings_of_account, account_id, before_id or ID_MAX, rows_max
        )
    return [movement_row(row) for row in rows]
