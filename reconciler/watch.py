"""Watches what nobody reports: invariants, sources that have fallen silent, clocks that disagree. Raises
alerts and closes them again; repairs nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from db import checks, operations, pulse
from db.pool import type_pool
from db.pulse import Pulse
from runtime import limits

DELIVERIES_MIN = 50
"""A source with fewer deliveries has no rate of its own yet."""
SILENCE_S_MIN = 900.0
"""Nobody is woken for a shorter silence."""
SILENCE_FACTOR = 2.0
"""So many times the longest gap that a source has ever made is a silence: nights and weekends are in that
gap.
"""
GAP_FADE = 0.99998
"""What is left of an old longest gap after a look with news, every five seconds: a tenth after a week."""
SKEW_S_MAX = 60.0
"""The signature's tolerance is 300 s: there is time to set a clock right before deliveries are refused."""
REACH = timedelta(hours=1)
"""How far back a first look, or one after a pause, reads the log."""


async def take_note(pool: type_pool, now: datetime) -> None:
    """Take note of new deliveries."""
    async with pool.acquire(timeout=limits.pool_acquire_s) as connection:
        await pulse.move(connection, now - REACH, GAP_FADE)


async def watch_sources(pool: type_pool, now: datetime) -> None:
    """Take note of new deliveries, raise and close the alerts about sources."""
    await take_note(pool, now)
    async with pool.acquire(timeout=limits.pool_acquire_s) as connection:
        pulses = await pulse.read(connection)
        silent = [one for one in pulses if is_silent(one)]
        skewed = [one for one in pulses if one.skew_s is not None and abs(one.skew_s) > SKEW_S_MAX]
        alerts: list[tuple[str, str, str | None]] = [
            (
                "source_silent",
                f"{one.source}",
                f"{one.silent_s:.0f} s; usually {one.longest_gap_s:.0f} s at most",
            )
            for one in silent
        ]
        alerts += [
            ("clock_skew", f"{one.source}", f"our clock is {one.skew_s:.0f} s ahead of the signatures")
            for one in skewed
        ]
        await operations.raise_alerts(connection, alerts)
        await pulse.resolve_alerts_but(connection, "source_silent", [one.source for one in silent])
        await pulse.resolve_alerts_but(connection, "clock_skew", [one.source for one in skewed])


def is_silent(one: Pulse) -> bool:
    """Whether a source has been silent for longer than it ever is."""
    usual_s = max(SILENCE_S_MIN, SILENCE_FACTOR * one.longest_gap_s)
    return one.deliveries >= DELIVERIES_MIN and one.silent_s > usual_s


async def watch_invariants(pool: type_pool) -> dict[str, int]:
    """Run every invariant query; what is broken is an alert until it is mended. Returns the broken ones."""
    async with pool.acquire(timeout=limits.pool_acquire_s) as connection:
        broken = {name: rows for name, rows in (await checks.run(connection)).items() if rows}
        await operations.raise_alerts(
            connection, [("invariant_broken", f"{name}", f"{rows} rows") for name, rows in broken.items()]
        )
        await pulse.resolve_alerts_but(connection, "invariant_broken", list(broken))
    return broken
