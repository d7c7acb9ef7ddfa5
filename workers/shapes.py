"""Notices when a PSP no longer sends a field that a mapping takes for null where it is gone: one alert for
each type of event and version, which names the fields and never what they held. Holds no event back.
"""

from __future__ import annotations

from collections.abc import Iterable

from db import fields, operations
from db.pool import type_connection
from psp.shapes import Shape
from workers.outcomes import Item

_REMEMBERED_MAX = 10_000
"""There are some hundred, unless a PSP makes up versions."""


class Shapes:
    """What a worker process has noticed already, so that an event costs it one look-up in memory."""

    def __init__(self) -> None:
        self._lost: dict[tuple[str, Shape], bool] = {}

    async def notice(self, connection: type_connection, items: Iterable[Item]) -> int:
        """How many of these events have lost a field. Shapes that are new to this process are recorded, and
        alarmed where they are new to the house.
        """
        if len(self._lost) > _REMEMBERED_MAX:
            self._lost = {}  # batches that are under way go on with theirs
        lost = self._lost
        told = [(item.event.source, item.reading.shape) for item in items if item.reading.shape is not None]
        new = dict.fromkeys(each for each in told if each not in lost)
        if new:
            lost.update(await self._record(connection, list(new)))
        return sum(lost[each] for each in told)

    async def _record(
        self, connection: type_connection, new: list[tuple[str, Shape]]
    ) -> dict[tuple[str, Shape], bool]:
        seen = [
            fields.Seen(source, shape.event_type, shape.version, name, present)
            for source, shape in new
            for present, names in ((True, shape.present), (False, shape.absent))
            for name in names
        ]
        async with connection.transaction():
            lost = await fields.notice(connection, seen)
            await operations.raise_alerts(
                connection,
                [
                    ("lost_fields", f"{subject}", f"no longer sent: {', '.join(names)}")
                    for subject, names in _by_subject(lost).items()
                ],
            )
        gone = {(one.source, one.event_type, one.version, one.field) for one in lost}
        return {
            (source, shape): any(
                (source, shape.event_type, shape.version, name) in gone for name in shape.absent
            )
            for source, shape in new
        }


def _by_subject(lost: Iterable[fields.Lost]) -> dict[str, list[str]]:
    """Names of fields that nobody has been told of, by source, type and version."""
    found: dict[str, list[str]] = {}
    for one in lost:
        if one.is_new:
            found.setdefault(f"{one.source}:{one.event_type} {one.version}".rstrip(), []).append(one.field)
    return found
