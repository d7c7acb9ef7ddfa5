"""`/ops/reconcile`: asks for reconcile runs and shows what they found; never runs one itself.

A run that was asked for is a row in status `running` that nobody has picked up yet; the reconciler does so
within a second. Statuses are the contract's, so `picked_up_at` tells the two apart.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from api import bodies, errors, filters
from api.answers import json_answer
from api.commands import ReconcileOrder
from api.errors import Detail
from api.world import CALLER, WORLD, access
from db import desk, reads
from db.desk import FindingRow, RunRow
from db.findings import PHASES, Order
from psp.reads import ASKED_KINDS


async def start(request: web.Request) -> web.Response:
    """Ask for a run."""
    order = bodies.of(request, ReconcileOrder)
    run_id = await ask(request, order)
    return json_answer({"run_id": run_id, "status": "running"}, status=202)


async def ask(request: web.Request, order: ReconcileOrder) -> str:
    """Put the run on record; returns its id. Raises ApiError 400 for a phase or kind that nobody knows."""
    phases = list(dict.fromkeys(PHASES if order.phases is None else order.phases))
    if not set(phases) <= set(PHASES):
        raise errors.invalid([Detail("phases", f"must be among {', '.join(PHASES)}", "invalid")])
    if order.object is not None and order.object.partition(":")[0] not in ASKED_KINDS:
        known = ", ".join(sorted(ASKED_KINDS))
        raise errors.invalid([Detail("object", f"must be kind:id with a kind among {known}", "invalid")])
    run_id = uuid4()
    asked = access(request, "reconcile", f"run:{run_id}")
    async with request.app[WORLD].connection() as connection:
        await reads.log_access(connection, asked)
        await desk.request_run(
            connection, Order(run_id, request[CALLER].name, phases, order.dry_run, order.object)
        )
    return str(run_id)


async def history(request: web.Request) -> web.Response:
    """Runs, those asked for last first."""
    return json_answer(await history_page(request))


async def history_page(request: web.Request) -> dict[str, Any]:
    """One page of the history."""
    limit, before = filters.place(request.query)
    async with request.app[WORLD].connection() as connection:
        rows = await desk.list_runs(connection, before, limit + 1)
    shown = rows[:limit]
    return {
        "items": [run_fields(row) for row in shown],
        "next_cursor": filters.encode_cursor(shown[-1].seq) if len(rows) > limit else None,
    }


async def show(request: web.Request) -> web.Response:
    """One run with what it found."""
    return json_answer(await one_run(request))


async def one_run(request: web.Request) -> dict[str, Any]:
    """A run with one page of its findings, in the order found. Raises ApiError 404."""
    limit, after = filters.place(request.query)
    try:
        run_id = UUID(request.match_info["run_id"])
    except ValueError:
        raise errors.not_found("No such run") from None
    async with request.app[WORLD].connection() as connection:
        found = await desk.read_run(connection, run_id, after or 0, limit + 1)
    if found is None:
        raise errors.not_found("No such run")
    run, findings = found
    shown = findings[:limit]
    return {
        **run_fields(run),
        "findings": [finding_fields(row) for row in shown],
        "next_cursor": filters.encode_cursor(shown[-1].id) if len(findings) > limit else None,
    }


def run_fields(row: RunRow) -> dict[str, Any]:
    """A run as lists and pages show it."""
    return {
        "run_id": row.id,
        "status": row.status,
        "requested_by": row.requested_by,
        "phases": row.phases,
        "dry_run": row.dry_run,
        "object": row.object,
        "started_at": row.started_at,
        "picked_up_at": row.picked_up_at,
        "finished_at": row.finished_at,
        "counts": row.counts,
        "errors": row.errors,
        "findings_total": row.findings,
    }


def finding_fields(row: FindingRow) -> dict[str, Any]:
    """A difference as lists show it."""
    return {
        "id": str(row.id),
        "source": row.source,
        "class": row.kind,
        "object_id": row.object_id,
        "detail": row.detail,
        "repaired": row.repaired,
        "at": row.at,
    }
