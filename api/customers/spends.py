"""`POST /api/accounts/{id}/credits/spend`: uses up credits, as many as the balance allows; its `…/reverse`
gives them back. Never posts: it says in the log what is to be, and the workers post what was said.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from api import bodies, errors, intents
from api.amounts import iso_ms
from api.answers import json_answer
from api.balances import may_act_for
from api.errors import ApiError, Detail
from api.idempotency import OPERATION
from api.world import CALLER, WORLD
from billing.commands import CreditsSpent, SpendReversed
from db import intents as rows
from db import purse
from psp.envelope import storable
from psp.sluice.commands import SOURCE

CREDITS_MAX = 2**53 - 1
"""The largest number that every JSON reader takes exactly; no balance comes near it."""


type_reason = Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None


class SpendCredits(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How many whole credits, and what for: the log keeps the reason beside the caller's name."""

    credits: Annotated[int, msgspec.Meta(ge=1, le=CREDITS_MAX)]
    reason: type_reason = None


class SpentCredits(msgspec.Struct):
    """A posted spend, and the credits that are left after it."""

    id: str
    transaction_id: str
    account_id: str
    credits: int
    remaining_credits: int
    created_at: str


class ReverseSpend(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Why what was spent is given back: the log keeps it beside the caller's name."""

    reason: type_reason = None


class ReversedSpend(msgspec.Struct):
    """A posted reversal of a spend, and the credits that the account has after it."""

    id: str
    spend_id: str
    transaction_id: str
    account_id: str
    credits: int
    remaining_credits: int
    created_at: str


def check(request: web.Request) -> None:
    """What the type cannot say. Raises ApiError 400."""
    _check_reason(bodies.of(request, SpendCredits).reason)


async def spend(request: web.Request) -> web.Response:
    """Spend credits of an account once per Idempotency-Key, or refuse with 402 and spend nothing.

    Of any number at once exactly those succeed that the balance allows.
    """
    account_id = _account(request)
    asked, spend_id = bodies.of(request, SpendCredits), str(request[OPERATION])
    command = CreditsSpent(SOURCE, spend_id, account_id, asked.credits, asked.reason)
    event_id = _spend_event(spend_id)
    async with request.app[WORLD].connection() as connection, connection.transaction():
        if await rows.is_unsaid(connection, SOURCE, event_id):
            if not await purse.hold_credits(connection, spend_id, account_id, asked.credits):
                raise ApiError(402, "INSUFFICIENT_CREDITS", "The account does not have that many credits")
            await intents.append(connection, request, command, event_id, account_id)
    await intents.outcome(request, event_id)
    found = await _posted(request, "spend", spend_id)
    assert found is not None, "an applied spend is posted"
    return json_answer(
        SpentCredits(
            id=spend_id,
            transaction_id=str(found.transaction_id),
            account_id=account_id,
            credits=asked.credits,
            remaining_credits=found.balance,
            created_at=iso_ms(found.posted_at),
        ),
        status=201,
    )


def check_reversal(request: web.Request) -> None:
    """What the type cannot say. Raises ApiError 400."""
    _check_reason(bodies.of(request, ReverseSpend).reason)


async def reverse(request: web.Request) -> web.Response:
    """Give back what a spend has used up: wholly, and once, whoever else asks for it at the same time."""
    account_id, reversal_id = _account(request), str(request[OPERATION])
    spend_id = storable(request.match_info["spend_id"])
    spent = None if spend_id is None else await _spent(request, spend_id)
    if spend_id is None or spent is None:
        raise errors.not_found("No such spend")
    reason = bodies.of(request, ReverseSpend).reason
    command = SpendReversed(SOURCE, spend_id, account_id, -spent.moved, reason)
    event_id = f"spend_reversal:{spend_id}"  # one, whoever says it
    async with request.app[WORLD].connection() as connection, connection.transaction():
        await intents.append(connection, request, command, event_id, reversal_id)
        said_by = await purse.reversal_said(connection, SOURCE, event_id)
    if said_by != reversal_id:
        raise ApiError(409, "SPEND_ALREADY_REVERSED", "This spend has been reversed already")
    await intents.outcome(request, event_id)
    found = await _posted(request, "spend_reversal", spend_id)
    assert found is not None, "an applied reversal is posted"
    return json_answer(
        ReversedSpend(
            id=reversal_id,
            spend_id=spend_id,
            transaction_id=str(found.transaction_id),
            account_id=account_id,
            credits=found.moved,
            remaining_credits=found.balance,
            created_at=iso_ms(found.posted_at),
        ),
        status=201,
    )


def _account(request: web.Request) -> str:
    """The account of the path. Raises ApiError 404: another's account and no account look the same."""
    account_id = request.match_info["id"]
    if not may_act_for(request[CALLER], account_id):
        raise errors.not_found("No such account")
    return account_id


def _check_reason(reason: str | None) -> None:
    if reason is not None and storable(reason) is None:
        raise errors.invalid_body(Detail("reason", "must be printable text", "invalid"))


def _spend_event(spend_id: str) -> str:
    return f"spend:{spend_id}"


async def _spent(request: web.Request, spend_id: str) -> purse.Spend | None:
    """The spend of the path's account, once the workers have posted it; None where there is none."""
    async with request.app[WORLD].connection() as connection:
        said = await rows.outcome(connection, SOURCE, _spend_event(spend_id))
    if said is None:
        return None
    await intents.outcome(request, _spend_event(spend_id))
    return await _posted(request, "spend", spend_id)


async def _posted(request: web.Request, movement: str, spend_id: str) -> purse.Spend | None:
    async with request.app[WORLD].connection() as connection:
        return await purse.read_spend(connection, SOURCE, movement, spend_id, request.match_info["id"])
