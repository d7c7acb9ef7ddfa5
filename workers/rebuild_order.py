"""Knows which objects' events were not applied in the order of the log, so that a rebuild may differ from
live state in what depends on that order: journal, causes, rounding of single postings. Pure; never excuses
a state by itself.

Objects belong together when an event names both, or one has the other's key: together they are a group. A
group is disordered when the live inbox finished its events in another order than the log has them, or when
one had to wait. It is from before when something in it had a history that is not rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

DISORDERED, BEFORE = 1, 2
"""Flags of a group."""


class Groups:
    """Groups of keys, each key with the source whose ids it holds."""

    def __init__(self) -> None:
        self._number: dict[tuple[str, str], int] = {}
        self._parent: list[int] = []
        self._flags: list[int] = []
        self._latest: list[datetime | None] = []
        self._events: dict[int, int] = {}

    def tie(self, source: str, keys: Iterable[str]) -> int | None:
        """Put these keys into one group; its number, or None where there is no key."""
        root: int | None = None
        for key in keys:
            found = self._root(self._number_of(source, key))
            if root is None:
                root = found
            elif root != found:
                root = self._unite(root, found)
        return root

    def saw(self, log_id: int, source: str, keys: Iterable[str], applied_at: datetime | None) -> None:
        """The log's next event: what it names, and when the live inbox was done with it."""
        root = self.tie(source, keys)
        if root is None:
            return
        self._events[log_id] = root
        latest = self._latest[root]
        if applied_at is None or (latest is not None and applied_at < latest):
            self._flags[root] |= DISORDERED
        if applied_at is not None and (latest is None or applied_at > latest):
            self._latest[root] = applied_at

    def waited(self, log_id: int) -> None:
        """This event could not be decided when it came."""
        if log_id in self._events:
            self._flags[self._root(self._events[log_id])] |= DISORDERED

    def from_before(self, source: str, key: str) -> None:
        """This object had a history before what is rebuilt."""
        self._flags[self._root(self._number_of(source, key))] |= BEFORE

    def flagged_keys(self) -> list[tuple[str, str, int]]:
        """Source, key and flags of every key whose group has any."""
        return [
            (source, key, flags)
            for (source, key), number in self._number.items()
            if (flags := self._flags[self._root(number)])
        ]

    def flagged_events(self) -> list[tuple[int, int]]:
        """Log id and flags of every event whose group has any."""
        return [
            (log_id, flags)
            for log_id, number in self._events.items()
            if (flags := self._flags[self._root(number)])
        ]

    def _number_of(self, source: str, key: str) -> int:
        number = self._number.setdefault((source, key), len(self._parent))
        if number == len(self._parent):
            self._parent.append(number)
            self._flags.append(0)
            self._latest.append(None)
        return number

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def _unite(self, one: int, other: int) -> int:
        self._parent[other] = one
        self._flags[one] |= self._flags[other]
        latest = [at for at in (self._latest[one], self._latest[other]) if at is not None]
        self._latest[one] = max(latest, default=None)
        return one
