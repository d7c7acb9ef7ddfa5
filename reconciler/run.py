"""One run as its phases see it: what was asked for, whom to ask, and what has been found so far. Values and
bookkeeping; decides nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from db.completeness import Measure
from db.findings import Order
from db.pool import type_pool
from psp.reads import Reader
from runtime.settings import Settings

CALLS_PER_S_MAX = 20.0
"""Calls to one PSP by a run: Stripe allows 25 reads a second in test mode and 100 in live mode, and the shop
needs the most of them."""


@dataclass(slots=True)
class Asked:
    """A source that can be asked, the endpoint whose events its answers stand beside, and its rate budget."""

    source: str
    endpoint: str
    reader: Reader
    _next_at: float = 0.0

    async def turn(self) -> None:
        """Wait until the next call may begin; calls may be under way at the same time."""
        now = time.monotonic()
        begin = max(now, self._next_at)
        self._next_at = begin + 1 / CALLS_PER_S_MAX
        if begin > now:
            await asyncio.sleep(begin - now)


@dataclass(slots=True)
class Run:
    """What one run works with. `started_at` is unix seconds by our clock, `grace_s` is for webhooks on their
    way; `seen` are event ids of which this run has spoken.
    """

    order: Order
    settings: Settings
    pool: type_pool
    sources: Mapping[str, Asked]
    started_at: int
    grace_s: int
    counts: Counter[str] = field(default_factory=Counter)
    by_phase: dict[str, Counter[str]] = field(default_factory=dict)
    repaired: Counter[str] = field(default_factory=Counter)
    """How much was repaired, by phase."""
    errors: Counter[str] = field(default_factory=Counter)
    """Sentences, without payload, and how often."""
    seen: set[tuple[str, str]] = field(default_factory=set)
    told: set[tuple[str, str, str]] = field(default_factory=set)
    """Payments and orders, by source, kind and id, that have been paid by what this run has told of."""
    measures: list[Measure] = field(default_factory=list)
    """How complete we are by the walks over all events that this run has brought to their end."""

    @property
    def hurry(self) -> bool:
        """A person who asks wants every row looked at, also those that were looked at lately."""
        return self.order.requested_by != INTERVAL

    @property
    def actor(self) -> str:
        """Under which name it appends to the log."""
        return f"reconciler:{self.order.id}"


INTERVAL = "interval"
"""Who asked for the runs that nobody asked for."""
