"""Opens what a customer will complete at a provider: tries the staged call at once, or waits for the workers
that are at it. Stages nothing but pages, which no rule has to agree to: for all else what was agreed does.

No connection is held while the provider is asked. How the call ends is an event in the log like all else.
"""

from __future__ import annotations

import asyncio
import math
import time
from http import HTTPStatus

from aiohttp import web

from api import errors, intents
from api.errors import ApiError
from api.world import REQUEST_ID, WORLD
from billing.commands import CheckoutRequested
from billing.credits import checkout_call
from billing.keys import checkout_key
from billing.terms import Terms
from db import outbox as rows
from db.outbox import Standing
from outbox.effects import Effects
from outbox.settling import event_id
from psp.calls import Done, NotShownError, Opened, Transient
from runtime import clock, telemetry

_WAIT_S_MAX = 5.0
"""For a call that is not ours to make now: long enough for its second try. Whoever would wait for a later one
hears at once when that is. With a call of our own and the waits for the workers around it, this is less than
the lease of an idempotency key.
"""
_NEWS_S_MAX = 0.25
"""For the workers to hear of a page that nothing but their own books waits for."""
_ASK_AGAIN_S = 0.05
_ASK_AGAIN_S_MAX = 0.25


def provider(request: web.Request, source: str | None, message: str) -> Effects:
    """The provider of this source, or (None) the preferred one. Raises ApiError 503 with `message`."""
    providers = request.app[WORLD].providers
    found = next(iter(providers.values()), None) if source is None else providers.get(source)
    if found is None:
        raise ApiError(503, "PROVIDER_NOT_CONFIGURED", message)
    return found


async def page(request: web.Request, effects: Effects, command: CheckoutRequested) -> Opened:
    """The page that a customer wants: its call is staged with what says so, and needs no worker. Raises
    ApiError 502 or 503.
    """
    world = request.app[WORLD]
    async with world.connection() as connection, connection.transaction():
        await intents.append(
            connection, request, command, checkout_key(command.checkout_id), command.checkout_id
        )
        await rows.stage_checkout(connection, effects.source, checkout_call(command, clock.now_unix_s()))
    world.doorbell.ring()
    return await opened(request, effects, command.checkout_id, must_be_known=False)


async def opened(request: web.Request, effects: Effects, key: str, must_be_known: bool = True) -> Opened:
    """What the call of this key has opened: now, or before; `must_be_known`: and the workers have applied it.
    Raises ApiError 502 or 503.
    """
    deadline, pause_s = time.monotonic() + _WAIT_S_MAX, _ASK_AGAIN_S
    while True:
        outcome = await effects.at_once(key)
        async with request.app[WORLD].connection() as connection:
            standing = await rows.standing(connection, effects.source, key)
        assert standing is not None, "what was agreed has staged it"
        if standing.state == "failed":
            await _known(request, standing, must_be_known)
            raise _refused()
        if standing.state == "done":
            await _known(request, standing, must_be_known)
            if isinstance(outcome, Done) and outcome.opened is not None:
                return outcome.opened
            assert standing.made_id is not None, "what has opened something names it"
            return await _shown(request, effects, standing.kind, standing.made_id)
        if isinstance(outcome, Transient):  # our own try has failed; the workers will try again
            raise _failure(request, effects, outcome.error, outcome.our_fault, standing.tried_in_s)
        if standing.state == "obsolete":  # its payment has come to be known by an event
            raise _no_answer()
        if (standing.tried_in_s or 0.0) > (left_s := deadline - time.monotonic()) or left_s < 0:
            raise _no_answer(standing.tried_in_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _ASK_AGAIN_S_MAX)


async def _known(request: web.Request, standing: Standing, must_be: bool) -> None:
    """Wait until the workers have applied how the call has ended; for a moment only where that is not needed.
    Raises ApiError 503.
    """
    if must_be:
        await intents.outcome(request, event_id(standing.id))
        return
    try:
        await intents.outcome(request, event_id(standing.id), _NEWS_S_MAX)
    except ApiError as error:
        if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise


async def payment(request: web.Request, effects: Effects, terms: Terms, known_id: str | None) -> Opened:
    """The payment for these terms, with what completes it. Raises ApiError 502 or 503."""
    if known_id is not None:
        return await _shown(request, effects, "open_payment", known_id)
    return await opened(request, effects, terms.id)


async def _shown(request: web.Request, effects: Effects, kind: str, made_id: str) -> Opened:
    """What is known to be opened, once more with its secret. Raises ApiError 502 or 503."""
    try:
        return await effects.caller.show(kind, made_id)
    except NotShownError as error:
        raise _failure(request, effects, error.kind, error.our_fault) from None


def _refused() -> ApiError:
    """The provider will not do it, or not before a person has mended our fault."""
    return ApiError(502, "PROVIDER_ERROR", "The payment provider refused the request")


def _failure(
    request: web.Request, effects: Effects, kind: str, our_fault: bool, tried_in_s: float | None = None
) -> ApiError:
    telemetry.logger().warning(
        "provider_call_failed", request_id=request[REQUEST_ID], source=effects.source, kind=kind
    )
    return _refused() if our_fault else _no_answer(tried_in_s)


def _no_answer(tried_in_s: float | None = None) -> ApiError:
    """It is tried again in so many seconds: before that, asking again is useless."""
    retry_after_s = max(1, math.ceil(tried_in_s or 0.0))
    return errors.unavailable("The payment provider does not answer; try again", retry_after_s)
