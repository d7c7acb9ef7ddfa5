"""Liveness, readiness and metrics of the API process; must answer while the database is away."""

from __future__ import annotations

from aiohttp import web

from api.answers import json_answer
from api.metrics import CONTENT_TYPE
from api.world import WORLD
from db import reads


async def live(_request: web.Request) -> web.Response:
    """The process runs."""
    return json_answer({"status": "live"})


async def ready(request: web.Request) -> web.Response:
    """The database answers; otherwise the guard makes it a 503."""
    async with request.app[WORLD].connection() as connection:
        await reads.answers(connection)
    return json_answer({"status": "ready"})


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format."""
    return web.Response(
        body=await request.app[WORLD].metrics.exposition(), headers={"Content-Type": CONTENT_TYPE}
    )
