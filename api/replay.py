"""`POST /ops/deliveries/{id}/replay`: a replay is one more delivery in the log and never changes a row.

What was verified is appended as it is; the worker opens its event again unless it was applied. What was
refused is verified once more, with today's secrets and without an age limit: the log proves when it came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from api import errors, filters
from api.answers import json_answer
from api.delivery_view import header_pairs
from api.errors import ApiError
from api.world import WORLD, access
from db import reads
from db.events import Delivery
from db.reads import Access, DeliveryRow, Payload
from psp.envelope import Provider, type_headers
from psp.providers import Endpoint


async def run(request: web.Request) -> web.Response:
    """Append the delivery once more under the operator's name and ring the workers."""
    return json_answer(await replay(request, filters.delivery_id(request.match_info["id"])), status=202)


async def replay(request: web.Request, log_id: int) -> dict[str, Any]:
    """Replay one delivery; returns which delivery it became and how its event stands. Raises ApiError."""
    world = request.app[WORLD]
    asked = access(request, "replay", f"delivery:{log_id}")
    async with world.connection() as connection:
        # Before anything else: also an attempt that is refused is on record.
        await reads.log_access(connection, asked)
        found = await reads.read_delivery(connection, log_id)
        if found is None:
            raise errors.not_found("No such delivery: its payload is not kept any more, or never was")
        row, payload = found
        delivery = replayed(row, payload, world.endpoints, asked, request.headers.get("User-Agent"))
        appended = await reads.append_one(connection, delivery)
    world.doorbell.ring()
    return {
        "delivery_id": str(log_id),
        "replay_delivery_id": str(appended.log_id),
        "source": delivery.source,
        "event_id": delivery.event_id,
        "state": appended.state,
        "reason": appended.reason,
        "actor": asked.actor,
    }


def replayed(
    row: DeliveryRow,
    payload: Payload,
    endpoints: Mapping[str, Endpoint],
    asked: Access,
    user_agent: str | None,
) -> Delivery:
    """The delivery to append for a replay of `row`. Pure; raises ApiError 409 where there is none."""
    if row.verdict == "ok":
        source, secret_id, signed_at = row.source, row.secret_id, row.signed_at
        event_id, event_type, object_id, psp_created = row.event_id, row.event_type, row.object_id, None
    else:
        endpoint, secret_id, signed_at = _verified_again(row, payload, endpoints)
        source = endpoint.source
        event_id, event_type, object_id, psp_created = endpoint.provider.read_envelope(
            payload.body, _signature_headers(payload, endpoint.provider)
        )
    digest = hashlib.sha256(payload.body)
    return Delivery(
        source=source,
        endpoint=row.endpoint,
        origin="operator",
        verdict="ok",
        secret_id=secret_id,
        signed_at=signed_at,
        # A signed body without a readable id waits in quarantine under its digest, as at the receiver.
        event_id=event_id or f"sha256:{digest.hexdigest()}",
        event_type=event_type,
        object_id=object_id,
        psp_created=psp_created,
        body=payload.body,
        body_bytes=len(payload.body),
        body_sha256=digest.digest(),
        headers=payload.headers,
        source_ip=asked.source_ip,
        user_agent=None if user_agent is None else loggable(user_agent),
        request_id=asked.request_id,
        actor=asked.actor,
    )


def _verified_again(
    row: DeliveryRow, payload: Payload, endpoints: Mapping[str, Endpoint]
) -> tuple[Endpoint, str | None, int | None]:
    if (
        row.requests > 1
        or len(payload.body) != row.body_bytes
        or hashlib.sha256(payload.body).digest() != row.body_sha256
    ):
        raise ApiError(409, "PAYLOAD_INCOMPLETE", "The log holds only a part of this delivery")
    endpoint = endpoints.get(row.endpoint)
    if endpoint is not None:
        signed = _signature_headers(payload, endpoint.provider)
        verdict = endpoint.provider.verify_at_any_age(payload.body, signed, endpoint.secrets)
        if verdict.kind == "ok":
            return endpoint, verdict.secret_id, verdict.signed_at
    raise ApiError(409, "SIGNATURE_INVALID", "No secret of this endpoint has signed this delivery")


def _signature_headers(payload: Payload, provider: Provider) -> type_headers:
    pairs = header_pairs(payload.headers)
    return {
        name: [value.encode("latin-1", "replace") for key, value in pairs if key.lower() == name]
        for name in provider.signature_headers
    }


USER_AGENT_CHARACTERS_MAX = 255
"""Kept of a user agent."""


def loggable(text: str) -> str:
    """A sender's text as the log can hold it: short, printable, without half characters."""
    return "".join(c if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF else "?" for c in text)[
        :USER_AGENT_CHARACTERS_MAX
    ]
