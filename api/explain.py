"""`GET /audit/explain/{kind}/{id}`: why a row is what it is. Decides nothing; a kind comes with its table."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from api import errors, explain_view, filters
from api.answers import json_answer
from api.errors import ApiError, Detail
from api.world import WORLD
from db import explain
from psp.envelope import storable


async def show(request: web.Request) -> web.Response:
    """Today's row with every transition and posting that led to it, oldest first."""
    return json_answer(await read(request))


async def read(request: web.Request) -> dict[str, Any]:
    """The explanation of the object of the path. Raises ApiError 404, or 400 where its id is ambiguous."""
    kind, object_id = request.match_info["kind"], request.match_info["id"]
    source = filters.one_source(request.query)
    if kind != "account" and kind not in explain.OBJECT_KINDS:
        raise errors.not_found("No objects of this kind are kept", code="UNKNOWN_KIND")
    if storable(object_id) is None:
        raise errors.not_found(f"No such {kind}")
    if kind == "account":
        return await _account(request, object_id)
    async with request.app[WORLD].connection() as connection:
        found = await explain.read_object(connection, kind, object_id, source)
    if not found:
        raise errors.not_found(f"No such {kind}")
    if len(found) > 1:
        sources = ", ".join(row["source"] for row, _ in found)
        which = Detail("source", f"this id exists in {sources}; name one", "ambiguous")
        raise ApiError(400, "AMBIGUOUS_ID", "This id exists in several sources", [which])
    return explain_view.subject(kind, *found[0])


async def _account(request: web.Request, account_id: str) -> dict[str, Any]:
    async with request.app[WORLD].connection() as connection:
        found = await explain.read_account(connection, account_id)
    if found is None:
        raise errors.not_found("No such account")
    return explain_view.account(*found)
