"""Leaves a PSP alone that fails as a whole: one per process and PSP, told how calls ended. Calls nobody."""

from __future__ import annotations

from datetime import datetime, timedelta

from psp.calls import Outcome, Transient
from runtime import limits


class Breaker:
    """Open after several failures in a row, then one probe per pause."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_until: datetime | None = None

    def calls_allowed(self, now: datetime) -> int:
        """How many calls may be under way at `now`."""
        if self._open_until is None:
            return limits.effect_calls_at_once
        return 1 if now >= self._open_until else 0

    def heard(self, outcome: Outcome, now: datetime) -> None:
        """Take note of how a call ended."""
        if isinstance(outcome, Transient) and outcome.unwell:
            self._failures += 1
            if self._failures >= limits.effect_breaker_failures_max:
                self._open_until = now + timedelta(seconds=limits.effect_breaker_pause_s)
        else:
            self._failures = 0
            self._open_until = None
