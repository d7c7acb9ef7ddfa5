"""`Idempotency-Key`: the same key and body get the same answer, once; must never run an effect twice at once.

The first request with a key works under a lease; equal ones wait for its answer. Whatever the work does, it
does under the operation's id, which is the same on every attempt: one that died in the middle, or ended in a
failure of ours or of a provider (5xx, which is no answer), can be repeated without a second effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
import uuid
from collections.abc import Sequence
from enum import StrEnum

import msgspec
from aiohttp import web

from api import answers
from api.bodies import BODY
from api.errors import ApiError
from api.world import CALLER, REQUEST_ID, WORLD, World
from db import idempotency
from db.idempotency import Claim, Standing
from db.pool import WORLD_IS_BUSY

OPERATION = web.RequestKey("operation", uuid.UUID)
"""What the effect of this request is called wherever it is written down: ledger, PSP."""

_LEASE_S = 30.0
"""Longer than any work under it: ten seconds for a provider, ten for a query, and some."""
_WAIT_S_MAX = 12.0
"""An equal request waits this long: longer than a provider may take to answer."""
_ASK_AGAIN_S = 0.1
_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")


class KeyRule(StrEnum):
    """What a route asks of its callers: nothing, a key if they like, or a key always."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


async def once(
    request: web.Request, handler: answers.type_handler, rule: KeyRule, template: str
) -> web.StreamResponse:
    """Run `handler` under its key, or give the answer that the key has. Raises ApiError 400, 409 or 422."""
    key = _key(request.headers.getall("Idempotency-Key", ()))
    if key is None:
        if rule is KeyRule.REQUIRED:
            raise ApiError(400, "IDEMPOTENCY_KEY_REQUIRED", "This request needs an Idempotency-Key")
        request[OPERATION] = uuid.uuid4()
        return await handler(request)
    found = await _claim_or_wait(request, key, _digest(request, template))
    if isinstance(found, Claim):
        request[OPERATION] = found.operation_id
        return await _work(request, handler, found)
    assert found.status is not None, "an answer has a status"
    return web.Response(
        status=found.status,
        body=found.body,
        content_type="application/json",
        headers={"Idempotent-Replayed": "true"},
    )


def _key(shown: Sequence[str]) -> str | None:
    if not shown:
        return None
    if len(shown) > 1 or _KEY.fullmatch(shown[0]) is None:
        raise ApiError(
            400, "INVALID_IDEMPOTENCY_KEY", "An Idempotency-Key is one text of 1 to 255 printable characters"
        )
    return shown[0]


def _digest(request: web.Request, template: str) -> bytes:
    """Of what is asked, not of how it is written: spaces and the order of fields make no other request."""
    asked = (request.method, template, sorted(request.match_info.items()), request.get(BODY))
    return hashlib.sha256(msgspec.json.encode(asked)).digest()


async def _claim_or_wait(request: web.Request, key: str, digest: bytes) -> Claim | Standing:
    world, caller = request.app[WORLD], request[CALLER]
    deadline = time.monotonic() + _WAIT_S_MAX
    while True:
        async with world.connection() as connection:
            found = await idempotency.claim(connection, f"{caller.role}:{caller.name}", key, digest, _LEASE_S)
        if isinstance(found, Claim):
            return found
        if found.request_sha256 != digest:
            raise ApiError(422, "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key was used for another request")
        if found.state == "answered":
            return found
        if time.monotonic() > deadline:
            raise ApiError(
                409,
                "IDEMPOTENCY_KEY_IN_USE",
                "A request with this Idempotency-Key is under way",
                headers={"Retry-After": "1"},
            )
        await asyncio.sleep(_ASK_AGAIN_S)


async def _work(request: web.Request, handler: answers.type_handler, claim: Claim) -> web.StreamResponse:
    world = request.app[WORLD]
    try:
        answer = await handler(request)
    except ApiError as error:
        if error.status >= 500:
            await _release(world, claim)
            raise
        answer = answers.refusal(error, request[REQUEST_ID])
    except BaseException:
        await _release(world, claim)
        raise
    assert isinstance(answer, web.Response), "a streamed answer cannot be kept"
    assert isinstance(answer.body, bytes), "an answer that is kept has a body"
    assert answer.status < 500, "a failure is raised, so that nothing of it is kept"
    async with world.connection() as connection:
        await idempotency.answer(connection, claim, answer.status, answer.body)
    return answer


async def _release(world: World, claim: Claim) -> None:
    """Without a database the lease ends by itself."""
    with contextlib.suppress(*WORLD_IS_BUSY):
        async with world.connection() as connection:
            await idempotency.release(connection, claim)
