"""Which of the fields that a mapping depends on an event has: what a PSP sends no more would be read as null.
Pure; looks at names, and never at what they hold.
"""

from __future__ import annotations

import functools
from typing import Any

from msgspec import Struct


class Shape(Struct, frozen=True, cache_hash=True):
    """An event by the names of its watched fields; `version` is that of the PSP's API, empty where it tells
    none.
    """

    event_type: str
    version: str
    present: tuple[str, ...]
    absent: tuple[str, ...]


class Watch:
    """The fields of one kind of object that its PSP always sends, if only as null."""

    def __init__(self, **fields: str) -> None:
        """Each by the places where versions of the API keep it, like `subscription` or
        `subscription parent.subscription_details`; the first has no steps. A list stands for its first item.
        """
        places_of = {name: [place.split(".") for place in places.split()] for name, places in fields.items()}
        self._fields = list(places_of.items())
        self._names = {places[0][0] for places in places_of.values() if len(places) == 1}
        self._moved = [(name, places) for name, places in self._fields if len(places) > 1]

    def shape(self, event_type: str, version: str, subject: Any) -> Shape | None:
        """The shape of an event about `subject`; None for what is no object at all."""
        if not isinstance(subject, dict):
            return None
        # Nearly always all that has never moved is there.
        looked_for = self._moved if self._names <= subject.keys() else self._fields
        absent = [
            name
            for name, places in looked_for
            if places[0][0] not in subject and not any(_stands(subject, place) for place in places[1:])
        ]
        return _shape(self, event_type, version, tuple(absent))


@functools.lru_cache(maxsize=1024)
def _shape(watch: Watch, event_type: str, version: str, absent: tuple[str, ...]) -> Shape:
    present = tuple(name for name, _ in watch._fields if name not in absent)
    return Shape(event_type, version, present, absent)


def _stands(value: Any, place: list[str]) -> bool:
    """Whether a place is there; where something on the way is null or empty it may be."""
    for step in place:
        if isinstance(value, list):
            value = value[0] if value else None
        if value is None:
            return True
        if not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True
