"""What the demo's plan consists of, and what all stories can tell; it must never decide which is told.

Steps know how many events they make the sandbox emit.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

repeated_requests = 0.05
"""Share of requests that the customer sends twice under one idempotency key, as an impatient client does."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action of a story. `amount` is in minor units; `which` counts the story's refunds from 0."""

    verb: str
    events: int
    amount: int | None = None
    which: int = 0
    outcome: str | None = None
    inquiry: bool = False
    twice: bool = False


@dataclass(slots=True)
class Story:
    """One purchase: who buys what, and what happens to it. `expects` is what a receiver must make of it.

    `total` is what is paid, or the price of one period, in minor units. An order may have a `seller`, by
    number, whose `share` is all of it where it is None.
    """

    number: int
    kind: str
    account: int
    credits: int
    total: int
    currency: str = "usd"
    metadata: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    expects: str = "handled"
    seller: int | None = None
    share: int | None = None


Tell = Callable[[Story, random.Random], None]
"""Writes a story's steps."""


def refund(story: Story, draw: random.Random, amount: int | None) -> None:
    """A card's refund of an amount, None for what is left."""
    which = sum(step.verb == "refund" for step in story.steps)
    twice = draw.random() < repeated_requests
    story.steps.append(Step("refund", 4, amount=amount, which=which, twice=twice))


def dispute(story: Story, draw: random.Random, outcome: str, amount: int | None, *, inquiry: bool) -> None:
    """A dispute that is mostly answered, and closed as `outcome` says: lost, won, or won and lost `again`."""
    again = outcome == "again"
    outcome = "won" if again else outcome
    story.steps.append(Step("dispute", 1 if inquiry else 2, amount=amount, inquiry=inquiry))
    if draw.random() < 0.7:
        story.steps.append(Step("answer", 1))
    story.steps.append(Step("close", 2 if outcome == "won" and not inquiry else 1, outcome=outcome))
    if again:
        story.steps.append(Step("take_again", 2))
