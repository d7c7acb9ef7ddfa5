"""Our own events as the API says them: appended once per id, and what became of them. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from db import events
from db.events import Delivery
from db.pool import type_connection
from db.queries import Queries

INTENTS = Queries("intents.sql")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event: a state of the inbox, and the code of its reason."""

    state: str
    reason: str | None


async def append_once(connection: type_connection, delivery: Delivery) -> None:
    """Append an event in the caller's transaction, unless one of its id was appended before.

    A second one would be a redelivery, which opens an event again that was ignored; and a customer who was
    told no must not find it done later.
    """
    assert delivery.event_id is not None, "an event of ours has an id"
    if await is_unsaid(connection, delivery.source, delivery.event_id):
        await events.append(connection, [delivery])


async def is_unsaid(connection: type_connection, source: str, event_id: str) -> bool:
    """Whether no event of this id was appended; until the caller's transaction ends nobody else does it."""
    await connection.execute(INTENTS.hold_event_id, source, event_id)
    return await outcome(connection, source, event_id) is None


async def outcome(connection: type_connection, source: str, event_id: str) -> Outcome | None:
    """What became of an event so far; None where it was never appended."""
    row = await connection.fetchrow(INTENTS.read_outcome, source, event_id)
    return None if row is None else Outcome(*row)
