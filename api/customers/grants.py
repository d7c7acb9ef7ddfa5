"""`POST /api/billing/credits/topup`: an operator grants USDC to a customer, once per Idempotency-Key."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from api import auth, bodies, errors
from api.amounts import iso_ms, minor_units
from api.answers import json_answer
from api.errors import Detail
from api.idempotency import OPERATION
from api.world import CALLER, WORLD
from billing.units import decimal_text
from db import purse
from db.purse import BalanceTooLargeError

_USDC_EXPONENT = 7
"""Digits after the point, as the row of table `unit`."""
_AMOUNT_MINOR_MAX = 2**63 - 1
"""What a balance can hold."""


class GrantUsdc(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """To whom, and how much as plain decimal text: no float, no exponent, no sign."""

    user_id: Annotated[str, msgspec.Meta(min_length=1, max_length=auth.ACCOUNT_ID_BYTES_MAX)]
    amount_usdc: Annotated[str, msgspec.Meta(max_length=32, pattern=r"^[0-9]+(\.[0-9]{1,7})?$")]


class GrantedUsdc(msgspec.Struct):
    """A posted grant, and the balance after it."""

    transaction_id: str
    user_id: str
    amount_usdc: str
    balance_usdc: str
    created_at: str


def check(request: web.Request) -> None:
    """What the type cannot say. Raises ApiError 400."""
    asked = bodies.of(request, GrantUsdc)
    if auth.account_id(asked.user_id) is None:
        raise errors.invalid_body(Detail("user_id", "is no user id", "invalid"))
    try:
        amount = minor_units(asked.amount_usdc, _USDC_EXPONENT)
    except ValueError as fault:
        raise errors.invalid_body(Detail("amount_usdc", str(fault), "invalid")) from None
    if amount == 0:
        raise errors.invalid_body(Detail("amount_usdc", "must be above zero", "invalid"))
    if amount > _AMOUNT_MINOR_MAX:
        raise _too_large()


async def grant_usdc(request: web.Request) -> web.Response:
    """Move USDC from the house to the customer."""
    asked = bodies.of(request, GrantUsdc)
    amount = minor_units(asked.amount_usdc, _USDC_EXPONENT)
    async with request.app[WORLD].connection() as connection:
        try:
            granted = await purse.grant_usdc(
                connection, request[OPERATION], asked.user_id, amount, request[CALLER].name
            )
        except BalanceTooLargeError:
            raise _too_large() from None
    return json_answer(
        GrantedUsdc(
            transaction_id=str(granted.transaction_id),
            user_id=asked.user_id,
            amount_usdc=decimal_text(amount, _USDC_EXPONENT),
            balance_usdc=decimal_text(granted.balance, _USDC_EXPONENT),
            created_at=iso_ms(granted.posted_at),
        ),
        status=201,
    )


def _too_large() -> errors.ApiError:
    return errors.invalid_body(Detail("amount_usdc", "is more than a balance can hold", "invalid"))
