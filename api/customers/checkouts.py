"""`POST /api/credits/sessions`: opens a payment page for prepaid credits. Credits nothing: payment does."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from api import auth, bodies, errors
from api.answers import json_answer
from api.auth import Caller, Role
from api.customers import return_urls
from api.errors import ApiError, Detail
from api.idempotency import OPERATION
from api.world import CALLER, REQUEST_ID, WORLD
from db import purse
from db.purse import OwnCheckout
from psp.stripe import retried
from psp.stripe.client import SOURCE, OpenedCheckout, StripeCallError, TopUp
from runtime import clock, telemetry

CREDITS_MAX = 1_000_000
"""Of one purchase (contract): ten thousand dollars, and within what a PSP charges at once."""
_CURRENCY = "usd"
_LOST_S_MAX = 900 + retried.CLOCKS_DIFFER_S
"""How long a session is looked for whose answer was lost: a customer tries again within minutes, and a page
that nobody was shown costs nothing.
"""


class OpenSession(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a customer asks for: so many credits, and where to go after the payment."""

    successUrl: Annotated[str, msgspec.Meta(max_length=return_urls.CHARACTERS_MAX)]  # noqa: N815 - contract
    credits: Annotated[int, msgspec.Meta(ge=1, le=CREDITS_MAX)]
    accountId: str | None = None  # noqa: N815 - contract


class OpenedSession(msgspec.Struct):
    """The session's id at Stripe, and the page where it is paid."""

    id: str
    url: str


def check(request: web.Request) -> None:
    """What the type cannot say. Raises ApiError 400."""
    asked = bodies.of(request, OpenSession)
    fault = request.app[WORLD].return_urls.fault(asked.successUrl)
    if fault is not None:
        raise errors.invalid_body(Detail("successUrl", fault, "invalid"))
    if asked.accountId is not None and auth.account_id(asked.accountId) is None:
        raise errors.invalid_body(Detail("accountId", "is no account id", "invalid"))


async def open_session(request: web.Request) -> web.Response:
    """A payment page for the caller's account, or for another one that the caller may act for."""
    world, asked, caller = request.app[WORLD], bodies.of(request, OpenSession), request[CALLER]
    account_id = _account(caller, asked.accountId)
    fee_cents = world.fee.fee_cents(asked.credits)
    opened = await _open(request, TopUp(account_id, asked.credits, fee_cents, asked.successUrl))
    if opened.url is None:
        raise _bad_gateway("The payment provider opened no page")
    return json_answer(OpenedSession(opened.id, opened.url))


def _account(caller: Caller, named: str | None) -> str:
    if caller.role is Role.OPS:
        if named is None:
            raise errors.invalid_body(Detail("accountId", "is required with an ops token", "missing"))
        return named
    if named is None or named == caller.name or caller.admin:
        return named or caller.name
    # Another's account and no account look the same.
    raise errors.not_found("No such account")


async def _open(request: web.Request, top_up: TopUp) -> OpenedCheckout:
    """A session at Stripe, remembered as ours. Raises ApiError 502 or 503."""
    stripe = request.app[WORLD].stripe
    if stripe is None:
        raise ApiError(503, "PROVIDER_NOT_CONFIGURED", "No payment provider is configured")

    async def make(key: str) -> OpenedCheckout:
        opened = await stripe.open_checkout(top_up, key)
        if opened.url is not None:
            await _remember(request, top_up, opened)
        return opened

    async def find() -> OpenedCheckout | None:
        """One that nobody was told of: such a top-up's like any other, and nobody else's any more."""
        for lost in await stripe.open_checkouts(top_up, clock.now_unix_s() - _LOST_S_MAX):
            if await _remember(request, top_up, lost):
                return lost
        return None

    try:
        return await retried.made(make, find, str(request[OPERATION]))
    except StripeCallError as error:
        _tell(request, error.kind)
        if error.hopeless:
            raise _bad_gateway("The payment provider refused the request") from None
        raise errors.unavailable("The payment provider does not answer; try again") from None


async def _remember(request: web.Request, top_up: TopUp, opened: OpenedCheckout) -> bool:
    """Keep a session as ours; False where it is kept already. No connection is held across Stripe's calls."""
    amount = top_up.credits + top_up.fee_cents
    own = OwnCheckout(SOURCE, opened.id, top_up.account_id, top_up.credits, amount, _CURRENCY)
    async with request.app[WORLD].connection() as connection:
        return await purse.open_own_checkout(connection, own, request[CALLER].name)


def _bad_gateway(message: str) -> ApiError:
    return ApiError(502, "PROVIDER_ERROR", message)


def _tell(request: web.Request, kind: str) -> None:
    telemetry.logger().warning("stripe_call_failed", request_id=request[REQUEST_ID], kind=kind)
