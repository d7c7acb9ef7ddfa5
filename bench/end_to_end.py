"""Bench `end_to_end`: from a PSP's sending to the committed effect, through receiver, Postgres, doorbell
and worker, beside the naive pipeline with the same events.

A delivery carries the time at which it was due in `X-Request-Id`, and Postgres tells when the transaction
that marked its event was committed (`track_commit_timestamp`), so nothing is polled and nothing is guessed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import inbox, machine
from bench.figures import Result, Table, median, percentile, ratio, shown
from bench.load import Order, Outcome
from bench.measured import Plan
from bench.receive import PATH
from bench.rig import RIG, Rig, Running, send
from bench.targets.naive import NAIVE
from db import embedded
from db.pool import type_connection

_RATE = 500.0
_ARQ_POLL_MS = 500.0
"""arq's own poll interval, unless one sets another: what most pipelines wait for on average half of."""
_NAIVE_S_MAX = 120.0
settings = {"track_commit_timestamp": "on"}
"""What this bench asks of the scratch Postgres besides durability; the same for all that is compared."""


@dataclass
class _Pipeline:
    """One pipeline and what was seen of it, by round."""

    name: str
    dsn: str
    port: int
    processes: dict[str, Sequence[int]]
    pending: str
    latencies: str
    lag_p50_ms: list[float] = field(default_factory=list)
    lag_p99_ms: list[float] = field(default_factory=list)
    full_p50_ms: list[float] = field(default_factory=list)
    full_p99_ms: list[float] = field(default_factory=list)
    sustained_per_s: list[float] = field(default_factory=list)
    cpu_s: dict[str, list[float]] = field(default_factory=dict)

    def spent(self) -> dict[str, float]:
        """Processor seconds of each process so far."""
        return {name: machine.cpu_s(pids) for name, pids in self.processes.items()}


async def run(rig: Rig, plan: Plan) -> Result:
    """Measure both pipelines in turn at a fixed rate, then at saturation until nothing is left to do."""
    dsn, naive_dsn = await rig.database(), await rig.empty_database()
    async with rig.connected(naive_dsn) as connection:
        await connection.execute(NAIVE.make_tables)
    ours, started = await _start_ours(rig, dsn)
    naive, naive_started = await _start_naive(rig, naive_dsn)
    started += naive_started
    idle_share = await _idle_share(started[1], plan)
    for number in range(plan.rounds):
        for place, pipeline in enumerate((ours, naive)):
            plan.show("end to end", number * 4 + place * 2, plan.rounds * 4)
            await _at_rate(rig, pipeline, plan)
            plan.show("end to end", number * 4 + place * 2 + 1, plan.rounds * 4)
            await _saturated(rig, pipeline, plan)
            await rig.checkpoint()
    plan.show("end to end", 1, 1)
    async with rig.connected(dsn) as connection:
        ended = await inbox.require_applied(connection, 0.99)
    for running in started:
        await rig.end(running)
    return _result(ours, naive, idle_share, ended)


async def _start_ours(rig: Rig, dsn: str) -> tuple[_Pipeline, list[Running]]:
    receiver, worker = await rig.start_receiver(dsn), await rig.start_worker(dsn)
    processes = {"receiver": [receiver.pid], "worker": [worker.pid]} | _servers(rig)
    pipeline = _Pipeline("sluice", dsn, receiver.port, processes, RIG.is_pending, RIG.latencies)
    return pipeline, [receiver, worker]


async def _start_naive(rig: Rig, dsn: str) -> tuple[_Pipeline, list[Running]]:
    environment = {"DATABASE_URL": dsn, "REDIS_URL": rig.redis_url(1)}
    port = embedded.free_port()
    receiver = await rig.start_listening(
        "naive", "-m", "bench.targets.naive", "receive", str(port), environment=environment, port=port
    )
    worker = rig.start("naive-worker", "-m", "bench.targets.naive", "work", environment=environment)
    processes = {"receiver": [receiver.pid], "worker": [worker.pid]} | _servers(rig)
    return _Pipeline("naive", dsn, port, processes, NAIVE.is_pending, NAIVE.latencies), [receiver, worker]


def _servers(rig: Rig) -> dict[str, Sequence[int]]:
    return {"postgres": [rig.postgres_pid], "valkey": [rig.valkey_pid]}


async def _idle_share(worker: Running, plan: Plan) -> float:
    """What our worker takes of a processor while there is nothing to do."""
    seconds = plan.seconds(5.0, 1.0)
    await asyncio.sleep(plan.seconds(1.0))
    before = machine.cpu_s([worker.pid])
    await asyncio.sleep(seconds)
    return (machine.cpu_s([worker.pid]) - before) / seconds


async def _at_rate(rig: Rig, pipeline: _Pipeline, plan: Plan) -> None:
    """A fixed rate: latency from when a delivery was due, and the price of it."""
    before = pipeline.spent()
    outcome, lags, _ = await _send_and_wait(rig, pipeline, plan.seconds(4.0, 0.8), _RATE, 4_000)
    pipeline.lag_p50_ms.append(percentile(lags, 0.5))
    pipeline.lag_p99_ms.append(percentile(lags, 0.99))
    for name, spent in pipeline.spent().items():
        per_1000 = (spent - before[name]) / max(1, outcome.acknowledged) * 1_000
        pipeline.cpu_s.setdefault(name, []).append(per_1000)


async def _saturated(rig: Rig, pipeline: _Pipeline, plan: Plan) -> None:
    """As fast as it answers: what the whole machine sustains counts until the last event has its effect."""
    _, lags, per_s = await _send_and_wait(rig, pipeline, plan.seconds(3.0), 0.0, plan.count(60_000, 6_000))
    pipeline.full_p50_ms.append(percentile(lags, 0.5))
    pipeline.full_p99_ms.append(percentile(lags, 0.99))
    pipeline.sustained_per_s.append(per_s)


async def _send_and_wait(
    rig: Rig, pipeline: _Pipeline, seconds: float, rate: float, requests_max: int
) -> tuple[Outcome, list[float], float]:
    """The sender's outcome, all latencies in ms, ascending, and events that had their effect per second."""
    run = secrets.token_hex(4)
    warm_s = 0.2
    order = Order(
        port=pipeline.port,
        path=PATH,
        run=run,
        first=secrets.randbelow(90_000_000),
        seconds=seconds,
        warm_s=warm_s,
        rate=rate,
        requests_max=requests_max,
        stamp=True,
    )
    outcome = await send(order)
    over = time.monotonic()
    async with rig.connected(pipeline.dsn) as connection:
        await _done(connection, pipeline.pending)
        took_s = warm_s + outcome.seconds + (time.monotonic() - over)
        rows = await connection.fetch(pipeline.latencies, f"evt_1Bench{run}%")
    return outcome, sorted(row["ms"] for row in rows), outcome.acknowledged / took_s


async def _done(connection: type_connection, pending: str) -> None:
    deadline = time.monotonic() + _NAIVE_S_MAX
    while await connection.fetchval(pending) and time.monotonic() < deadline:  # noqa: ASYNC110 - a database
        await asyncio.sleep(0.02)


def _result(ours: _Pipeline, naive: _Pipeline, idle_share: float, ended: dict[str, int]) -> Result:
    ratios = {
        "p99_of_arq_poll": round(median(ours.lag_p99_ms) / _ARQ_POLL_MS, 3),
        "sustained_over_naive": ratio(ours.sustained_per_s, naive.sustained_per_s),
        "worker_idle_cpu": round(idle_share, 3),
    }
    figures = {
        pipeline.name: {
            "at_500_p50_ms": [round(value, 2) for value in pipeline.lag_p50_ms],
            "at_500_p99_ms": [round(value, 2) for value in pipeline.lag_p99_ms],
            "saturated_p50_ms": [round(value, 2) for value in pipeline.full_p50_ms],
            "saturated_p99_ms": [round(value, 2) for value in pipeline.full_p99_ms],
            "sustained_per_s": [round(value, 1) for value in pipeline.sustained_per_s],
            "cpu_s_per_1000": {name: round(median(values), 4) for name, values in pipeline.cpu_s.items()},
        }
        for pipeline in (ours, naive)
    }
    rows = [
        (
            pipeline.name,
            shown(median(pipeline.lag_p50_ms)),
            shown(median(pipeline.lag_p99_ms)),
            shown(median(pipeline.full_p50_ms)),
            shown(median(pipeline.full_p99_ms)),
            shown(median(pipeline.sustained_per_s), 0),
            " + ".join(f"{median(values):.2f}" for values in pipeline.cpu_s.values()),
        )
        for pipeline in (ours, naive)
    ]
    columns = (
        "pipeline",
        "p50 ms at 500/s",
        "p99 ms at 500/s",
        "p50 ms full",
        "p99 ms full",
        "sustained/s",
        "CPU s per 1,000: receiver + worker + Postgres + Valkey",
    )
    notes = (
        "From when the sender was due to send, to the commit of the effect.",
        f"Our worker takes {idle_share:.1%} of a processor when idle.",
    )
    table = Table("end to end: top-ups of 3 KB", columns, rows, notes)
    return Result("end_to_end", dict(ratios), {**figures, "ended": ended}, [table])
