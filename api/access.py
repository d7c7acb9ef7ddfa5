"""`/audit/access`: who has looked at which payload, and who gave which command. Its own reading is no entry:
it holds no payload.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from api import filters
from api.answers import json_answer
from api.world import WORLD
from db import access
from db.access import AccessRow

FIELDS = filters.PLACE_FIELDS | {"object", "actor"}


async def list_page(request: web.Request) -> web.Response:
    """Entries, newest first; narrowed to one object (`delivery:ID`) or one actor."""
    limit, before_id, (thing, actor) = filters.narrowed_place(request.query, "object", "actor")
    async with request.app[WORLD].connection() as connection:
        rows = await access.list_accesses(connection, before_id, thing, actor, limit + 1)
    shown = rows[:limit]
    return json_answer(
        {
            "items": [fields(row) for row in shown],
            "next_cursor": filters.encode_cursor(shown[-1].id) if len(rows) > limit else None,
        }
    )


def fields(row: AccessRow) -> dict[str, Any]:
    """One entry as the API shows it."""
    return {
        "id": str(row.id),
        "at": row.at,
        "actor": row.actor,
        "action": row.action,
        "object": row.object,
        "request_id": row.request_id,
        "source_ip": row.source_ip,
    }
