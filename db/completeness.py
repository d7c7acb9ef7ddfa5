"""How complete we are, as the reconciler has measured it against the PSPs' own lists; writes nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from db.pool import type_connection
from db.queries import RECONCILE

WINDOW_S = 86_400
"""What is told is that of the last day: a single run sees an hour, of which one late event can be all."""

measures_of_history_max = 100
"""What the overview draws: four days of one source at a run an hour."""

Types = Mapping[str, tuple[int, int]]
"""Event type to how many events the PSP lists, and how many of these had their outcome in time."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What one walk over a PSP's list has measured: events created after `since` and not after `until` (unix
    seconds, the PSP's clock). `begun`: from the newest event on, and not where another walk was cut short.
    """

    source: str
    since: int
    until: int
    in_time_s: int
    begun: bool
    types: Types


@dataclass(slots=True)
class Completeness:
    """What was measured of a source in a window of time, as of `measured_at`."""

    source: str
    since: int
    until: int
    in_time_s: int
    measured_at: datetime
    types: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def listed(self) -> int:
        """How many events the PSP lists."""
        return sum(listed for listed, _ in self.types.values())

    @property
    def in_time(self) -> int:
        """How many of these had their outcome in time."""
        return sum(in_time for _, in_time in self.types.values())

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where the PSP lists nothing."""
        return share(self.types)


@dataclass(frozen=True, slots=True)
class Point:
    """What share (0 to 1) of the events that one walk listed had their outcome in time."""

    at: datetime
    source: str
    share: float


def share(types: Types) -> float | None:
    """The share of events that had their outcome in time; None of none. Only all of them are 1."""
    listed, in_time = (sum(counts[place] for counts in types.values()) for place in (0, 1))
    if not listed:
        return None
    return 1.0 if in_time == listed else min(round(in_time / listed, 4), 0.9999)


async def add(connection: type_connection, run_id: UUID, measures: Sequence[Measure]) -> None:
    """Record what a run has measured, and forget what was measured a month ago."""
    await connection.execute(
        RECONCILE.add_measures,
        run_id,
        [one.source for one in measures],
        [one.since for one in measures],
        [one.until for one in measures],
        [one.in_time_s for one in measures],
        [one.begun for one in measures],
        [msgspec.json.encode(one.types).decode() for one in measures],
    )
    await connection.execute(RECONCILE.forget_measures)


async def read(connection: type_connection, window_s: int = WINDOW_S) -> list[Completeness]:
    """What was measured of the last `window_s` seconds, by source; one that was not measured is left out."""
    found: dict[str, Completeness] = {}
    for source, since, until, in_time_s, at, event_type, *counts in await connection.fetch(
        RECONCILE.completeness, window_s
    ):
        one = found.setdefault(source, Completeness(source, since, until, in_time_s, at))
        if event_type is not None:
            listed, in_time = counts
            one.types[event_type] = (listed, in_time)
    return list(found.values())


async def history(connection: type_connection) -> list[Point]:
    """What the latest walks have measured one by one, oldest first; one that saw no event has no share."""
    rows = await connection.fetch(RECONCILE.completeness_history, measures_of_history_max)
    shares = ((at, source, share(msgspec.json.decode(types))) for at, source, types in reversed(rows))
    return [Point(at, source, found) for at, source, found in shares if found is not None]
