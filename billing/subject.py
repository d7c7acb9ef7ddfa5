"""What all subjects of events share: a family, a version, and the keys by which events name them; values
only.

A key is `kind:id` in the PSP's ids, like `checkout:cs_1` or `payment:pi_1`. One subject has several, because
its events name it through its payment, its invoice or itself; an event that finds no subject under its key
waits for that key.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Subject(Protocol):
    """One thing whose state events change. A new family is a class of this shape and its rows in `db`."""

    @property
    def family(self) -> str:
        """Which machine it belongs to."""

    @property
    def source(self) -> str:
        """Whose ids these are: provider, or provider:account."""

    @property
    def id(self) -> str:
        """Its own id within family and source."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key under which events may name it."""


class Book:
    """The subjects that a batch of events is about: found by key, replaced as decisions are taken."""

    def __init__(self, subjects: Iterable[Subject] = ()) -> None:
        self._subjects: dict[tuple[str, str, str], Subject] = {}
        self._by_key: dict[tuple[str, str], set[tuple[str, str, str]]] = {}
        for subject in subjects:
            self.put(subject)

    def put(self, subject: Subject) -> None:
        """Add a subject or replace what is known of it."""
        identity = (subject.source, subject.family, subject.id)
        self._subjects[identity] = subject
        for key in subject.keys:
            self._by_key.setdefault((subject.source, key), set()).add(identity)

    def find(self, source: str, key: str) -> list[Subject]:
        """The subjects that this key names, in a fixed order."""
        return [self._subjects[identity] for identity in sorted(self._by_key.get((source, key), ()))]
