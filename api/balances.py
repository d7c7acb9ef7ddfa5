"""What customers read of their balances; a first read may open an empty account, nothing here moves money."""

from __future__ import annotations

from aiohttp import web

from api import auth, errors
from api.amounts import iso_ms
from api.answers import json_answer
from api.auth import Caller, Role
from api.world import CALLER, WORLD
from billing.units import decimal_text
from db import accounts
from runtime import clock


async def of_account(request: web.Request) -> web.Response:
    """Credits of one account, for its owner, for a gateway's admin and for ops."""
    account_id = request.match_info["id"]
    caller = request[CALLER]
    # Another's account and no account look the same.
    if not may_read(caller, account_id) or auth.account_id(account_id) is None:
        raise errors.not_found("No such account")
    async with request.app[WORLD].connection() as connection:
        # Whoever may read an account that nothing has been credited to reads zeros.
        found = await accounts.read_credits(connection, account_id)
    return json_answer(
        {
            "account_id": account_id,
            "remaining_credits": found.remaining,
            "total_credits": found.total,
            "used_credits": max(0, found.total - found.remaining),
            "is_pro": found.is_pro,
            "timestamp": iso_ms(found.changed_at or clock.now()),
        }
    )


async def own_usdc(request: web.Request) -> web.Response:
    """The caller's prepaid USDC balance as decimal text."""
    user_id = request[CALLER].name
    async with request.app[WORLD].connection() as connection:
        found = await accounts.read_or_open_usdc(connection, user_id)
    return json_answer(
        {
            "user_id": user_id,
            "balance_usdc": decimal_text(found.amount, found.exponent),
            "created_at": iso_ms(found.created_at),
            "updated_at": iso_ms(found.updated_at),
        }
    )


def owns(caller: Caller, account_id: str) -> bool:
    """A customer's account id is their user id."""
    return caller.role is Role.CUSTOMER and caller.name == account_id


def may_act_for(caller: Caller, account_id: str) -> bool:
    """Whether this caller may use what this account has."""
    known = auth.account_id(account_id) is not None
    return known and (owns(caller, account_id) or caller.admin or caller.role is Role.OPS)


def may_read(caller: Caller, account_id: str) -> bool:
    """Whether this caller may know of this account."""
    return owns(caller, account_id) or caller.admin or caller.role in (Role.DASHBOARD, Role.OPS)
