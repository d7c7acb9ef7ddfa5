"""Fills a scratch database with the past: days of deliveries and purchases, as many as it is told. Measures
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bench.rig import RIG, Rig
from db.pool import type_connection
from db.queries import Queries

GROWTH = Queries(str(Path(__file__).parent / "sql" / "growth.sql"))

type_done = Callable[[int, int], None]
"""Told of days filled and days in all."""

_DAY = timedelta(days=1)

_PURCHASES_PER_ACCOUNT = 10
_AT_ONCE = 2
"""Connections that fill; the machine has two cores, and rows and indexes are processor time."""
_FILL_S_MAX = 900.0
"""One statement of a fill: the largest makes a key over ten million events."""


@dataclass(frozen=True, slots=True)
class Past:
    """How much is behind a database: `rows` deliveries over `days` days, of which the oldest `light_days`
    have `light_rows` each, and the day that ends at `midnight`, with `last_day_rows`.
    """

    rows: int
    days: int
    last_day_rows: int
    midnight: datetime
    light_days: int
    light_rows: int

    @property
    def day_rows(self) -> int:
        """Deliveries of each day but the lightest and the last."""
        full_days = self.days - self.light_days
        return max(1, (self.rows - self.last_day_rows - self.light_days * self.light_rows) // full_days)

    def rows_on(self, day: datetime) -> int:
        """Deliveries of the day that begins then."""
        if day + _DAY == self.midnight:
            return self.last_day_rows
        light = day < self.first_day + self.light_days * _DAY
        return self.light_rows if light else self.day_rows

    @property
    def first_day(self) -> datetime:
        """When the past begins."""
        return self.midnight - (self.days + 1) * _DAY

    @property
    def accounts(self) -> int:
        """Customers; each has bought some ten times."""
        return max(1, (self.rows - self.last_day_rows) // 10 // _PURCHASES_PER_ACCOUNT)


type_work = Callable[[type_connection, Past, datetime], Awaitable[None]]


async def fill(rig: Rig, dsn: str, past: Past, done: type_done) -> None:
    """Load each day by itself, then make it a partition; the inbox's key and the balances come at the end."""
    days = [past.first_day + number * _DAY for number in range(past.days + 1)]
    async with rig.connected(dsn) as connection:
        await connection.execute(GROWTH.fill_accounts, past.accounts, timeout=_FILL_S_MAX)
        await connection.execute(GROWTH.drop_event_key)
    await _each(rig, dsn, days, past, _fill_day, done)
    async with rig.connected(dsn) as connection:
        await connection.execute(GROWTH.hurry)
        await connection.execute(GROWTH.make_event_key, timeout=_FILL_S_MAX)
        await connection.execute(GROWTH.fill_balances, timeout=_FILL_S_MAX)
        await connection.execute(GROWTH.fill_waiting, past.midnight - _DAY)
        await connection.execute(GROWTH.fill_runs, past.days, past.rows, past.midnight)
        await connection.execute(RIG.settle, timeout=_FILL_S_MAX)
    await _each(rig, dsn, days, past, _count_day, done)
    async with rig.connected(dsn) as connection:
        await connection.execute(GROWTH.days_are_counted, past.midnight)
        await connection.execute(GROWTH.settle_counts, timeout=_FILL_S_MAX)


async def _each(
    rig: Rig, dsn: str, days: Sequence[datetime], past: Past, work: type_work, done: type_done
) -> None:
    left = list(days)

    async def next_days() -> None:
        async with rig.connected(dsn) as connection:
            await connection.execute(GROWTH.hurry)
            while left:
                done(len(days) - len(left), len(days))
                await work(connection, past, left.pop(0))

    async with asyncio.TaskGroup() as working:
        for _ in range(_AT_ONCE):
            working.create_task(next_days())


async def _count_day(connection: type_connection, past: Past, day: datetime) -> None:
    del past
    await connection.execute(GROWTH.count_day, day, day + _DAY, timeout=_FILL_S_MAX)


async def _fill_day(connection: type_connection, past: Past, day: datetime) -> None:
    names = {
        "name": f"{day:%Y%m%d}",
        "day": f"{day:%Y-%m-%d}",
        "next_day": f"{day + _DAY:%Y-%m-%d}",
    }
    rows = past.rows_on(day)
    await connection.execute(GROWTH.make_day.format(**names))
    await connection.execute(GROWTH.fill_day.format(**names), rows, day, timeout=_FILL_S_MAX)
    await connection.execute(GROWTH.attach_day.format(**names), timeout=_FILL_S_MAX)
    if day + _DAY != past.midnight:
        # Not on the last day, which is as large in each database: an account's story must be too.
        await connection.execute(GROWTH.fill_purchases, rows, day, past.accounts, timeout=_FILL_S_MAX)
