"""Decides a batch as a worker does, without a worker."""

from __future__ import annotations

from collections.abc import Sequence

from billing.subject import Subject
from workers import outcomes
from workers.outcomes import Batch, Item


def decided(items: Sequence[Item], subjects: Sequence[Subject]) -> Batch:
    """What comes of these events, all steps at once."""
    steps = outcomes.decide_batch(items, subjects)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            batch: Batch = end.value
            return batch
