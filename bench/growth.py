"""Bench `growth`: what the same work costs over ten thousand, one million and ten million deliveries of
the past.

Every size has a database of its own, filled first and then measured in turn. The last day holds the same
number of deliveries in each, because a question about a day costs what the day holds; what grows is the
history behind it.
"""

from __future__ import annotations

import contextlib
import functools
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bench import bodies, inbox, past, questions
from bench.figures import Result, Table, median, per_round, ratio, shown
from bench.measured import Plan
from bench.past import GROWTH, Past
from bench.rig import Rig
from db import events, operations, pool, rollup
from db.pool import type_connection
from runtime import clock, limits
from workers.drain import Drainer

SIZES = (10_000, 1_000_000, 10_000_000)
_SIZES_SMOKE = (1_000, 2_000)
_DAYS = 60
"""Over so many past days the history is spread."""
_LAST_DAY_ROWS = 5_000
_WARM_ASKS = 3
_REPEATS = 25
"""Audit queries take a millisecond; one measurement is the median of so many."""


@dataclass
class _World:
    """A database of one size; figures in µs per row, ms per query, by round."""

    rows: int
    dsn: str
    midnight: datetime
    days: int
    costs: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, cost: float) -> None:
        self.costs.setdefault(what, []).append(cost)


async def run(rig: Rig, plan: Plan) -> Result:
    """Fill, then measure in turn; `ratios` holds the largest over the smallest size, figure by figure."""
    sizes = _SIZES_SMOKE if plan.smoke else [*(size for size in SIZES if size < plan.rows_max), plan.rows_max]
    days = 6 if plan.smoke else _DAYS
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    worlds = []
    for rows in sizes:
        world = _World(rows, await rig.database(), midnight, days)
        last_day = _SIZES_SMOKE[0] // 2 if plan.smoke else _LAST_DAY_ROWS
        await past.fill(
            rig,
            world.dsn,
            Past(rows, days, last_day, midnight),
            functools.partial(plan.show, f"fill {rows:,}"),
        )
        worlds.append(world)
    await rig.checkpoint()
    for number in range(plan.rounds):
        plan.show("growth", number, plan.rounds)
        # Where each begins another time, none is always the one that comes after the largest.
        await _measure(rig, worlds[number % len(worlds) :] + worlds[: number % len(worlds)], number, plan)
    plan.show("growth", 1, 1)
    return _result(worlds)


async def _measure(rig: Rig, worlds: Sequence[_World], number: int, plan: Plan) -> None:
    for world in worlds:
        async with rig.connected(world.dsn) as connection:
            await _receive(connection, world, plan.count(2_000, 400))
        await _roll_up(rig, world)
    await _ask(worlds)
    for world in worlds:
        await _apply(rig, world, plan.count(1_500, 200))
    for world in worlds:
        async with rig.connected(world.dsn) as connection:
            await _retain(connection, world, number)


async def _receive(connection: type_connection, world: _World, rows: int) -> None:
    run = secrets.token_hex(4)
    made = [inbox.delivery(bodies.CUSTOMER.make(f"{run}{number:08d}", number, 1)) for number in range(rows)]
    began = time.monotonic()
    for first in range(0, len(made), 200):
        await events.append(connection, made[first : first + 200])
    world.add("receive, µs a row", (time.monotonic() - began) / len(made) * 1e6)


async def _apply(rig: Rig, world: _World, rows: int) -> None:
    async with rig.connected(world.dsn) as connection:
        first = secrets.randbelow(9_000_000) * 10
        await inbox.fill(connection, bodies.mixed(secrets.token_hex(4), first, rows))
    connections = await pool.create_pool(world.dsn, "sluice_worker", "sluice-bench", size_max=2)
    try:
        began = time.monotonic()
        counts = await Drainer(connections, {}).run_once()
        world.add("apply, µs an event", (time.monotonic() - began) / sum(counts.values()) * 1e6)
    finally:
        await connections.close()


async def _ask(worlds: Sequence[_World]) -> None:
    """As the API asks: in its role, over a connection that has asked before, as those of its pool have.

    Each question goes to one database after the other, so that what else the machine does hits all alike.
    """
    async with contextlib.AsyncExitStack() as connections:
        asked = []
        for world in worlds:
            api = await pool.connect(world.dsn, "sluice_api", "sluice-bench")
            connections.push_async_callback(api.close)
            dashboards = await pool.connect(world.dsn, "sluice_dashboard", "sluice-bench")
            connections.push_async_callback(dashboards.close)
            asked.append(
                {
                    **await questions.of_api(api, world.midnight),
                    **questions.of_dashboards(dashboards, world.midnight),
                    **await questions.of_console(api, world.midnight),
                }
            )
        for what in asked[0]:
            took: list[list[float]] = [[] for _ in worlds]
            for repeat in range(_WARM_ASKS + _REPEATS):
                for each, questions_of_world in zip(took, asked, strict=True):
                    began = time.monotonic()
                    await questions_of_world[what]()
                    if repeat >= _WARM_ASKS:
                        each.append((time.monotonic() - began) * 1e3)
            for world, each in zip(worlds, took, strict=True):
                world.add(what, median(each))


async def _roll_up(rig: Rig, world: _World) -> None:
    """What a sweep does of it every few seconds: announce, then count."""
    async with rig.connected(world.dsn) as connection:
        for _ in range(2):
            await rollup.step(connection)


async def _retain(connection: type_connection, world: _World, number: int) -> None:
    """Drop the oldest day; beside it, the next one by DELETE in batches, which partitions save."""
    oldest = world.midnight - timedelta(days=world.days + 1 - number * 2)
    if oldest >= world.midnight - timedelta(days=2):
        return
    began = time.monotonic()
    dropped = await operations.drop_partitions(connection, (oldest + timedelta(days=1)).date())
    world.add("retention of a day, drop, ms", (time.monotonic() - began) / max(1, dropped) * 1e3)
    began, deleted, batch = time.monotonic(), 0, 1
    day = oldest + timedelta(days=1)
    while batch:
        done = await connection.execute(
            GROWTH.delete_day, day, day + timedelta(days=1), limits.retention_batch_rows, timeout=600
        )
        batch = int(done.rpartition(" ")[2])
        deleted += batch
    world.add("retention of a day, DELETE, ms", (time.monotonic() - began) * 1e3)


def _key(what: str) -> str:
    """`latest 50, ms` becomes `growth_latest_50`."""
    words = re.findall(r"[a-z0-9]+", what.rpartition(",")[0].lower())
    return "_".join(["growth", *words])


def _result(worlds: list[_World]) -> Result:
    smallest, largest = worlds[0], worlds[-1]
    ratios: dict[str, float | None] = {
        _key(what): ratio(largest.costs[what], smallest.costs[what]) for what in smallest.costs
    }
    rows = [
        (what, *(shown(median(world.costs[what])) for world in worlds), shown(ratios[_key(what)]))
        for what in smallest.costs
    ]
    columns = ("work", *(f"{world.rows:,} rows" for world in worlds), "largest / smallest")
    notes = (
        f"History over {smallest.days} days; last day and quarantine hold the same in each.",
        "Bodies of the past hold two bytes; four deliveries are of one object, one in ten is a purchase.",
        "Medians of the rounds; the last column is the median of the rounds' own ratios.",
    )
    return Result(
        "growth",
        ratios,
        {f"{world.rows}": per_round(world.costs) for world in worlds},
        [Table("growth: the same work over more history", columns, rows, notes)],
    )
