"""`GET /audit/stats`: counts over a window of the log, and how fast events had their outcome. Never more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from api import filters
from api.answers import json_answer
from api.errors import ApiError
from api.world import WORLD
from db import reads, status
from db.reads import DeliveryCount, Latency
from db.status import Queue
from runtime import clock


async def show(request: web.Request) -> web.Response:
    """Counts by bucket, source, verdict and state; latency percentiles; age of the oldest unapplied event."""
    window = filters.window(request.query)
    until = clock.now()
    since = until - timedelta(seconds=window.window_s)
    async with request.app[WORLD].connection() as connection:
        try:
            counts, latency = await reads.count_deliveries(connection, since, until, window.bucket_s)
        except TimeoutError:
            raise ApiError(503, "QUERY_TIMEOUT", "The count took too long; choose a shorter window") from None
        queue = await status.read_queue(connection)
    return json_answer(view((since, until), window.bucket_s, counts, latency, queue))


def view(
    span: tuple[datetime, datetime],
    bucket_s: int,
    counts: list[DeliveryCount],
    latency: Latency,
    queue: Queue,
) -> dict[str, Any]:
    """The answer; `state` is null for refused deliveries."""
    return {
        "since": span[0],
        "until": span[1],
        "bucket_s": bucket_s,
        "buckets": [
            {
                "bucket": count.bucket,
                "source": count.source,
                "verdict": count.verdict,
                "state": count.state,
                "deliveries": count.deliveries,
            }
            for count in counts
        ],
        "latency": {"events": latency.events, "p50_s": latency.p50_s, "p99_s": latency.p99_s},
        "oldest_unapplied_s": queue.oldest_pending_s or 0.0,
    }
