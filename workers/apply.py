"""Applies claimed events: load what they are about, decide purely, write everything in one transaction.

Only what the database itself refuses makes a batch be split, so one poison event costs its neighbours
nothing. Never takes a second connection while it holds one, and never leaves a transaction open across
anything but SQL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from billing.facts import Unusable
from db import events, operations, subjects
from db.events import ClaimedEvent
from db.pool import LOST_RACE, REFUSED, WORLD_IS_BUSY, type_connection
from psp import mappers
from psp.reading import Expected, Reading
from runtime import limits, telemetry
from workers import outcomes
from workers.outcomes import Batch, Item
from workers.shapes import Shapes


class ClaimLostError(Exception):
    """Another worker has taken over part of this batch, so nothing of it may be written here."""


async def apply_batch(
    connection: type_connection,
    claimed: Sequence[ClaimedEvent],
    expected: Mapping[str, Expected],
    shapes: Shapes | None = None,
) -> Counter[str]:
    """Apply events claimed by this worker; `expected` tells what each endpoint is for, `shapes` what fields
    they have had so far. Returns how many ended in which state.

    Raises an error of WORLD_IS_BUSY when the database went away; then nothing, or whole parts, were written.
    """
    exhausted = [event for event in claimed if event.attempts > limits.attempts_max]
    workable = [event for event in claimed if event.attempts <= limits.attempts_max]
    counts: Counter[str] = Counter()
    if exhausted:
        batch = Batch()
        for event in exhausted:
            outcomes.quarantine(event, "attempts_exhausted", "its work ended the worker each time", batch)
        counts += await _write_alone(connection, batch)
    items = [Item(event, read(event, expected)) for event in workable]
    counts += await _apply(connection, items)
    if shapes is not None and (lost := await shapes.notice(connection, items)):
        counts["lost_fields"] += lost
    return counts


def read(event: ClaimedEvent, expected: Mapping[str, Expected]) -> Reading:
    """What a claimed event says; one that cannot be read says so."""
    if event.body is None:
        return Reading(Unusable("payload_gone", "retention has taken the payload"))
    mapper = mappers.of_source(event.source)
    if mapper is None:
        return Reading(Unusable("unknown_provider", f"no provider reads events of {event.source}"))
    return mapper.read(event.body, expected.get(event.endpoint or "", Expected()))


async def _apply(connection: type_connection, items: Sequence[Item]) -> Counter[str]:
    if not items:
        return Counter()
    for _ in range(limits.subject_races_max):
        try:
            batch = await apply_at_once(connection, items)
            return Counter(mark.state for mark in batch.marks)
        except ClaimLostError:
            telemetry.logger().warning("claim_lost", events=len(items))
            return Counter(claim_lost=len(items))
        except WORLD_IS_BUSY:
            raise
        except LOST_RACE:
            continue
        except REFUSED as error:
            refused = error
            break
    else:
        refused = None
    if len(items) > 1:
        middle = len(items) // 2
        return await _apply(connection, items[:middle]) + await _apply(connection, items[middle:])
    batch = Batch()
    if refused is None:
        outcomes.batch_failure(items[0].event, "LostRace", batch)
    else:
        telemetry.logger().error(
            "event_refused_by_database", event_id=items[0].event.event_id, exc_info=refused
        )
        outcomes.quarantine(items[0].event, "database_refused", type(refused).__name__, batch)
    return await _write_alone(connection, batch)


async def apply_at_once(connection: type_connection, items: Sequence[Item]) -> Batch:
    """Decide claimed events and write all that comes of it in one transaction; returns what was written.

    Raises ClaimLostError, or what the database says: then nothing was.
    """
    keys = [key for item in items for key in item.fact.keys]
    async with connection.transaction():
        known = await subjects.load(connection, keys)
        batch = outcomes.decide_batch(items, known)
        await subjects.write(connection, known, batch.subjects.values(), batch.effects, batch.account_causes)
        await _write_marks(connection, batch)
        overdrawn = await subjects.post(connection, batch.effects)
        batch.alerts += [("negative_balance", account_id, None) for account_id in overdrawn]
        await operations.raise_alerts(connection, batch.alerts)
    return batch


async def _write_alone(connection: type_connection, batch: Batch) -> Counter[str]:
    """Write outcomes that change no subject."""
    try:
        async with connection.transaction():
            await _write_marks(connection, batch)
            await operations.raise_alerts(connection, batch.alerts)
    except ClaimLostError:
        return Counter(claim_lost=len(batch.marks))
    return Counter(mark.state for mark in batch.marks)


async def _write_marks(connection: type_connection, batch: Batch) -> None:
    if await events.mark(connection, batch.marks) != len(batch.marks):
        raise ClaimLostError
    await events.wake_parked(connection, batch.wakes)
    await events.add_notes(connection, batch.notes)
