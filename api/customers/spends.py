"""`POST /api/accounts/{id}/credits/spend`: uses up credits, as many as the balance allows. Never posts: it
holds the credits and says so in the log, and the workers post what was said.
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
from billing.commands import CreditsSpent
from db import intents as rows
from db import purse
from psp.envelope import storable
from psp.sluice.commands import SOURCE

CREDITS_MAX = 2**53 - 1
"""The largest number that every JSON reader takes exactly; no balance comes near it."""


class SpendCredits(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How many whole credits, and what for: the log keeps the reason beside the caller's name."""

    credits: Annotated[int, msgspec.Meta(ge=1, le=CREDITS_MAX)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None


class SpentCredits(msgspec.Struct):
    """A posted spend, and the credits that are left after it."""

    id: str
    transaction_id: str
    account_id: str
    credits: int
    remaining_credits: int
    created_at: str


def check(request: web.Request) -> None:
    """What the type cannot say. Raises ApiError 400."""
    reason = bodies.of(request, SpendCredits).reason
    if reason is not None and storable(reason) is None:
        raise errors.invalid_body(Detail("reason", "must be printable text", "invalid"))


async def spend(request: web.Request) -> web.Response:
    """Spend credits of an account once per Idempotency-Key, or refuse with 402 and spend nothing.

    Of any number at once exactly those succeed that the balance allows.
    """
    account_id = request.match_info["id"]
    # Another's account and no account look the same.
    if not may_act_for(request[CALLER], account_id):
        raise errors.not_found("No such account")
    asked, spend_id = bodies.of(request, SpendCredits), str(request[OPERATION])
    command = CreditsSpent(SOURCE, spend_id, account_id, asked.credits, asked.reason)
    event_id = f"spend:{spend_id}"
    async with request.app[WORLD].connection() as connection, connection.transaction():
        if await rows.is_unsaid(connection, SOURCE, event_id):
            if not await purse.hold_credits(connection, spend_id, account_id, asked.credits):
                raise ApiError(402, "INSUFFICIENT_CREDITS", "The account does not have that many credits")
            await intents.append(connection, request, command, event_id, account_id)
    await intents.outcome(request, event_id)
    async with request.app[WORLD].connection() as connection:
        found = await purse.read_spend(connection, SOURCE, spend_id, account_id)
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
