"""What customers read of their own money, and the empty account a first read makes. Never moves a balance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing.entitlement import GRANTING_STATES
from db.pool import type_connection
from db.queries import Queries

ACCOUNTS = Queries("accounts.sql")


@dataclass(frozen=True, slots=True)
class Credits:
    """Whole credits: what is left, and what was ever granted less what refunds and disputes took back.

    `changed_at` is None where nothing was ever credited; `is_pro`: a subscription grants now.
    """

    remaining: int
    total: int
    changed_at: datetime | None
    is_pro: bool


@dataclass(frozen=True, slots=True)
class Prepaid:
    """A prepaid balance in minor units with `exponent` digits after the point."""

    amount: int
    exponent: int
    created_at: datetime
    updated_at: datetime


async def read_credits(connection: type_connection, account_id: str) -> Credits:
    """Credits of a customer; zeros for one that is unknown."""
    row = await connection.fetchrow(ACCOUNTS.read_credits, account_id, sorted(GRANTING_STATES))
    assert row is not None
    return Credits(*row)


async def read_or_open_usdc(connection: type_connection, account_id: str) -> Prepaid:
    """The customer's USDC balance; a first read makes it at zero, and any number of first reads agree."""
    row = await connection.fetchrow(ACCOUNTS.read_usdc, account_id)
    if row is None:
        async with connection.transaction():
            await connection.execute(ACCOUNTS.open_customer, account_id)
            await connection.execute(ACCOUNTS.open_usdc, account_id)
        row = await connection.fetchrow(ACCOUNTS.read_usdc, account_id)
    assert row is not None, "the row was just made, and balances are never deleted"
    return Prepaid(*row)
