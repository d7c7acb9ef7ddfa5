"""How the sources of events behave: their own rate, their clock, their secrets. Reads of the log only what is
new since the last look.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db.log_ids import span_of_time
from db.pool import type_connection
from db.queries import RECONCILE


@dataclass(frozen=True, slots=True)
class Pulse:
    """One source. `longest_gap_s` is the longest that it has ever been silent, fading; `skew_s` our clock
    minus the time in its signatures, None where they hold none; `secrets` when each was last of use.
    """

    source: str
    deliveries: int
    silent_s: float
    longest_gap_s: float
    skew_s: float | None
    oldest_unapplied_s: float
    secrets: dict[str, str]


async def move(connection: type_connection, since: datetime, fade: float) -> None:
    """Take note of what came since the last look, or since `since` where that is later; `fade` is what is
    left of an old longest gap.
    """
    last: datetime | None = await connection.fetchval(RECONCILE.last_pulse)
    span = span_of_time(since if last is None else max(since, last), None, None)
    async with connection.transaction():
        await connection.execute(RECONCILE.move_pulses, span.id_from, span.received_from, fade)
        await connection.execute(RECONCILE.move_secret_uses, span.id_from, span.received_from)
        await connection.execute(RECONCILE.move_heard_types, span.id_from, span.received_from)


async def heard_types(connection: type_connection, source: str, within_s: float) -> frozenset[str]:
    """The types of events that a source has sent us lately."""
    rows = await connection.fetch(RECONCILE.heard_types, source, within_s)
    return frozenset(row["event_type"] for row in rows)


async def read(connection: type_connection) -> list[Pulse]:
    """Every source that has ever sent anything."""
    rows = await connection.fetch(RECONCILE.read_pulses)
    return [Pulse(**{**row, "secrets": json.loads(row["secrets"] or "{}")}) for row in rows]


async def resolve_alerts_but(connection: type_connection, name: str, subjects: Sequence[str]) -> None:
    """Close the open alerts of a name but for those about these subjects."""
    await connection.execute(RECONCILE.resolve_alerts_but, name, list(subjects))
