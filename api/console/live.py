"""The console's overview: how the house is doing now, and its charts; counts over the chosen window only."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from aiohttp import web

from api import status
from api.answers import json_answer
from api.console.rendering import page
from api.errors import ApiError, Detail, invalid
from api.world import WORLD
from db import desk
from db.desk import Series
from runtime import clock

WINDOWS = {"15m": (900, 15), "1h": (3_600, 60), "6h": (21_600, 300), "24h": (86_400, 900)}
"""How far the charts look back, with the length of a bucket; both in seconds."""
WINDOW_DEFAULT = "1h"


async def overview(request: web.Request) -> web.Response:
    """The first page."""
    house = await status.read(request.app[WORLD])
    return page(request, "overview.html", house=house, window=_window(request), windows=list(WINDOWS))


async def figures(request: web.Request) -> web.Response:
    """The part of it that is asked for again every few seconds."""
    return page(request, "figures.html", house=await status.read(request.app[WORLD]))


async def series(request: web.Request) -> web.Response:
    """What the charts draw."""
    window_s, bucket_s = WINDOWS[_window(request)]
    until = clock.now()
    # Buckets lie on whole multiples, so that a bucket is not another one at the next look.
    since = until - timedelta(seconds=window_s + until.timestamp() % bucket_s)
    async with request.app[WORLD].connection() as connection:
        try:
            found = await desk.read_series(connection, since, until, bucket_s)
        except TimeoutError:
            raise ApiError(503, "QUERY_TIMEOUT", "The count took too long; choose a shorter window") from None
    return json_answer(view(found, int(since.timestamp()), int(until.timestamp()), bucket_s))


def _window(request: web.Request) -> str:
    window = request.query.get("window", WINDOW_DEFAULT)
    if window not in WINDOWS:
        raise invalid([Detail("window", f"must be one of {', '.join(WINDOWS)}", "invalid")])
    return window


def view(found: Series, since_s: int, until_s: int, bucket_s: int) -> dict[str, Any]:
    """Series over one axis of bucket starts (unix seconds), as the charts take them; no deliveries are 0.

    Pure. Waits and shares are null where nothing was measured.
    """
    axis = list(range(since_s, until_s + 1, bucket_s))
    verdicts = sorted({row.verdict for row in found.traffic}, key=lambda verdict: (verdict != "ok", verdict))
    counts = Counter[tuple[int, str]]()
    for row in found.traffic:
        counts[int(row.bucket.timestamp()), row.verdict] += row.deliveries
    waits = {int(bucket.timestamp()): each for bucket, each in found.waits.items()}
    pending = {int(bucket.timestamp()): seconds for bucket, seconds in found.pending.items()}
    sources = sorted({row.source for row in found.completeness})
    shares = {(int(row.at.timestamp()), row.source): row.share for row in found.completeness}
    measured = sorted({at for at, _ in shares})
    by_verdict = {verdict: [counts[at, verdict] for at in axis] for verdict in verdicts}
    median, worst, longest = (
        {at: each.quantile_s(share) for at, each in waits.items()} for share in (0.5, 0.99, 1.0)
    )
    return {
        "bucket_s": bucket_s,
        "axis": axis,
        "throughput": {
            "deliveries": [sum(row) for row in zip(*by_verdict.values(), strict=True)] or [0] * len(axis)
        },
        "verdicts": by_verdict,
        "latency": {
            "p50": [median.get(at) for at in axis],
            "p99": [worst.get(at) for at in axis],
        },
        "pending": {
            "longest wait": [
                max(filter(None, (longest.get(at), pending.get(at))), default=None) for at in axis
            ]
        },
        "completeness": {
            "axis": measured,
            "sources": {source: [shares.get((at, source)) for at in measured] for source in sources},
        },
    }
