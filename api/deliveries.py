"""The audit log over HTTP: list, one delivery, its bytes. Never shows a payload to who is not on record."""

from __future__ import annotations

from aiohttp import web

from api import errors, filters
from api.answers import bytes_answer, json_answer
from api.delivery_view import detail, item
from api.errors import ApiError
from api.world import WORLD, access
from db import reads
from db.log_ids import span_of_time


async def list_page(request: web.Request) -> web.Response:
    """One page of deliveries, newest first."""
    page = filters.page(request.query)
    span = span_of_time(page.since, page.until, page.before_id)
    async with request.app[WORLD].connection() as connection:
        try:
            rows = await reads.list_deliveries(connection, page.narrowed, span, page.limit + 1)
        except TimeoutError:
            # A filter without an index, over all days, that matches almost nothing.
            raise ApiError(
                503, "QUERY_TIMEOUT", "The search took too long; narrow it with since and until"
            ) from None
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    return json_answer(
        {
            "items": [item(row) for row in shown],
            "next_cursor": filters.encode_cursor(shown[-1].id) if more else None,
        }
    )


async def show(request: web.Request) -> web.Response:
    """One delivery with headers, payload and all that followed from it."""
    log_id = filters.delivery_id(request.match_info["id"])
    async with request.app[WORLD].connection() as connection:
        story = await reads.read_story(connection, log_id)
        if story is None:
            raise errors.not_found("No such delivery")
        await reads.log_access(connection, access(request, "read_payload", f"delivery:{log_id}"))
    return json_answer(detail(story))


async def raw(request: web.Request) -> web.Response:
    """The kept bytes of one delivery, untouched."""
    log_id = filters.delivery_id(request.match_info["id"])
    async with request.app[WORLD].connection() as connection:
        found = await reads.read_delivery(connection, log_id)
        if found is None:
            raise errors.not_found("No such delivery")
        await reads.log_access(connection, access(request, "read_raw", f"delivery:{log_id}"))
    return bytes_answer(found[1].body, f"delivery-{log_id}.bin")
