"""Finds events that the PSP could not deliver and repairs by appending them to the log; never writes state.

An appended event walks the same road as a webhook. When its webhook comes after all, it is a plain duplicate.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from db import events, findings
from db.events import Delivery
from db.findings import Finding
from db.pool import type_connection, type_pool
from psp.envelope import Envelope
from psp.providers import RECEIVERS
from psp.stripe.client import ListedEvent, StripeApi
from runtime import limits

PHASE = "undelivered_events"
_SOURCE = "stripe"
_REACH_S = 29 * 86_400
"""How far the first run looks back: Stripe lists events for 30 days."""
_OVERLAP_S = 600
"""Looked at again by the next run: a list may lag behind what happened."""
_PAGES_MAX = 200
"""Pages of one run; what is left comes with the next, because the cursor then stays."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run as the phases see it: `started_at` in unix seconds by our clock, `grace_s` for webhooks on
    their way. With an `object` (kind:id) only what is about it counts.
    """

    id: UUID
    started_at: int
    grace_s: int
    dry_run: bool
    object: str | None = None


async def run_once(pool: type_pool, api: StripeApi, run: Run) -> Counter[str]:
    """List what is undelivered since the last run, append what the inbox lacks; returns the counts.

    Raises psp.stripe.client.StripeCallError; what was appended before stays appended.
    """
    async with pool.acquire(timeout=limits.pool_acquire_s) as connection:
        position = await findings.read_cursor(connection, _SOURCE, PHASE)
    created_from = int(position) - _OVERLAP_S if position is not None else run.started_at - _REACH_S
    created_to = run.started_at - run.grace_s
    counts: Counter[str] = Counter()
    after: str | None = None
    for _ in range(_PAGES_MAX):
        # No transaction and no connection is held across the call.
        page, after = await api.undelivered_events(created_from, created_to, after)
        async with pool.acquire(timeout=limits.pool_acquire_s) as connection:
            counts += await _repair(connection, page, run)
        if after is None:
            break
    # A run that has left out other objects has not seen the whole span.
    if after is None and not run.dry_run and run.object is None:
        async with pool.acquire(timeout=limits.pool_acquire_s) as connection:
            await findings.move_cursor(connection, _SOURCE, PHASE, str(created_to))
    return counts


async def _repair(connection: type_connection, page: list[ListedEvent], run: Run) -> Counter[str]:
    page = [event for event in page if _is_about(event, run.object)]
    known = await findings.known_events(connection, _SOURCE, [event.id for event in page])
    missing = [event for event in page if event.id not in known]
    if missing and not run.dry_run:
        await events.append(connection, [_delivery(event, run) for event in missing])
    await findings.add(
        connection,
        run.id,
        [Finding(_SOURCE, "missing_event", event.id, "undelivered", not run.dry_run) for event in missing],
    )
    repaired = 0 if run.dry_run else len(missing)
    return Counter(listed=len(page), missing_event=len(missing), repaired=repaired)


def _is_about(event: ListedEvent, wanted: str | None) -> bool:
    if wanted is None:
        return True
    return RECEIVERS[_SOURCE].read_envelope(event.body).object_id == wanted.partition(":")[2]


def _delivery(event: ListedEvent, run: Run) -> Delivery:
    envelope: Envelope = RECEIVERS[_SOURCE].read_envelope(event.body)
    return Delivery(
        source=_SOURCE,
        endpoint=_SOURCE,
        origin="reconciler",
        verdict="ok",
        secret_id=None,
        signed_at=None,
        event_id=event.id,
        event_type=envelope.event_type,
        object_id=envelope.object_id,
        psp_created=event.created,
        body=event.body,
        body_bytes=len(event.body),
        body_sha256=hashlib.sha256(event.body).digest(),
        headers=b"[]",
        source_ip=None,
        user_agent=None,
        request_id=str(run.id),
        actor=f"reconciler:{run.id}",
    )
