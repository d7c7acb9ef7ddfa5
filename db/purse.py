"""What customers' endpoints may do to money: grant USDC, hold credits, list postings. Nothing else: each
write is one function of the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from db.pool import type_connection
from db.queries import Queries

PURSE = Queries("purse.sql")


class BalanceTooLargeError(Exception):
    """The grant would lead beyond what a balance can hold."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A posted grant; `balance` is the account's after it, in units of 10^-7 USDC."""

    transaction_id: int
    posted_at: datetime
    balance: int


@dataclass(frozen=True, slots=True)
class Spend:
    """A posted spend, or its reversal: `moved` credits; `balance` are the account's now."""

    transaction_id: int
    posted_at: datetime
    moved: int
    balance: int


@dataclass(frozen=True, slots=True)
class Place:
    """A place in an account's postings, newest first: everything after this one is still to come."""

    transaction_id: int
    unit: str


TOP = Place(2**63 - 1, "")
"""Before the newest posting."""


@dataclass(frozen=True, slots=True)
class PostingRow:
    """One posting of an account, and what it was for."""

    transaction_id: int
    unit: str
    exponent: int
    amount: int
    movement: str
    source: str
    money_object: str
    posted_at: datetime
    event_id: str | None
    event_type: str | None


async def grant_usdc(
    connection: type_connection, operation_id: UUID, account_id: str, amount: int, actor: str
) -> Grant:
    """Grant `amount` units of 10^-7 USDC; once per operation, however often it is called.

    Raises BalanceTooLargeError, and then nothing is posted.
    """
    try:
        row = await connection.fetchrow(PURSE.grant_usdc, operation_id, account_id, amount, actor)
    except asyncpg.NumericValueOutOfRangeError:
        raise BalanceTooLargeError from None
    assert row is not None, "the function returns its row or raises"
    return Grant(*row)


async def hold_credits(connection: type_connection, spend_id: str, account_id: str, credits: int) -> bool:
    """Hold credits for a spend that the caller says in the same transaction; False: there are not so many.

    The account's balance is locked until that transaction ends, so it must be short.
    """
    return bool(await connection.fetchval(PURSE.hold_credits, spend_id, account_id, credits))


async def read_spend(
    connection: type_connection, source: str, movement: str, spend_id: str, account_id: str
) -> Spend | None:
    """A spend of this account (`spend`), or its reversal (`spend_reversal`); None where none is posted."""
    row = await connection.fetchrow(PURSE.read_spend, source, movement, spend_id, account_id)
    return None if row is None else Spend(*row)


async def reversal_said(connection: type_connection, source: str, event_id: str) -> str | None:
    """The id of the reversal that this event says."""
    found: str | None = await connection.fetchval(PURSE.reversal_said, source, event_id)
    return found


async def list_postings(
    connection: type_connection, account_id: str, below: Place, rows_max: int
) -> list[PostingRow]:
    """Postings of an account, newest first, from below a place."""
    rows = await connection.fetch(
        PURSE.postings_of_account, account_id, below.transaction_id, below.unit, rows_max
    )
    return [PostingRow(*row) for row in rows]
