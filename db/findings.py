"""What the reconciler records: runs, findings, cursors. It never writes a subject."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.pool import type_connection
from db.queries import OPERATIONS

PHASES = (
    "undelivered_events",
    "generation_failures",
    "awaited_parents",
    "stuck_orders",
    "stuck_refunds",
    "orphan_refunds",
    "stuck_subscriptions",
    "stuck_checkout_sessions",
    "object_diff",
    "money_tie_out",
)
"""What a run consists of; here, because the reconciler runs them and the API takes orders for them."""

OBJECT = "object"
"""Stands for the phase where a run is about one object."""

REPAIRED = "repaired_"
"""Before the phase in the name of a counter of the reconciler's heartbeat: what it has repaired since its
start."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference between the PSP's world and ours; `kind` as the CHECK of `reconcile_finding` lists."""

    source: str
    kind: str
    object_id: str
    detail: str | None
    repaired: bool


@dataclass(frozen=True, slots=True)
class Order:
    """A run as it is asked for: which phases, only to look, and about which object (kind:id; None: all)."""

    id: UUID
    requested_by: str
    phases: Sequence[str]
    dry_run: bool
    object: str | None = None


async def start_run(connection: type_connection, order: Order, instance: str | None) -> None:
    """Open the record of a run that begins now in the process of this name (None: a command line)."""
    await connection.execute(
        OPERATIONS.start_run,
        order.id,
        order.requested_by,
        list(order.phases),
        order.dry_run,
        order.object,
        instance,
    )


async def pick_up_run(connection: type_connection, instance: str) -> Order | None:
    """Take the oldest run that somebody asked for; it is this process's from now on. None: there is none."""
    row = await connection.fetchrow(OPERATIONS.pick_up_run, instance)
    return None if row is None else Order(*row)


async def fail_abandoned_runs(connection: type_connection, silent_s: float) -> None:
    """End the record of runs whose process has been silent for so long: nobody else will."""
    await connection.execute(OPERATIONS.fail_abandoned_runs, silent_s)


async def finish_run(
    connection: type_connection, run_id: UUID, status: str, counts: Mapping[str, Any], errors: Sequence[str]
) -> None:
    """Close the record of a run; `status` is succeeded, partial or failed."""
    await connection.execute(
        OPERATIONS.finish_run, run_id, status, json.dumps(dict(counts)), json.dumps(list(errors))
    )


async def add(connection: type_connection, run_id: UUID, findings: Sequence[Finding]) -> None:
    """Record what a run found."""
    if findings:
        await connection.execute(
            OPERATIONS.add_findings,
            run_id,
            [finding.source for finding in findings],
            [finding.kind for finding in findings],
            [finding.object_id for finding in findings],
            [finding.detail for finding in findings],
            [finding.repaired for finding in findings],
        )


async def read_cursor(connection: type_connection, source: str, name: str) -> str | None:
    """Where the last run of a phase ended; None before the first."""
    position: str | None = await connection.fetchval(OPERATIONS.read_cursor, source, name)
    return position


async def move_cursor(connection: type_connection, source: str, name: str, position: str) -> None:
    """Remember where a phase ended."""
    await connection.execute(OPERATIONS.move_cursor, source, name, position)
