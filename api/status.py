"""`GET /ops/status`: how the house is doing, at a cost that does not grow with the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from api.answers import json_answer
from api.invariants import Checked
from api.world import WORLD, World
from db import status
from db.completeness import Completeness, share
from db.status import HouseStatus
from runtime import limits


async def show(request: web.Request) -> web.Response:
    """Processes, queue, invariants, completeness, sources, alerts, last reconcile run."""
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
        "oldest_pending_s": house.queue.oldest_pending_s,
        "parked": house.queue.parked,
        "quarantined": house.queue.quarantined,
        "invariants": checked.found,
        "invariants_checked_at": checked.at,
        "completeness": {one.source: one.share for one in house.completeness if one.share is not None},
        "completeness_detail": {one.source: _measured(one) for one in house.completeness},
        "sources": {
            one.source: {
                "deliveries": one.deliveries,
                "silent_s": one.silent_s,
                "longest_gap_s": one.longest_gap_s,
                "clock_skew_s": one.skew_s,
                "oldest_unapplied_s": one.oldest_unapplied_s,
                "secrets_last_used": one.secrets,
            }
            for one in house.sources
        },
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


def _measured(one: Completeness) -> dict[str, Any]:
    """What the share is of: which events of the PSP's lists, as of when, and what counts as in time."""
    return {
        "share": one.share,
        "listed": one.listed,
        "in_time": one.in_time,
        "in_time_s": one.in_time_s,
        "created_after": datetime.fromtimestamp(one.since, UTC),
        "created_until": datetime.fromtimestamp(one.until, UTC),
        "measured_at": one.measured_at,
        "by_type": {
            name: {"listed": listed, "in_time": in_time, "share": share({name: (listed, in_time)})}
            for name, (listed, in_time) in one.types.items()
        },
    }
