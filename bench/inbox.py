"""Fills the inbox as the receiver would, without a receiver, and waits until workers have emptied it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Sequence

import msgspec

from bench import bodies
from bench.rig import RIG, Rig, RigError
from db import events
from db.events import Delivery
from db.pool import type_connection
from psp.stripe import envelope
from runtime.doorbell import Doorbell

_BATCH_ROWS = 500
_POLL_S = 0.01
"""Asks a partial index; a hundredth of a second is a hundredth of the shortest round."""
empty_s_max = 300.0


def delivery(body: bytes) -> Delivery:
    """A verified delivery of this body, as the receiver makes it."""
    read = envelope.read(body)
    return Delivery(
        source="stripe",
        endpoint="stripe",
        origin="psp",
        verdict="ok",
        secret_id="bench",  # noqa: S106 - a fingerprint, not a secret
        signed_at=bodies.CREATED,
        event_id=read.event_id,
        event_type=read.event_type,
        object_id=read.object_id,
        psp_created=read.psp_created,
        body=body,
        body_bytes=len(body),
        body_sha256=hashlib.sha256(body).digest(),
        headers=b'[["Content-Type","application/json; charset=utf-8"]]',
        source_ip="127.0.0.1",
        user_agent="Stripe/1.0",
        request_id=secrets.token_hex(16),
    )


async def fill(connection: type_connection, made: Sequence[bytes]) -> None:
    """Append these bodies to log and inbox."""
    for first in range(0, len(made), _BATCH_ROWS):
        await events.append(connection, [delivery(body) for body in made[first : first + _BATCH_ROWS]])


async def emptied(connection: type_connection, seconds_max: float = empty_s_max) -> None:
    """Wait until nothing is pending. Raises RigError when it takes too long."""
    deadline = time.monotonic() + seconds_max
    while await connection.fetchval(RIG.is_pending):
        if time.monotonic() > deadline:
            raise RigError("the inbox was not emptied in time")
        await asyncio.sleep(_POLL_S)


async def ring_and_wait(rig: Rig, connection: type_connection) -> float:
    """Ring the workers and wait until nothing is pending; returns the seconds."""
    bell = Doorbell(rig.redis_url(0))
    began = time.monotonic()
    bell.ring()
    try:
        await emptied(connection)
        return time.monotonic() - began
    finally:
        await bell.close()


async def states(connection: type_connection) -> dict[str, int]:
    """How the events of the inbox ended."""
    return {row["state"]: row["events"] for row in await connection.fetch(RIG.count_by_state)}


async def require_applied(connection: type_connection, share: float) -> dict[str, int]:
    """Fails unless at least `share` of all events were applied: a worker that ignores everything is fast."""
    found = await states(connection)
    if found.get("applied", 0) < share * sum(found.values()):
        raise RigError(f"events were not applied: {found}")
    return found


def seconds_in(output: bytes) -> float:
    """What a yardstick program printed, on a line after what it logged."""
    return msgspec.json.decode(output.splitlines()[-1], type=float)
