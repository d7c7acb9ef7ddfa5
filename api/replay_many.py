"""`POST /ops/replay`: replays what a filter finds, each event once; appends to the log and changes no row.

What has its effect, or will have it without help, is left out, so that "everything of yesterday" is safe to
say. What was resolved stays resolved unless the filter asks for `ignored` events by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from api import bodies, filters
from api.answers import json_answer
from api.commands import ReplayOrder
from api.delivery_view import is_duplicate
from api.errors import ApiError
from api.filters import Page
from api.replay import replayed
from api.world import WORLD, access
from db import desk, events, reads, search
from db.events import Delivery
from db.log_ids import span_of_ids, span_of_time
from db.pool import type_connection
from db.reads import Access, DeliveryRow

chunk_rows = 200
"""Deliveries of one commit: the bodies of so many are in memory at once, 50 MB at the worst."""
matched_rows_max = 10_000
"""Deliveries that one request looks at, some seconds of work; the answer's cursor goes on from there, or from
where its search has looked at its share.
"""

RESOLVED = "resolved"
"""The reason of an event that an operator took off the list."""


@dataclass
class Tally:
    """How many deliveries the filter found, how many events are replayed, why the rest is left out."""

    matched: int = 0
    replayed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    next_cursor: str | None = None


async def run(request: web.Request) -> web.Response:
    """Replay by filter, or count what that would be."""
    order = bodies.of(request, ReplayOrder)
    return json_answer(await replay_all(request, order), status=202)


async def replay_all(request: web.Request, order: ReplayOrder) -> dict[str, Any]:
    """Carry out the order; returns the answer. Raises ApiError 400 for a filter that cannot be."""
    named = msgspec.to_builtins(order.filter)
    asked = access(request, "replay_many", f"filter:{msgspec.json.encode(named).decode()}"[:1_000])
    page = filters.page(named if order.cursor is None else named | {"cursor": order.cursor})
    world = request.app[WORLD]
    async with world.connection() as connection:
        if not order.dry_run:
            await reads.log_access(connection, asked)
        tally = await _replay(request, connection, page, asked, dry_run=order.dry_run)
    if tally.replayed and not order.dry_run:
        world.doorbell.ring()
    return {
        "dry_run": order.dry_run,
        "matched": tally.matched,
        "replayed": tally.replayed,
        "skipped": dict(tally.skipped),
        "next_cursor": tally.next_cursor,
        "actor": asked.actor,
    }


async def _replay(
    request: web.Request, connection: type_connection, page: Page, asked: Access, *, dry_run: bool
) -> Tally:
    tally = Tally()
    seen: set[tuple[str, str]] = set()
    # From new to old: what is appended meanwhile is newer than where the search has got to.
    before_id = page.before_id
    while True:
        span = span_of_time(page.since, page.until, before_id)
        found = await search.list_deliveries(connection, page.narrowed, span, chunk_rows)
        rows = found.rows
        tally.matched += len(rows)
        wanted = [row for row in rows if _is_wanted(row, page, seen, tally)]
        deliveries = await _deliveries(request, connection, wanted, asked, tally)
        if deliveries and not dry_run:
            await events.append(connection, deliveries)
        tally.replayed += len(deliveries)
        before_id = rows[-1].id if len(rows) == chunk_rows else found.go_on_below
        if before_id is None:
            return tally
        if found.go_on_below is not None or tally.matched >= matched_rows_max:
            tally.next_cursor = filters.encode_cursor(before_id)
            return tally


def _is_wanted(row: DeliveryRow, page: Page, seen: set[tuple[str, str]], tally: Tally) -> bool:
    """Whether this delivery is the one to replay of its event; counts why not."""
    why = None
    if row.state is not None and row.event_id is not None:
        if (row.source, row.event_id) in seen:
            why = "same_event"
        elif row.conflict_detail is not None and is_duplicate(row):
            why = "conflict"
        elif row.state == "applied":
            why = "already_applied"
        elif row.state == "pending":
            why = "still_pending"
        elif row.reason == RESOLVED and page.narrowed.state != "ignored":
            why = RESOLVED
        else:
            seen.add((row.source, row.event_id))
    if why is not None:
        tally.skipped[why] += 1
    return why is None


async def _deliveries(
    request: web.Request,
    connection: type_connection,
    rows: Sequence[DeliveryRow],
    asked: Access,
    tally: Tally,
) -> list[Delivery]:
    """What to append for these rows; those that cannot be verified are counted and left out."""
    if not rows:
        return []
    span = span_of_ids(rows[-1].id, rows[0].id)
    payloads = await desk.read_payloads(
        connection, [row.id for row in rows], span.received_from, span.received_until
    )
    made = []
    for row in rows:
        if row.id not in payloads:
            tally.skipped["payload_gone"] += 1
            continue
        try:
            made.append(
                replayed(
                    row,
                    payloads[row.id],
                    request.app[WORLD].endpoints,
                    asked,
                    request.headers.get("User-Agent"),
                )
            )
        except ApiError as refusal:
            tally.skipped[refusal.code.lower()] += 1
    return made
