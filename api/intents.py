"""Says in the log what a customer wants, and waits for what the workers make of it; must never do it itself.

An intent has one event id, so saying it again finds what became of it; the log has who wanted it, and why.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from api import errors
from api.replay import loggable
from api.world import CALLER, REQUEST_ID, WORLD
from billing.commands import Command
from db import events, intents
from db.events import Delivery
from db.intents import Outcome
from db.pool import type_connection
from psp.sluice import commands
from runtime import clock, telemetry

ENDPOINT = "api"
"""Stands in the log where a delivery names its endpoint."""
_WAIT_S_MAX = 5.0
"""Longer than workers take by day; the intent outlives the wait."""
_ASK_AGAIN_S = 0.02
_ASK_AGAIN_S_MAX = 0.25
"""Short against what a person notices, long against the question's cost. The pause doubles: where many wait,
the workers have much to do, and questions are not what they lack.
"""
_OPEN_STATES = ("pending", "parked")


async def say(request: web.Request, command: Command, event_id: str, object_id: str) -> Outcome:
    """Append `command` unless it was said before, and wait for its outcome.

    Raises ApiError 503 when the workers take too long: the intent stands, and the same request finds it
    again. Raises ApiError 500 when it is held back for a person to look at.
    """
    world = request.app[WORLD]
    async with world.connection() as connection, connection.transaction():
        await append(connection, request, command, event_id, object_id)
    return await outcome(request, event_id)


async def append(
    connection: type_connection, request: web.Request, command: Command, event_id: str, object_id: str
) -> None:
    """Append `command` in the caller's transaction, unless it was said before."""
    await intents.append_once(connection, _delivery(request, command, event_id, object_id))


async def outcome(request: web.Request, event_id: str, wait_s: float = _WAIT_S_MAX) -> Outcome:
    """Wait for what the workers make of an appended event. Raises as `say`."""
    world = request.app[WORLD]
    world.doorbell.ring()
    deadline, pause_s = time.monotonic() + wait_s, _ASK_AGAIN_S
    while True:
        async with world.connection() as connection:
            found = await intents.outcome(connection, commands.SOURCE, event_id)
        assert found is not None, "it was appended, and the inbox forgets nothing"
        if found.state == "quarantined":
            telemetry.logger().error(
                "intent_held_back", request_id=request[REQUEST_ID], event_id=event_id, reason=found.reason
            )
            raise errors.of_status(500)
        if found.state not in _OPEN_STATES:
            return found
        if time.monotonic() > deadline:
            raise errors.unavailable("The request is noted and not done yet; ask again with the same key")
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _ASK_AGAIN_S_MAX)


def _delivery(request: web.Request, command: Command, event_id: str, object_id: str) -> Delivery:
    caller, created = request[CALLER], clock.now_unix_s()
    body = commands.event_body(command, event_id, created)
    user_agent = request.headers.get("User-Agent")
    return events.own_delivery(
        commands.SOURCE,
        ENDPOINT,
        "operator",
        (event_id, commands.event_type(command), object_id, created),
        body,
        request_id=request[REQUEST_ID],
        actor=f"{caller.role}:{caller.name}",
        source_ip=request.app[WORLD].sender_address.of(request),
        user_agent=None if user_agent is None else loggable(user_agent),
    )
