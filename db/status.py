"""Reads how the house is doing: heartbeats, what waits, alerts, the last run. Never counts over the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from db import completeness, pulse
from db.completeness import Completeness
from db.pool import type_connection
from db.pulse import Pulse
from db.reads import AUDIT, by_index


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process that has not taken its heartbeat away; `age_s`: since the last one, by the database clock."""

    process: str
    instance: str
    started_at: datetime
    beat_at: datetime
    age_s: float
    counters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits. `oldest_pending_s` is 0 when nothing is pending."""

    pending: int
    due: int
    redeliveries: int
    oldest_pending_s: float
    parked: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class RunRow:
    """A reconcile run; `counts` as the run recorded them."""

    id: str
    requested_by: str
    phases: list[str]
    dry_run: bool
    status: str
    started_at: datetime
    finished_at: datetime | None
    counts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HouseStatus:
    """One snapshot of the house; `alerts` counts open ones by name."""

    processes: list[ProcessRow]
    queue: Queue
    alerts: dict[str, int]
    latest_run: RunRow | None
    completeness: list[Completeness]
    sources: list[Pulse]


def process_row(row: Any) -> ProcessRow:
    """A row of `list_processes`; the counters come as JSON."""
    return ProcessRow(**{**row, "counters": msgspec.json.decode(row["counters"])})


async def read_status(connection: type_connection) -> HouseStatus:
    """Everything in one snapshot, by partial indexes and small tables only."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await by_index(connection)
        processes = [process_row(row) for row in await connection.fetch(AUDIT.list_processes)]
        queue = await read_queue(connection)
        alerts = {row["name"]: row["open"] for row in await connection.fetch(AUDIT.open_alerts)}
        run = await connection.fetchrow(AUDIT.latest_run)
        measured = await completeness.read(connection)
        sources = await pulse.read(connection)
    latest = None if run is None else RunRow(**{**run, "counts": msgspec.json.decode(run["counts"])})
    return HouseStatus(processes, queue, alerts, latest, measured, sources)


async def read_queue(connection: type_connection) -> Queue:
    """What waits, alone."""
    figures = await connection.fetchrow(AUDIT.queue_figures)
    assert figures is not None
    return Queue(*figures)
