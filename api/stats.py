"""`GET /audit/stats`: counts over a window of the log, and how fast events had their outcome. Never more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from api import filters
from api.answers import json_answer
from api.errors import ApiError
from api.world import WORLD
from db import rollup, status
from db.rollup import DeliveryCount, Waits
from db.status import Queue
from runtime import clock


async def show(request: web.Request) -> web.Response:
    """Counts by bucket, source, verdict and state; latency percentiles; age of the oldest unapplied event."""
    window = filters.window(request.query)
    until = clock.now()
    since = until - timedelta(seconds=window.window_s)
    async with request.app[WORLD].connection() as connection:
        try:
            counts, waits = await rollup.count(connection, since, until, window.bucket_s)
        except TimeoutError:
            raise ApiError(503, "QUERY_TIMEOUT", "The count took too long; choose a shorter window") from None
        queue = await status.read_queue(connection)
    return json_answer(view((since, until), window.bucket_s, counts, waits, queue))


def view(
    span: tuple[datetime, datetime],
    bucket_s: int,
    counts: list[DeliveryCount],
    waits: Waits,
    queue: Queue,
) -> dict[str, Any]:
    """The answer; `state` is null for refused deliveries. Counts are exact, but for one sweep after an event
    of a closed minute has changed its state; quantiles are off by a share of `accuracy` at most.
    """
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
        "latency": {
            "events": waits.events,
            "p50_s": waits.quantile_s(0.5),
            "p99_s": waits.quantile_s(0.99),
            "accuracy": rollup.wait_accuracy,
        },
        "oldest_unapplied_s": queue.oldest_pending_s,
    }
