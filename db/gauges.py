"""Reads what the metrics show of the whole house: bounded by what waits; never counts over the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from db import completeness, rollup
from db.completeness import Completeness
from db.pool import type_connection
from db.queries import Queries
from db.reads import AUDIT, by_index
from db.status import ProcessRow, Queue, process_row, read_queue

METRICS = Queries("metrics.sql")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each kind of object may wait before it counts as stuck, in seconds."""

    refund_orphan_s: float
    refund_s: float
    checkout_s: float
    subscription_s: float
    order_s: float


@dataclass(frozen=True, slots=True)
class Stuck:
    """Objects that have waited for too long; transfers that are, or never were, taken back."""

    orphan_refunds: int
    refunds: int
    checkouts: int
    subscriptions: int
    orders: int
    reversals_pending: int
    reversals_failed: int


@dataclass(frozen=True, slots=True)
class Run:
    """The reconcile run that ended last: unix time of its end, its status and seconds."""

    finished_at: float
    status: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Gauges:
    """One sample; `waits` are the 0.5 and 0.99 quantiles of seconds from receipt to outcome, if any."""

    queue: Queue
    waits: tuple[float | None, float | None]
    stuck: Stuck
    alerts: dict[str, int]
    run: Run | None
    processes: list[ProcessRow]
    completeness: list[Completeness]


async def read(connection: type_connection, patience: Patience, waits_window_s: float) -> Gauges:
    """Everything in one snapshot."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(AUDIT.plan_for_these_values)
        queue = await read_queue(connection)
        stuck = await connection.fetchrow(
            METRICS.sample_stuck,
            patience.refund_orphan_s,
            patience.refund_s,
            patience.checkout_s,
            patience.subscription_s,
            patience.order_s,
        )
        alerts = {row["name"]: row["open"] for row in await connection.fetch(AUDIT.open_alerts)}
        run = await connection.fetchrow(METRICS.sample_run)
        processes = [process_row(row) for row in await connection.fetch(AUDIT.list_processes)]
        now = await by_index(connection)
        window = await rollup.counted(connection, now - timedelta(seconds=waits_window_s), now, 60.0)
        measured = await completeness.read(connection)
    assert stuck is not None
    waits = window.all_waits
    ended = None if run is None else Run(*run)
    return Gauges(
        queue,
        (waits.quantile_s(0.5), waits.quantile_s(0.99)),
        Stuck(*stuck),
        alerts,
        ended,
        processes,
        measured,
    )
