"""The audit log over HTTP: list, one delivery, its bytes. Never shows a payload to who is not on record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from api import errors, filters
from api.answers import bytes_answer, json_answer
from api.delivery_view import detail, item
from api.world import WORLD, access
from db import reads, search
from db.log_ids import span_of_time


async def list_page(request: web.Request) -> web.Response:
    """One page of deliveries, newest first."""
    return json_answer(await read_page(request, request.query))


async def read_page(request: web.Request, query: Mapping[str, str]) -> dict[str, Any]:
    """The page that a query asks for. Raises ApiError 400.

    A search that looks at each delivery ends after its share, with fewer items and a cursor to go on.
    """
    page = filters.page(query)
    span = span_of_time(page.since, page.until, page.before_id)
    async with request.app[WORLD].connection() as connection:
        found = await search.list_deliveries(connection, page.narrowed, span, page.limit + 1)
    shown = found.rows[: page.limit]
    below = shown[-1].id if len(found.rows) > page.limit else found.go_on_below
    return {
        "items": [item(row) for row in shown],
        "next_cursor": None if below is None else filters.encode_cursor(below),
    }


async def show(request: web.Request) -> web.Response:
    """One delivery with headers, payload and all that followed from it."""
    return json_answer(await read_detail(request))


async def read_detail(request: web.Request) -> dict[str, Any]:
    """The delivery of the path; that somebody reads it is on record first. Raises ApiError 404."""
    log_id = filters.delivery_id(request.match_info["id"])
    async with request.app[WORLD].connection() as connection:
        story = await reads.read_story(connection, log_id)
        if story is None:
            raise errors.not_found("No such delivery")
        await reads.log_access(connection, access(request, "read_payload", f"delivery:{log_id}"))
    return detail(story)


async def raw(request: web.Request) -> web.Response:
    """The kept bytes of one delivery, untouched."""
    log_id = filters.delivery_id(request.match_info["id"])
    async with request.app[WORLD].connection() as connection:
        found = await reads.read_delivery(connection, log_id)
        if found is None:
            raise errors.not_found("No such delivery")
        await reads.log_access(connection, access(request, "read_raw", f"delivery:{log_id}"))
    return bytes_answer(found[1].body, f"delivery-{log_id}.bin")
