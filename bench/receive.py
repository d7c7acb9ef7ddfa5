"""Bench `receive`: our receiver beside the limit, beside itself without the write, and beside the naive
one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from bench.figures import Result, Table, median, ratio, shown
from bench.load import Order
from bench.measured import Plan, Series, measure
from bench.rig import RIG, Rig, RigError, Running
from bench.targets.naive import NAIVE
from db import embedded

PATH = "/webhooks/stripe"
_RATE = 500.0
"""The fixed rate of the second half: what a large shop sees on a busy day."""
_PER_S_MAX = {"no-op": 60_000, "no write": 60_000, "naive": 8_000}
"""Requests that are made in advance per second of a round; nobody here is faster."""
_PER_S_MAX_OURS = 45_000
_TWO = "sluice, 2 processes"
_NOTE = (
    "Medians of the rounds; CPU in processors. A receiver of one process has a processor to itself, the "
    "servers and the load share the other. Ratios `…_by_cpu` compare answers per processor second of the "
    "receiver: they hold on a machine that others keep busy, where the plain ratios fall."
)


@dataclass(frozen=True, slots=True)
class _Target:
    series: Series
    at_rate: Series
    running: Running
    keeps: bool


async def run(rig: Rig, plan: Plan) -> Result:
    """Measure at saturation and at a fixed rate; ratios of contract section 9 and their figures."""
    dsn, naive_dsn = await rig.database(), await rig.empty_database()
    targets = await _start(rig, dsn, naive_dsn)
    try:
        for number in range(plan.rounds):
            for place, target in enumerate(targets):
                plan.show("receive, saturated", number * len(targets) + place, plan.rounds * len(targets))
                await rig.settle()
                order = _order(target, plan, 0.0)
                await measure(rig, target.series, [target.running.pid], order, target.series.name != _TWO)
        paced = [target for target in targets if target.series.name != _TWO]
        for number in range(plan.rounds):
            for place, target in enumerate(paced):
                plan.show(f"receive, {_RATE:.0f}/s", number * len(paced) + place, plan.rounds * len(paced))
                await rig.settle()
                await measure(rig, target.at_rate, [target.running.pid], _order(target, plan, _RATE))
        plan.show("receive", 1, 1)
        await _require_all_kept(rig, dsn, naive_dsn, targets)
    finally:
        for target in targets:
            await rig.end(target.running)
    return _result(targets)


def _order(target: _Target, plan: Plan, rate: float) -> Order:
    seconds, warm_s = plan.seconds(2.0 if not rate else 3.0), plan.seconds(0.4, 0.2)
    per_s = rate or _PER_S_MAX.get(target.series.name, _PER_S_MAX_OURS)
    return Order(
        port=target.running.port,
        path=PATH,
        run=secrets.token_hex(4),
        first=secrets.randbelow(90_000_000),
        seconds=seconds,
        warm_s=warm_s,
        rate=rate,
        requests_max=int(per_s * (seconds + warm_s)) + 1 if target.keeps else 2_000,
        again=not target.keeps,
    )


async def _start(rig: Rig, dsn: str, naive_dsn: str) -> list[_Target]:
    async with rig.connected(naive_dsn) as connection:
        await connection.execute(NAIVE.make_tables)
    naive = {"DATABASE_URL": naive_dsn, "REDIS_URL": rig.redis_url(1)}
    ports = [embedded.free_port() for _ in range(3)]
    started = {
        "no-op": await rig.start_listening("noop", "-m", "bench.targets.noop", str(ports[0]), port=ports[0]),
        "no write": await rig.start_listening(
            "no-write",
            "-m",
            "bench.targets.no_write",
            str(ports[1]),
            environment=rig.environment(dsn),
            port=ports[1],
        ),
        "sluice": await rig.start_receiver(dsn),
        "naive": await rig.start_listening(
            "naive", "-m", "bench.targets.naive", "receive", str(ports[2]), environment=naive, port=ports[2]
        ),
        _TWO: await rig.start_receiver(dsn, processes=2),
    }
    return [
        _Target(Series(name), Series(name), running, keeps=name not in ("no-op", "no write"))
        for name, running in started.items()
    ]


async def _require_all_kept(rig: Rig, dsn: str, naive_dsn: str, targets: list[_Target]) -> None:
    """A figure whose acknowledged deliveries are not all in the log is worth nothing."""
    for where, query, names in (
        (dsn, RIG.count_deliveries, ("sluice", _TWO)),
        (naive_dsn, NAIVE.count_events, ("naive",)),
    ):
        acknowledged = sum(
            target.series.acknowledged + target.at_rate.acknowledged
            for target in targets
            if target.series.name in names
        )
        async with rig.connected(where) as connection:
            kept = int(await connection.fetchval(query))
        if kept < acknowledged:
            raise RigError(f"{names[0]}: {acknowledged} acknowledged, {kept} kept")


def _result(targets: list[_Target]) -> Result:
    by_name = {target.series.name: target for target in targets}
    full = {name: target.series for name, target in by_name.items()}
    paced = {name: target.at_rate for name, target in by_name.items() if target.at_rate.outcomes}
    ours = full["sluice"].per_s
    ratios = {
        "of_noop": ratio(ours, full["no-op"].per_s),
        "of_no_write": ratio(ours, full["no write"].per_s),
        "no_write_of_noop": ratio(full["no write"].per_s, full["no-op"].per_s),
        "of_noop_by_cpu": ratio(full["sluice"].per_cpu_s, full["no-op"].per_cpu_s),
        "of_no_write_by_cpu": ratio(full["sluice"].per_cpu_s, full["no write"].per_cpu_s),
        "over_naive_by_cpu": ratio(full["sluice"].per_cpu_s, full["naive"].per_cpu_s),
        "over_naive": ratio(ours, full["naive"].per_s),
        "two_processes_over_one": ratio(full[_TWO].per_s, ours),
        "p50_of_noop_at_500": ratio(paced["sluice"].p50_ms, paced["no-op"].p50_ms),
        "p99_of_naive_at_500": ratio(paced["sluice"].p99_ms, paced["naive"].p99_ms),
    }
    return Result(
        name="receive",
        ratios=dict(ratios),
        figures={
            "saturated": {name: series.json() for name, series in full.items()},
            "at_500_per_s": {name: series.json() for name, series in paced.items()},
        },
        tables=[
            _table("receive, saturated, 64 connections, 3 KB signed events", full, full["no-op"]),
            _table(f"receive, {_RATE:.0f} requests a second", paced, None),
        ],
    )


def _table(title: str, rows: dict[str, Series], limit: Series | None) -> Table:
    return Table(
        title,
        (
            "receiver",
            "ack/s",
            "of no-op",
            "p50 ms",
            "p99 ms",
            "CPU receiver",
            "CPU Postgres",
            "CPU load",
            "machine",
        ),
        [
            (
                name,
                shown(median(series.per_s), 0),
                "-" if limit is None else shown(ratio(series.per_s, limit.per_s)),
                shown(median(series.p50_ms)),
                shown(median(series.p99_ms)),
                shown(median(series.receiver_share)),
                shown(median(series.postgres_share)),
                shown(series.load_share),
                shown(median(series.machine_share)),
            )
            for name, series in rows.items()
        ],
        (_NOTE,),
    )
