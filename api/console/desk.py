"""The console's commands and the lists they are given from: quarantine, alerts, runs. Never does by itself.

A command answers with a redirection to where its result shows; but a replay by reason shows its counts at
once, and a reload that repeats it finds nothing left to do.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from api import filters, reconcile, replay, replay_many, resolve
from api.commands import ReconcileOrder, ReplayFilter, ReplayOrder
from api.console import wording
from api.console.door import field
from api.console.pages import ROWS, address, given
from api.console.rendering import page, see_other
from api.errors import ApiError
from api.world import WORLD
from db import desk
from db.findings import PHASES

ALERTS_SHOWN = 100
"""More open alerts than this are told by their number."""


async def replay_delivery(request: web.Request) -> web.Response:
    """Replay one delivery, then show it."""
    log_id = filters.delivery_id(request.match_info["id"])
    await replay.replay(request, log_id)
    return see_other(f"/console/deliveries/{log_id}?done=replayed")


async def resolve_delivery(request: web.Request) -> web.Response:
    """Take its event off the list, then show it."""
    log_id = filters.delivery_id(request.match_info["id"])
    await resolve.resolve_delivery(request, log_id, await field(request, "reason"))
    return see_other(f"/console/deliveries/{log_id}?done=resolved")


async def quarantine(request: web.Request) -> web.Response:
    """What waits for a person, by reason, and the open alerts."""
    return await _quarantine(request, None)


async def replay_reason(request: web.Request) -> web.Response:
    """Replay all quarantined events of one reason, or count what that would be; then show the list."""
    order = ReplayOrder(
        ReplayFilter(state="quarantined", reason=await field(request, "reason")),
        dry_run=await field(request, "dry_run") == "1",
    )
    return await _quarantine(request, await replay_many.replay_all(request, order))


async def _quarantine(request: web.Request, result: dict[str, Any] | None) -> web.Response:
    wanted = given(request.query)
    before_id = filters.place({name: wanted[name] for name in ("cursor",) if name in wanted})[1]
    async with request.app[WORLD].connection() as connection:
        reasons, events = await desk.read_quarantine(connection, wanted.get("reason"), before_id, ROWS + 1)
        alerts = await desk.list_alerts(connection, None, ALERTS_SHOWN)
    shown = events[:ROWS]
    following = filters.encode_cursor(shown[-1].log_id) if len(events) > ROWS else None
    return page(
        request,
        "quarantine.html",
        reasons=reasons,
        events=shown,
        alerts=[alert for alert in alerts if alert.name != "event_quarantined"],
        reason=wanted.get("reason"),
        result=result,
        wording=wording,
        next_url=address("/console/quarantine", wanted, cursor=following) if following else None,
    )


async def resolve_alert(request: web.Request) -> web.Response:
    """Close an alert, then show the rest."""
    await resolve.resolve_alert(request, request.match_info["id"], await field(request, "reason"))
    return see_other("/console/quarantine#alerts")


async def runs(request: web.Request) -> web.Response:
    """Ask for a run, and the history of runs."""
    found = await reconcile.history_page(request)
    following = found["next_cursor"]
    return page(
        request,
        "reconcile.html",
        found=found,
        phases=PHASES,
        next_url=f"/console/reconcile?cursor={following}" if following else None,
    )


async def ask_run(request: web.Request) -> web.Response:
    """Ask for a run, then show it. Raises ApiError 400 for an object that is none."""
    phases = [phase for phase in (await request.post()).getall("phases", []) if isinstance(phase, str)]
    asked = {
        "dry_run": await field(request, "dry_run") == "1",
        "object": (await field(request, "object")).strip() or None,
        "phases": phases or None,
    }
    try:
        order = msgspec.convert(asked, ReconcileOrder)
    except msgspec.ValidationError:
        form = "An object is written kind:id, like checkout_session:cs_1"
        raise ApiError(400, "VALIDATION_ERROR", form) from None
    return see_other(f"/console/reconcile/{await reconcile.ask(request, order)}")


async def show_run(request: web.Request) -> web.Response:
    """One run and what it found."""
    found = await reconcile.one_run(request)
    following = found["next_cursor"]
    return page(
        request,
        "run_part.html" if "HX-Request" in request.headers else "run.html",
        run=found,
        next_url=f"{request.rel_url.raw_path}?cursor={following}" if following else None,
    )
