"""Decides from a seed and an event's number what goes wrong with its delivery; it must never look at a clock.

The same seed and number give the same misfortune in every run, and changing one rate moves no other decision.
"""

from __future__ import annotations

import copy
import random
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

Forgery: TypeAlias = Literal["wrong_secret", "stale", "future", "edited", "unsigned", "garbled"]
FORGERIES: tuple[Forgery, ...] = get_args(Forgery)
VERDICT_OF_FORGERY: dict[Forgery, str] = {
    "wrong_secret": "bad_sig",
    "stale": "stale_ts",
    "future": "future_ts",
    "edited": "bad_sig",
    "unsigned": "missing_sig",
    "garbled": "malformed_sig",
}
"""The verdict that the receiver's contract has for each forgery; all are answered 400."""

clock_skew_min_s = 330
clock_skew_max_s = 86_400
"""How far a stale or future signature is off: beyond the 300 s that are tolerated, up to a day."""
reversal_refusals_max = 3
"""A few: a caller that tries five times still gets through."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of events, 0 to 1, that meet each misfortune; what ends in `_s` is seconds. `refuse_reversals`
    is a share of transfers: those whose first few reversals the API answers with a 429 or a 500.
    """

    duplicate: float = 0.0
    delay: float = 0.0
    drop: float = 0.0
    forge: float = 0.0
    conflict: float = 0.0
    refuse_reversals: float = 0.0
    delay_max_s: float = 2.0
    duplicate_within_s: float = 3.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            bound = 3600.0 if name.endswith("_s") else 1.0
            if not isinstance(value, int | float) or not 0.0 <= value <= bound:
                raise ValueError(f"{name} must be a number from 0 to {bound:g}")


CALM = Rates()
BAD_DAY = Rates(duplicate=0.10, delay=0.15, drop=0.03, forge=0.05, conflict=0.005, refuse_reversals=0.3)
PRESETS = {"calm": CALM, "bad_day": BAD_DAY}


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one event. Seconds count from its birth, `conflict_after_s` from its first 2xx."""

    dropped: bool = False
    delay_s: float = 0.0
    duplicates_at_s: tuple[float, ...] = ()
    forgery: Forgery | None = None
    forgery_at_s: float = 0.0
    clock_skew_s: int = 0
    conflict_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Chaos:
    """A seed, its rates, and the place in the sandbox's life from which its numbers count."""

    seed: int = 0
    rates: Rates = CALM
    from_seq: int = 0

    def plan(self, number: int) -> Plan:
        """The misfortunes of one event."""
        return plan(self.seed, number, self.rates)

    def reversal_refusals(self, number: int) -> tuple[int, ...]:
        """The HTTP statuses that the first reversals of a transfer meet; most transfers meet none."""
        draw = random.Random(f"reversal:{self.seed}:{number}")
        unlucky = draw.random() < self.rates.refuse_reversals
        statuses = draw.choices((429, 500), k=draw.randint(1, reversal_refusals_max))
        return tuple(statuses) if unlucky else ()


def plan(seed: int, number: int, rates: Rates) -> Plan:
    """Decides one event. Every draw is made whether or not it counts, so that the rates stay independent."""
    draw = random.Random(f"sandbox:{seed}:{number}")
    lot = {name: draw.random() for name in ("duplicate", "delay", "drop", "forge", "conflict")}
    copies = draw.choice((1, 1, 2))
    later = tuple(draw.choice((0.0, draw.uniform(0.05, 1.0))) * rates.duplicate_within_s for _ in range(2))
    delay_s = draw.uniform(0.02, 1.0) * rates.delay_max_s
    forgery = draw.choice(FORGERIES)
    forgery_at_s = draw.uniform(0.0, 1.0) * rates.delay_max_s
    skew_s = draw.randint(clock_skew_min_s, clock_skew_max_s)
    conflict_after_s = draw.uniform(0.0, 1.0)
    dropped = lot["drop"] < rates.drop
    forged = lot["forge"] < rates.forge
    delay_s = delay_s if lot["delay"] < rates.delay else 0.0
    doubled = lot["duplicate"] < rates.duplicate and not dropped
    return Plan(
        dropped=dropped,
        delay_s=delay_s,
        duplicates_at_s=tuple(delay_s + after_s for after_s in later[:copies]) if doubled else (),
        forgery=forgery if forged else None,
        forgery_at_s=forgery_at_s if forged else 0.0,
        clock_skew_s=skew_s if forged else 0,
        conflict_after_s=conflict_after_s if lot["conflict"] < rates.conflict and not dropped else None,
    )


def rates_from(values: dict[str, Any]) -> Rates:
    """Rates out of a JSON object; an unknown name or a value out of bounds raises ValueError."""
    known = {field.name for field in fields(Rates)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"unknown rates: {', '.join(unknown)}")
    return Rates(**values)


def enriched(event: dict[str, Any]) -> dict[str, Any]:
    """The same event telling a dearer story: what a forger would like to be believed.

    Credits and amounts grow a thousandfold, so that a receiver that believes it shows a different balance.
    """
    story = copy.deepcopy(event)
    thing = story["data"]["object"]
    metadata = thing.get("metadata")
    for name in ("credits", "sellerAmount"):
        if isinstance(metadata, dict) and str(metadata.get(name, "")).isdigit():
            metadata[name] = str(int(metadata[name]) * 1000)
    for name in ("amount", "amount_total", "amount_received", "amount_captured", "amount_due", "amount_paid"):
        if isinstance(thing.get(name), int):
            thing[name] *= 1000
    thing["description"] = "the same event with another body"
    return story
