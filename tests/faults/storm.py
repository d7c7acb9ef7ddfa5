"""Draws faults from a seed and lets them strike together: what, whom, when and how long, all reproducible."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from runtime import limits
from tests.faults import faults
from tests.faults.faults import NotCarriedOutError, hold
from tests.faults.stack import Stack

type_strike = Callable[[Stack, random.Random], Awaitable[None]]

FAULTS: dict[str, tuple[int, type_strike]] = {
    # name: how often compared with others, what it does
    "worker_killed": (4, lambda stack, draw: faults.kill(draw.choice(stack.workers))),
    "worker_killed_mid_batch": (
        2,
        lambda stack, draw: faults.kill_worker_mid_batch(stack, draw.choice(stack.workers)),
    ),
    "worker_stopped": (2, lambda stack, draw: faults.stop_in_order(draw.choice(stack.workers))),
    "worker_frozen": (2, lambda stack, draw: faults.freeze(draw.choice(stack.workers), draw.uniform(0.2, 4))),
    "worker_frozen_beyond_lease": (
        1,
        lambda stack, draw: faults.freeze(
            draw.choice(stack.workers), limits.claim_lease_s + draw.uniform(0.5, 3)
        ),
    ),
    "worker_frozen_mid_batch": (
        1,
        lambda stack, draw: faults.freeze_worker_mid_batch(
            stack, draw.choice(stack.workers), limits.claim_lease_s + draw.uniform(0.5, 3)
        ),
    ),
    "receiver_killed": (4, lambda stack, _: faults.kill(stack.receiver)),
    "receiver_stopped": (2, lambda stack, _: faults.stop_in_order(stack.receiver)),
    "receiver_frozen": (2, lambda stack, draw: faults.freeze(stack.receiver, draw.uniform(0.2, 4))),
    "redis_flushed": (3, lambda stack, _: faults.flush_redis(stack)),
    "redis_away": (2, lambda stack, draw: faults.stop_redis(stack, draw.uniform(0, 8))),
    "redis_away_for_a_minute": (1, lambda stack, _: faults.stop_redis(stack, 60)),
    "redis_frozen": (2, lambda stack, draw: faults.freeze_redis(stack, draw.uniform(0.2, 5))),
    "postgres_restarted": (
        4,
        lambda stack, draw: faults.restart_postgres(stack, draw.choice((0, draw.uniform(0, 4)))),
    ),
    "postgres_frozen": (1, lambda stack, draw: faults.freeze_postgres(stack, draw.uniform(0.2, 5))),
    "backends_terminated": (4, lambda stack, _: faults.terminate_backends(stack)),
    "log_locked": (1, lambda stack, draw: faults.lock_table(stack, "webhook_log", draw.uniform(0.2, 4))),
    "inbox_locked": (2, lambda stack, draw: faults.lock_table(stack, "webhook_event", draw.uniform(0.2, 5))),
    "purchases_locked": (
        2,
        lambda stack, draw: faults.lock_table(stack, "checkout_session", draw.uniform(0.2, 5)),
    ),
    "balances_locked": (1, lambda stack, draw: faults.lock_table(stack, "balance", draw.uniform(0.2, 5))),
}


@dataclass(frozen=True)
class Strike:
    """One fault of a storm: which, and how many seconds after the storm's beginning."""

    name: str
    at_s: float
    seed: int


def draw_storm(seed: int, count: int, seconds: float) -> list[Strike]:
    """`count` strikes within `seconds`, the same for the same seed, in order of time."""
    draw = random.Random(f"storm/{seed}")
    names = draw.choices(list(FAULTS), [weight for weight, _ in FAULTS.values()], k=count)
    strikes = [Strike(name, draw.uniform(0, seconds), draw.randrange(2**32)) for name in names]
    return sorted(strikes, key=lambda strike: strike.at_s)


async def let_loose(stack: Stack, storm: list[Strike]) -> list[str]:
    """Let every strike of the storm happen at its time, beside the others; returns when all are over, with
    what was carried out."""
    done = []

    async def strike_at_its_time(strike: Strike) -> None:
        await hold(strike.at_s)
        with contextlib.suppress(NotCarriedOutError):
            await FAULTS[strike.name][1](stack, random.Random(strike.seed))
            done.append(strike.name)

    async with asyncio.TaskGroup() as strikes:
        for strike in storm:
            strikes.create_task(strike_at_its_time(strike))
    return done
