"""`GET /ops/status`: how the house is doing, at a cost that does not grow with the log."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from api.answers import json_answer
from api.invariants import Checked
from api.world import WORLD, World
from db import status
from db.status import HouseStatus
from runtime import limits


async def show(request: web.Request) -> web.Response:
    """Processes, queue, invariants, completeness, alerts, last reconcile run."""
    return json_answer(await read(request.app[WORLD]))


async def read(world: World) -> dict[str, Any]:
    """The answer, read now."""
    async with world.connection() as connection:
        house = await status.read_status(connection)
    # After the connection is given back: the checks take their own.
    answer = view(house, await world.invariants.latest())
    answer["processes"].append(
        {
            "process": "ingest",
            "instance": world.receiver.address,
            "started_at": None,
            "beat_at": None,
            "alive": await world.receiver.is_alive(),
            "counters": {},
        }
    )
    return answer


def view(house: HouseStatus, checked: Checked) -> dict[str, Any]:
    """The answer but for the receiver; a process is alive when it said so within `heartbeat_stale_s`."""
    run = house.latest_run
    return {
        "processes": [
            {
                "process": process.process,
                "instance": process.instance,
                "started_at": process.started_at,
                "beat_at": process.beat_at,
                "alive": process.age_s < limits.heartbeat_stale_s,
                "counters": process.counters,
            }
            for process in house.processes
        ],
        "queue": {
            "pending": house.queue.pending,
            "due": house.queue.due,
            "redeliveries": house.queue.redeliveries,
        },
        "oldest_pending_s": house.queue.oldest_pending_s or 0.0,
        "parked": house.queue.parked,
        "quarantined": house.queue.quarantined,
        "invariants": checked.found,
        "invariants_checked_at": checked.at,
        # A run that measures what share of the PSP's events we have records it under this name, per source.
        "completeness": {} if run is None else run.counts.get("completeness", {}),
        "alerts": house.alerts,
        "latest_reconcile_run": None
        if run is None
        else {
            "run_id": run.id,
            "requested_by": run.requested_by,
            "phases": run.phases,
            "dry_run": run.dry_run,
            "status": run.status,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "counts": run.counts,
        },
    }
