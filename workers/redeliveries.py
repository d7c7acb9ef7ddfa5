"""Judges deliveries of ids that the inbox knew already: a plain duplicate, an operator's replay, or a
conflict.

A second body under one id is flagged and alarmed and never applied.
"""

from __future__ import annotations

from collections import Counter

from db import events, operations
from db.events import Note, Redelivery
from db.pool import type_connection
from psp import mappers
from runtime import limits


async def judge(connection: type_connection) -> Counter[str]:
    """Judge one batch of redeliveries in one transaction; returns how many were what."""
    async with connection.transaction():
        taken = await events.take_redeliveries(connection, limits.claim_batch_rows_max)
        if not taken:
            return Counter()
        different = [one for one in taken if not one.same_bytes]
        replayed = [one for one in taken if one.same_bytes and one.origin == "operator"]
        keys = {(one.log_id, one.received_at) for one in (*different, *replayed)}
        keys |= {(one.first_log_id, one.first_received_at) for one in different}
        bodies = await events.load_bodies(connection, sorted(keys))
        conflicts = [one for one in different if not _tells_the_same(one, bodies)]
        replayed += [one for one in different if one.origin == "operator" and one not in conflicts]
        await _flag(connection, conflicts)
        await _reopen(connection, replayed, bodies)
        await events.drop_redeliveries(connection, [one.log_id for one in taken])
    plain = len(taken) - len(conflicts) - len(replayed)
    return +Counter(duplicate=plain, conflict=len(conflicts), replayed=len(replayed))


def _tells_the_same(one: Redelivery, bodies: dict[int, tuple[bytes, str | None]]) -> bool:
    mapper = mappers.of_source(one.source)
    first, second = bodies.get(one.first_log_id), bodies.get(one.log_id)
    if mapper is None or first is None or second is None:
        return False  # the first payload is gone and the bytes differ: a person must look
    return mapper.same_event(first[0], second[0])


async def _flag(connection: type_connection, conflicts: list[Redelivery]) -> None:
    if conflicts:
        await events.flag_conflicts(connection, [(one.source, one.event_id) for one in conflicts])
        await events.add_notes(
            connection,
            [
                Note(
                    one.source, one.event_id, "conflict", one.log_id, detail=f"first body: {one.first_log_id}"
                )
                for one in conflicts
            ],
        )
        await operations.raise_alerts(
            connection,
            [
                ("event_conflict", f"{one.source}:{one.event_id}", "another body came under this id")
                for one in conflicts
            ],
        )


async def _reopen(
    connection: type_connection, replayed: list[Redelivery], bodies: dict[int, tuple[bytes, str | None]]
) -> None:
    if replayed:
        await events.reopen(connection, [(one.source, one.event_id) for one in replayed])
        await events.add_notes(
            connection,
            [
                Note(
                    one.source,
                    one.event_id,
                    "replayed",
                    one.log_id,
                    actor=bodies[one.log_id][1] if one.log_id in bodies else None,
                    detail=f"was {one.state}",
                )
                for one in replayed
            ],
        )
