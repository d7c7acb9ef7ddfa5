"""Long computations in turns: between two steps the other batches of this process go on. Decides nothing.

A worker has one interpreter and several batches under way. A batch that thought for ten milliseconds at a
time would keep what Postgres has answered to the others waiting, and Postgres idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

type_steps = Generator[None, None, T]
"""A computation that yields where it may pause, and returns its result."""

events_per_step = 50
"""Half a millisecond of work; a turn of the event loop costs a fiftieth of that."""


async def in_turns(steps: type_steps[T]) -> T:
    """Carry out a computation, others between its steps; returns its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
