"""The storage budget of refused deliveries: the first of a minute are rows, the rest are counted into
aggregate rows.

*Rows plus aggregates equal requests*: nothing is only dropped. Pure: time comes in as an argument.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from runtime import limits

_SOURCES_TRACKED_MAX = 10_000
"""Addresses with counters of their own within a minute; beyond that they share one."""


class Counted(NamedTuple):
    """What an aggregate row counts together."""

    source: str
    endpoint: str
    source_ip: str | None
    verdict: str


class RefusalBudget:
    """Decides, delivery by delivery, whether a refusal gets a row of its own."""

    def __init__(self) -> None:
        self._minute = -1
        self._rows: Counter[str | None] = Counter()
        self._rows_in_all = 0
        self._counted: Counter[Counted] = Counter()

    def admits(self, refusal: Counted, now_s: float) -> bool:
        """True: store it as a row. False: it has been counted instead."""
        minute = int(now_s // 60)
        if minute != self._minute:
            self._minute = minute
            self._rows.clear()
            self._rows_in_all = 0
        address = refusal.source_ip
        if address not in self._rows and len(self._rows) >= _SOURCES_TRACKED_MAX:
            address = None
            refusal = refusal._replace(source_ip=None)
        if (
            self._rows[address] < limits.rejected_rows_per_minute_and_source_max
            and self._rows_in_all < limits.rejected_rows_per_minute_max
        ):
            self._rows[address] += 1
            self._rows_in_all += 1
            return True
        self._counted[refusal] += 1
        return False

    def take_counted(self) -> dict[Counted, int]:
        """The refusals counted since the last call; the caller must store them or give them back."""
        counted, self._counted = self._counted, Counter()
        return counted

    def give_back(self, counted: dict[Counted, int]) -> None:
        """They could not be stored: count them again next time."""
        self._counted.update(counted)
