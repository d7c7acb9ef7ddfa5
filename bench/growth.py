"""Bench `growth`: what the same work costs over ten thousand, one million and ten million deliveries of
the past.

Every size has a database of its own, filled first and then measured in turn. The last day and the oldest ones
hold the same number of deliveries in each, because a question about a day, and its retention, cost what the
day holds; what grows is the history between.
"""

from __future__ import annotations

import contextlib
import functools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bench import bodies, inbox, past, questions
from bench.figures import Result, Table, median, per_round, ratio, shown
from bench.measured import Plan, keep_together
from bench.past import GROWTH, Past
from bench.questions import type_ask
from bench.rig import Rig
from db import events, operations, pool, rollup
from db.pool import type_connection
from runtime import clock, limits
from workers.drain import Drainer

SIZES = (10_000, 1_000_000, 10_000_000)
_SIZES_SMOKE = (1_000, 2_000)
_DAYS = 60
"""Over so many past days the history is spread."""
_DAY = timedelta(days=1)
_LAST_DAY_ROWS = 5_000
_BATCH_ROWS = 200
_WARM_ASKS = 7
"""A server makes up its mind about a plan at the sixth."""
_REPEATS = (25, 100)
_ASK_S = 0.2
"""One measurement is the median of so many asks: the more the shorter they are, up to this time in all."""
_FULL_DAYS = 2
"""Days as full as the history makes them that are dropped, and as many deleted, half a minute each."""


@dataclass
class _World:
    """A database of one size; figures in µs per row, ms per query, by round; pages per query."""

    rows: int
    dsn: str
    past: Past
    costs: dict[str, list[float]] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, cost: float) -> None:
        self.costs.setdefault(what, []).append(cost)


async def run(rig: Rig, plan: Plan) -> Result:
    """Fill, then measure in turn; `ratios` holds the largest over the smallest size, figure by figure."""
    sizes = _SIZES_SMOKE if plan.smoke else [*(size for size in SIZES if size < plan.rows_max), plan.rows_max]
    days = 6 if plan.smoke else _DAYS
    last_day = _SIZES_SMOKE[0] // 2 if plan.smoke else _LAST_DAY_ROWS
    light_day = (sizes[0] - last_day) // days
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    worlds = []
    for rows in sizes:
        behind = Past(rows, days, last_day, midnight, plan.rounds, light_day)
        world = _World(rows, await rig.database(), behind)
        await past.fill(rig, world.dsn, behind, functools.partial(plan.show, f"fill {rows:,}"))
        worlds.append(world)
    for number in range(plan.rounds):
        plan.show("growth", number, plan.rounds)
        await rig.checkpoint()
        # Where each begins another time, none is always the one that comes after the largest.
        await _measure(rig, worlds[number % len(worlds) :] + worlds[: number % len(worlds)], plan)
    # At last, because a DELETE leaves much behind that the server cleans up for minutes.
    for number in range(plan.rounds):
        await _each(rig, worlds, functools.partial(_drop_light, number))
    for number in range(min(_FULL_DAYS, plan.rounds)):
        await _each(rig, worlds, functools.partial(_retain_full, number))
    plan.show("growth", 1, 1)
    return _result(worlds)


async def _each(
    rig: Rig, worlds: Sequence[_World], work: Callable[[type_connection, _World], Awaitable[None]]
) -> None:
    for world in worlds:
        async with rig.connected(world.dsn) as connection:
            await work(connection, world)


async def _measure(rig: Rig, worlds: Sequence[_World], plan: Plan) -> None:
    await _receive(rig, worlds, plan.count(2_000, 400))
    await _each(rig, worlds, _roll_up)
    await _ask(rig, worlds, plan.smoke)
    for world in worlds:
        await _apply(rig, world, plan.count(1_500, 200))


async def _receive(rig: Rig, worlds: Sequence[_World], rows: int) -> None:
    """Batch by batch to one database after the other; the median batch, because a disk hiccups at times."""
    run = secrets.token_hex(4)
    made = [inbox.delivery(bodies.CUSTOMER.make(f"{run}{number:08d}", number, 1)) for number in range(rows)]
    took: list[list[float]] = [[] for _ in worlds]
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(rig.connected(world.dsn)) for world in worlds]
        _together(rig, connections)
        for first in range(0, len(made), _BATCH_ROWS):
            batch = made[first : first + _BATCH_ROWS]
            for connection, each in zip(connections, took, strict=True):
                began = time.monotonic()
                await events.append(connection, batch)
                each.append((time.monotonic() - began) / len(batch) * 1e6)
    for world, each in zip(worlds, took, strict=True):
        world.add("receive, µs a row", median(each))


def _together(rig: Rig, connections: Sequence[type_connection]) -> None:
    keep_together(rig, [connection.get_server_pid() for connection in connections])


async def _apply(rig: Rig, world: _World, rows: int) -> None:
    async with rig.connected(world.dsn) as connection:
        first = secrets.randbelow(9_000_000) * 10
        await inbox.fill(connection, bodies.mixed(secrets.token_hex(4), first, rows))
    connections = await pool.create_pool(world.dsn, "sluice_worker", "sluice-bench", size_max=2)
    try:
        async with connections.acquire() as one, connections.acquire() as other:
            _together(rig, [one, other])
        began = time.monotonic()
        counts = await Drainer(connections, {}).run_once()
        world.add("apply, µs an event", (time.monotonic() - began) / sum(counts.values()) * 1e6)
    finally:
        await connections.close()


@dataclass
class _Asked:
    """A world with connections to it that stay, and the questions that go over them."""

    world: _World
    connections: Sequence[type_connection]
    questions: Mapping[str, type_ask]

    async def timed(self, what: str) -> float:
        """Milliseconds of one ask."""
        began = time.monotonic()
        await self.questions[what]()
        return (time.monotonic() - began) * 1e3

    async def pages(self) -> int:
        """Pages that its servers have looked at so far: what no other work on the machine disturbs."""
        looked_at = 0
        for connection in self.connections:
            await connection.execute(GROWTH.count_pages_now)
            looked_at += await connection.fetchval(GROWTH.pages_looked_at)
        return looked_at


async def _ask(rig: Rig, worlds: Sequence[_World], smoke: bool) -> None:
    """As the API asks: in its role, over a connection that has asked before, as those of its pool have."""
    async with contextlib.AsyncExitStack() as stack:
        all_asked = []
        for world in worlds:
            api = await pool.connect(world.dsn, "sluice_api", "sluice-bench")
            stack.push_async_callback(api.close)
            dashboards = await pool.connect(world.dsn, "sluice_dashboard", "sluice-bench")
            stack.push_async_callback(dashboards.close)
            midnight = world.past.midnight
            all_questions = {
                **await questions.of_api(api, midnight),
                **questions.of_dashboards(dashboards, midnight),
                **await questions.of_console(api, midnight),
            }
            all_asked.append(_Asked(world, (api, dashboards), all_questions))
        _together(rig, [connection for asked in all_asked for connection in asked.connections])
        for what in all_asked[0].questions:
            await _take_turns(all_asked, what, smoke)


async def _take_turns(all_asked: Sequence[_Asked], what: str, smoke: bool) -> None:
    """Each question goes to one database after the other, and then back, so that what else the machine does
    hits all alike.
    """
    for _ in range(_WARM_ASKS):
        took_ms = max([await asked.timed(what) for asked in all_asked])
    fewest, most = (1, 1) if smoke else _REPEATS
    took: list[list[float]] = [[] for _ in all_asked]
    turn = list(zip(all_asked, took, strict=True))
    for _ in range(max(fewest, min(most, round(_ASK_S * 1e3 / took_ms)))):
        for asked, each in turn:
            each.append(await asked.timed(what))
        turn.reverse()
    for asked, each in turn:
        asked.world.add(what, median(each))
        before = await asked.pages()
        await asked.questions[what]()
        asked.world.pages[what] = await asked.pages() - before


async def _roll_up(connection: type_connection, world: _World) -> None:
    """What a sweep does of it every few seconds: announce, then count."""
    del world
    for _ in range(2):
        await rollup.step(connection)


async def _drop_until(connection: type_connection, day: datetime) -> float:
    began = time.monotonic()
    dropped = await operations.drop_partitions(connection, day.date())
    assert dropped == 1, "a day that is measured lies alone"
    return (time.monotonic() - began) * 1e3


async def _drop_light(number: int, connection: type_connection, world: _World) -> None:
    """Drop the oldest day, which holds the same in each database."""
    took = await _drop_until(connection, world.past.first_day + (number + 1) * _DAY)
    world.add("retention of a day, drop, ms", took)


async def _retain_full(number: int, connection: type_connection, world: _World) -> None:
    """Drop a day that is as full as the history makes it; and of one more its rows, in batches, which
    partitions save.
    """
    day = world.past.first_day + (world.past.light_days + number) * _DAY
    world.add("retention of a full day, drop, ms", await _drop_until(connection, day + _DAY))
    day += _FULL_DAYS * _DAY
    began, batch = time.monotonic(), 1
    while batch:
        done = await connection.execute(
            GROWTH.delete_day, day, day + _DAY, limits.retention_batch_rows, timeout=600
        )
        batch = int(done.rpartition(" ")[2])
    world.add("retention of a full day, DELETE, ms", (time.monotonic() - began) * 1e3)


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
        (
            what,
            *(shown(median(world.costs[what])) for world in worlds),
            shown(ratios[_key(what)]),
            *(f"{world.pages[what]:,}" if what in world.pages else "-" for world in (smallest, largest)),
        )
        for what in smallest.costs
    ]
    columns = (
        "work",
        *(f"{world.rows:,} rows" for world in worlds),
        "largest / smallest",
        "pages, smallest",
        "pages, largest",
    )
    behind = smallest.past
    notes = (
        f"History over {behind.days} days; the last has {behind.last_day_rows:,} deliveries in each,",
        f"each of the {behind.light_days} oldest {behind.light_rows:,}, and quarantine as many events.",
        "Bodies of the past hold two bytes; four deliveries are of one object, one in fifty is refused, one",
        "in ten is a purchase; the customer and the purchase that are explained have as much behind them.",
        "Medians of the rounds; the ratio is the median of the rounds' own ratios. Pages are those that the",
        "server looks at for one ask, in memory or not: no other work on the machine disturbs them.",
    )
    return Result(
        "growth",
        ratios,
        {f"{world.rows}": {**per_round(world.costs), "pages": world.pages} for world in worlds},
        [Table("growth: the same work over more history", columns, rows, notes)],
    )
