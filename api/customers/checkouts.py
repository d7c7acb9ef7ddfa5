"""`POST /api/credits/sessions`: opens a payment page for prepaid credits. Credits nothing: payment does."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from api import auth, bodies, errors
from api.answers import json_answer
from api.auth import Caller, Role
from api.customers import opening, return_urls
from api.errors import Detail
from api.idempotency import OPERATION
from api.world import CALLER, WORLD
from billing.commands import CheckoutRequested

CREDITS_MAX = 1_000_000
"""Of one purchase (contract): ten thousand dollars, and within what a PSP charges at once."""
_CURRENCY = "usd"
_PROVIDER = "stripe"
"""Which provider has pages where credits are paid for (contract)."""


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
    """A payment page for the caller's account, or for another one that the caller may act for: committed
    first as what is wanted, then opened.
    """
    world, asked, caller = request.app[WORLD], bodies.of(request, OpenSession), request[CALLER]
    account_id, own_id = _account(caller, asked.accountId), str(request[OPERATION])
    effects = opening.provider(request, _PROVIDER, "No payment provider is configured")
    amount = asked.credits + world.fee.fee_cents(asked.credits)
    command = CheckoutRequested(
        effects.source, own_id, account_id, asked.credits, amount, _CURRENCY, asked.successUrl
    )
    opened = await opening.page(request, effects, command)
    return json_answer(OpenedSession(opened.id, opened.secret))


def _account(caller: Caller, named: str | None) -> str:
    if caller.role is Role.OPS:
        if named is None:
            raise errors.invalid_body(Detail("accountId", "is required with an ops token", "missing"))
        return named
    if named is None or named == caller.name or caller.admin:
        return named or caller.name
    # Another's account and no account look the same.
    raise errors.not_found("No such account")
