"""Takes events and alerts off an operator's list, with a name and a reason; never repairs anything."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from api import bodies, errors, filters
from api.answers import json_answer
from api.commands import ResolveOrder
from api.errors import ApiError, Detail
from api.world import WORLD, access
from db import desk, reads
from psp.envelope import storable


async def delivery(request: web.Request) -> web.Response:
    """`POST /ops/deliveries/{id}/resolve`: the event of this delivery needs nobody any more."""
    log_id = filters.delivery_id(request.match_info["id"])
    order = bodies.of(request, ResolveOrder)
    return json_answer(await resolve_delivery(request, log_id, order.reason))


async def resolve_delivery(request: web.Request, log_id: int, reason: str) -> dict[str, Any]:
    """Resolve the event of a delivery; returns how it stands now. Raises ApiError 404 or 409."""
    reason = _storable(reason)
    asked = access(request, "resolve", f"delivery:{log_id}")
    async with request.app[WORLD].connection() as connection:
        await reads.log_access(connection, asked)
        found = await reads.read_delivery(connection, log_id)
        if found is None:
            raise errors.not_found("No such delivery")
        row = found[0]
        if row.state is None or row.event_id is None:
            raise _not_open("A refused delivery waits for nobody")
        was = await desk.resolve_event(connection, row.source, row.event_id, log_id, asked.actor, reason)
    if was not in ("quarantined", "conflict"):
        raise _not_open(f"The event is {was}; only what is in quarantine can be resolved")
    return {
        "delivery_id": str(log_id),
        "source": row.source,
        "event_id": row.event_id,
        "state": "ignored" if was == "quarantined" else row.state,
        "reason": reason,
        "actor": asked.actor,
    }


async def alerts(request: web.Request) -> web.Response:
    """`GET /ops/alerts`: what is open, newest first."""
    limit, before_id = filters.place(request.query)
    async with request.app[WORLD].connection() as connection:
        rows = await desk.list_alerts(connection, before_id, limit + 1)
    shown = rows[:limit]
    return json_answer(
        {
            "items": [
                {
                    "id": str(row.id),
                    "name": row.name,
                    "subject": row.subject,
                    "detail": row.detail,
                    "raised_at": row.raised_at,
                }
                for row in shown
            ],
            "next_cursor": filters.encode_cursor(shown[-1].id) if len(rows) > limit else None,
        }
    )


async def alert(request: web.Request) -> web.Response:
    """`POST /ops/alerts/{id}/resolve`: somebody has looked at this."""
    order = bodies.of(request, ResolveOrder)
    return json_answer(await resolve_alert(request, request.match_info["id"], order.reason))


async def resolve_alert(request: web.Request, alert_id: str, reason: str) -> dict[str, Any]:
    """Close an alert. Raises ApiError 404, or 409 where it closes with its event, or is closed."""
    reason = _storable(reason)
    number = filters.number_in_path(alert_id, "No such alert")
    asked = access(request, "resolve_alert", f"alert:{number}")
    async with request.app[WORLD].connection() as connection:
        await reads.log_access(connection, asked)
        name = await desk.resolve_alert(connection, number, asked.actor, reason)
        found = await desk.read_alert(connection, number)
    if found is None:
        raise errors.not_found("No such alert")
    if name is None:
        raise _not_open(
            "The alert is closed already"
            if found[2] is not None
            else "This alert closes with its event: resolve the delivery"
        )
    return {
        "id": str(number),
        "name": name,
        "subject": found[1],
        "reason": reason,
        "actor": asked.actor,
    }


def _storable(reason: str) -> str:
    text = storable(reason.strip())
    if text is None:
        raise errors.invalid([Detail("reason", "must be 1 to 255 printable characters", "invalid")])
    return text


def _not_open(message: str) -> ApiError:
    return ApiError(409, "NOT_OPEN", message)
