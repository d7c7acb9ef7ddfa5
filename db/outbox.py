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
from db.pool import type_connection, type_row
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
    """How a claimed effect has ended for good: `state` is `done` or `failed`, `made_id` the PSP's name of
    what it has opened.
    """

    id: int
    attempts: int
    state: str
    last_error: str | None = None
    made_id: str | None = None


@dataclass(frozen=True, slots=True)
class Postponement:
    """A claimed effect that is to be tried again in `delay_s` seconds."""

    id: int
    attempts: int
    last_error: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How an effect stands: `state` is `pending`, `done`, `failed` or `obsolete`. A pending one is tried
    again in `tried_in_s` seconds, below zero where it could be now; None while somebody is at it.
    """

    id: int
    kind: str
    state: str
    made_id: str | None
    tried_in_s: float | None


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


async def stage_checkout(connection: type_connection, source: str, call: PspCall) -> None:
    """Stage the call that opens a page, in the transaction that appends the event which wants it; a known key
    stages nothing. The time at which it was wanted is the event's.
    """
    arguments = json.dumps(dict(call.arguments))
    await connection.execute(OUTBOX.stage_checkout, source, call.object_id, arguments, call.delay_s)


async def retire(connection: type_connection) -> int:
    """End due effects that nothing wants any more; returns how many."""
    return int((await connection.execute(OUTBOX.retire_effects)).rpartition(" ")[2])


async def claim_due(
    connection: type_connection, source: str, rows_max: int, lease_s: float
) -> list[ClaimedEffect]:
    """Lease the effects of one source that have been due longest, their attempt counted."""
    rows = await connection.fetch(OUTBOX.claim_effects, source, rows_max, lease_s)
    return [_claimed(source, row) for row in rows]


async def claim_one(
    connection: type_connection, source: str, key: str, lease_s: float
) -> list[ClaimedEffect]:
    """Lease the effect of this key, its attempt counted; empty where it has ended, is not due again yet, or
    somebody else is at it.
    """
    rows = await connection.fetch(OUTBOX.claim_effect, source, key, lease_s)
    return [_claimed(source, row) for row in rows]


def _claimed(source: str, row: type_row) -> ClaimedEffect:
    call = PspCall(row["kind"], row["object_id"], row["idempotency_key"], json.loads(row["arguments"]))
    return ClaimedEffect(row["id"], source, row["attempts"], call)


async def standing(connection: type_connection, source: str, key: str) -> Standing | None:
    """How the effect of this key stands; None where none was staged."""
    row = await connection.fetchrow(OUTBOX.effect_standing, source, key)
    return None if row is None else Standing(*row)


async def taken(connection: type_connection, source: str, kind: str, made_ids: Sequence[str]) -> set[str]:
    """Those of these things at the PSP that belong to a call of this kind already."""
    rows = await connection.fetch(OUTBOX.effects_that_made, source, kind, list(made_ids))
    return {row["made_id"] for row in rows}


async def finish(connection: type_connection, endings: Sequence[Ending]) -> set[int]:
    """End effects for good; returns the ids of those that were still ours to end."""
    rows = await connection.fetch(
        OUTBOX.finish_effects,
        [ending.id for ending in endings],
        [ending.attempts for ending in endings],
        [ending.state for ending in endings],
        [ending.last_error for ending in endings],
        [ending.made_id for ending in endings],
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
