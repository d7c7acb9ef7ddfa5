"""The outbox: what must be done at a PSP is staged by the decision that wants it, and claimed by whoever does
it. Calls nobody itself, and decides nothing.

Everything here is set-based: lists in, one statement each.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from billing.decision import PspCall
from billing.facts import Cause
from db.pool import type_connection
from db.queries import OUTBOX


@dataclass(frozen=True, slots=True)
class ClaimedEffect:
    """A call leased to this worker; `attempts` counts the one that is about to be made."""

    id: int
    source: str
    attempts: int
    call: PspCall


@dataclass(frozen=True, slots=True)
class Ending:
    """How a claimed effect has ended for good: `state` is `done`, `failed` or `obsolete`."""

    id: int
    attempts: int
    state: str
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Postponement:
    """A claimed effect that is to be tried again in `delay_s` seconds."""

    id: int
    attempts: int
    last_error: str
    delay_s: float


async def stage(connection: type_connection, calls: Sequence[tuple[Cause, PspCall]]) -> None:
    """Stage calls in the caller's transaction, each with the event that wants it; a known key stages nothing.

    `cause.source` is the PSP to call: for an event of our own that is the source which its command names.
    """
    if calls:
        await connection.execute(
            OUTBOX.stage_effects,
            [cause.source for cause, _ in calls],
            [call.kind for _, call in calls],
            [call.object_id for _, call in calls],
            [call.idempotency_key for _, call in calls],
            [json.dumps(dict(call.arguments)) for _, call in calls],
            [call.delay_s for _, call in calls],
            [cause.log_id for cause, _ in calls],
            [cause.event_id for cause, _ in calls],
        )


async def retire(connection: type_connection) -> int:
    """End due effects that nothing wants any more; returns how many."""
    return int((await connection.execute(OUTBOX.retire_effects)).rpartition(" ")[2])


async def claim_due(
    connection: type_connection, source: str, rows_max: int, lease_s: float
) -> list[ClaimedEffect]:
    """Lease the effects of one source that have been due longest, their attempt counted."""
    rows = await connection.fetch(OUTBOX.claim_effects, source, rows_max, lease_s)
    return [
        ClaimedEffect(
            row["id"],
            source,
            row["attempts"],
            PspCall(row["kind"], row["object_id"], row["idempotency_key"], json.loads(row["arguments"])),
        )
        for row in rows
    ]


async def finish(connection: type_connection, endings: Sequence[Ending]) -> set[int]:
    """End effects for good; returns the ids of those that were still ours to end."""
    rows = await connection.fetch(
        OUTBOX.finish_effects,
        [ending.id for ending in endings],
        [ending.attempts for ending in endings],
        [ending.state for ending in endings],
        [ending.last_error for ending in endings],
    )
    return {row["id"] for row in rows}


async def retry(connection: type_connection, postponements: Sequence[Postponement]) -> None:
    """Let effects wait for their next attempt, unless another worker has taken them over."""
    if postponements:
        await connection.execute(
            OUTBOX.retry_effects,
            [postponed.id for postponed in postponements],
            [postponed.attempts for postponed in postponements],
            [postponed.last_error for postponed in postponements],
            [postponed.delay_s for postponed in postponements],
        )


async def waiting(connection: type_connection) -> list[tuple[str, str]]:
    """Source and kind of the effects that are due."""
    return [(row["source"], row["kind"]) for row in await connection.fetch(OUTBOX.effects_waiting)]
