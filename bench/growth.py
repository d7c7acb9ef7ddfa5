"""Bench `growth`: what the same work costs over ten thousand, one million and ten million deliveries of
the past.

Every size has a database of its own, filled first and then measured in turn. The last day holds the same
number of
deliveries in each, because a question about a day costs what the day holds; what grows is the history
behind it.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from bench import bodies, inbox
from bench.figures import Result, Table, median, per_round, shown
from bench.measured import Plan
from bench.rig import RIG, Rig
from db import events, explain, operations, pool, reads, status
from db.log_ids import span_of_time
from db.pool import type_connection
from db.queries import Queries
from runtime import clock, limits
from workers.drain import Drainer

GROWTH = Queries(str(Path(__file__).parent / "sql" / "growth.sql"))
SIZES = (10_000, 1_000_000, 10_000_000)
_SIZES_SMOKE = (1_000, 2_000)
_DAYS = 60
"""Over so many past days the history is spread."""
_LAST_DAY_ROWS = 5_000
_PURCHASES_PER_ACCOUNT = 20
_REPEATS = 10
"""Audit queries take a fraction of a millisecond; one measurement is the mean of so many."""


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
        await _fill(rig, world, plan)
        worlds.append(world)
    await rig.checkpoint()
    for number in range(plan.rounds):
        for place, world in enumerate(worlds):
            plan.show("growth", number * len(worlds) + place, plan.rounds * len(worlds))
            await _measure(rig, world, number, plan)
    plan.show("growth", 1, 1)
    return _result(worlds)


async def _fill(rig: Rig, world: _World, plan: Plan) -> None:
    """The history, day by day, then yesterday with the same rows in every world."""
    per_day = max(1, (world.rows - min(world.rows // 2, _LAST_DAY_ROWS)) // world.days)
    last_day = min(_SIZES_SMOKE[0] // 2 if plan.smoke else _LAST_DAY_ROWS, world.rows)
    accounts = max(10, world.rows // 10 // _PURCHASES_PER_ACCOUNT)
    async with rig.connected(world.dsn) as connection:
        await connection.execute(GROWTH.fill_accounts, accounts, timeout=600)
        for ago in range(world.days + 1, 0, -1):
            plan.show(f"fill {world.rows:,}", world.days + 1 - ago, world.days + 1)
            day = world.midnight - timedelta(days=ago)
            rows = last_day if ago == 1 else per_day
            await connection.execute(
                GROWTH.make_day.format(
                    name=f"{day:%Y%m%d}",
                    day=f"{day:%Y-%m-%d}",
                    next_day=f"{day + timedelta(days=1):%Y-%m-%d}",
                )
            )
            await connection.execute(GROWTH.fill_day, rows, day, timeout=600)
            await connection.execute(GROWTH.fill_purchases, max(1, rows // 10), day, accounts, timeout=600)
        await connection.execute(RIG.settle, timeout=600)


async def _measure(rig: Rig, world: _World, number: int, plan: Plan) -> None:
    async with rig.connected(world.dsn) as connection:
        await _receive(connection, world, plan.count(2_000, 400))
        await _ask(connection, world)
        await _retain(connection, world, number)
    await _apply(rig, world, plan.count(1_500, 200))


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
    connections = await pool.create_pool(world.dsn, "sluice_worker", "sluice-bench", size_max=1)
    try:
        began = time.monotonic()
        counts = await Drainer(connections, {}).run_once()
        world.add("apply, µs an event", (time.monotonic() - began) / sum(counts.values()) * 1e6)
    finally:
        await connections.close()


async def _ask(connection: type_connection, world: _World) -> None:
    since = world.midnight - timedelta(days=1)
    delivery = await connection.fetchrow(GROWTH.a_delivery, since)
    purchase = await connection.fetchrow(GROWTH.a_purchase)
    assert delivery is not None and purchase is not None  # noqa: PT018 - both are the fill's promise
    everything = span_of_time(None, None, None)
    narrowed = reads.DeliveryFilter

    def listed(wanted: reads.DeliveryFilter) -> Callable[[], Awaitable[object]]:
        return lambda: reads.list_deliveries(connection, wanted, everything, 50)

    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "latest 50, ms": listed(narrowed()),
        "latest 50 of a type, ms": listed(narrowed(event_type="customer.updated")),
        "latest 50 refused, ms": listed(narrowed(verdict="bad_sig")),
        "by event id, ms": listed(narrowed(event_id=delivery["event_id"])),
        "by object id, ms": listed(narrowed(object_id=delivery["object_id"])),
        "one delivery's story, ms": lambda: reads.read_story(connection, delivery["id"]),
        "explain a purchase, ms": lambda: explain.read_object(
            connection, "checkout_session", purchase["id"], None
        ),
        "explain an account, ms": lambda: explain.read_account(connection, purchase["account_id"]),
        "status, ms": lambda: status.read_status(connection),
        "counts of a day, ms": lambda: reads.count_deliveries(connection, since, world.midnight, 3_600.0),
    }
    for what, ask in questions.items():
        await ask()
        began = time.monotonic()
        for _ in range(_REPEATS):
            await ask()
        world.add(what, (time.monotonic() - began) / _REPEATS * 1e3)


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
        _key(what): round(median(largest.costs[what]) / median(smallest.costs[what]), 3)
        for what in smallest.costs
    }
    rows = [
        (what, *(shown(median(world.costs[what])) for world in worlds), shown(ratios[_key(what)]))
        for what in smallest.costs
    ]
    columns = ("work", *(f"{world.rows:,} rows" for world in worlds), "largest / smallest")
    notes = (f"History over {smallest.days} days; the last day holds the same in each.",)
    return Result(
        "growth",
        ratios,
        {f"{world.rows}": per_round(world.costs) for world in worlds},
        [Table("growth: the same work over more history", columns, rows, notes)],
    )
