"""`GET /api/billing/credits/transactions`: what moved on the caller's own account, and why. Only reads."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api import filters
from api.amounts import iso_ms
from api.answers import json_answer
from api.world import CALLER, WORLD
from billing.units import decimal_text
from db import purse
from db.purse import PostingRow


class Cause(msgspec.Struct):
    """The PSP's event, or else an operator; `object_id` is what was paid, refunded, disputed or granted."""

    kind: str
    source: str
    object_id: str
    event_id: str | None
    event_type: str | None


class Posting(msgspec.Struct):
    """One posting, in minor units and as decimal text; above zero the account gained."""

    transaction_id: str
    posted_at: str
    unit: str
    exponent: int
    amount_minor: int
    amount: str
    movement: str
    cause: Cause


class PostingsAnswer(msgspec.Struct):
    """One page; without a next cursor it is the last."""

    items: list[Posting]
    next_cursor: str | None


async def list_page(request: web.Request) -> web.Response:
    """One page of postings, newest first."""
    page = filters.postings_page(request.query)
    async with request.app[WORLD].connection() as connection:
        rows = await purse.list_postings(connection, request[CALLER].name, page.below, page.limit + 1)
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    cursor = filters.encode_place(shown[-1].transaction_id, shown[-1].unit) if more else None
    return json_answer(PostingsAnswer([_posting(row) for row in shown], cursor))


def _posting(row: PostingRow) -> Posting:
    return Posting(
        transaction_id=str(row.transaction_id),
        posted_at=iso_ms(row.posted_at),
        unit=row.unit,
        exponent=row.exponent,
        amount_minor=row.amount,
        amount=decimal_text(row.amount, row.exponent),
        movement=row.movement,
        cause=Cause(
            kind="operator" if row.event_id is None else "event",
            source=row.source,
            object_id=row.money_object,
            event_id=row.event_id,
            event_type=row.event_type,
        ),
    )
