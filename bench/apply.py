"""Bench `apply`: one worker process empties a full inbox, beside arq's own limit and one job per event."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from bench import bodies, inbox, machine
from bench.figures import Result, Table, median, per_round, ratio, shown
from bench.measured import Plan
from bench.rig import RIG, Rig, Running
from db.pool import type_connection

_WARM_EVENTS = 500
_NEVER = "24h"
"""Sweep interval of the worker that is measured: only the doorbell wakes it, so that the clock starts with
it.
"""


@dataclass
class _Rates:
    """Events (or jobs) per second by round, and what our worker and Postgres spent per 1,000 events."""

    per_s: dict[str, list[float]] = field(default_factory=dict)
    worker_cpu_s: list[float] = field(default_factory=list)
    postgres_cpu_s: list[float] = field(default_factory=list)

    def add(self, name: str, count: int, seconds: float) -> None:
        self.per_s.setdefault(name, []).append(count / seconds)


async def run(rig: Rig, plan: Plan) -> Result:
    """Measure in turn; ratios of contract section 9 and their figures."""
    dsn = await rig.database()
    dsn_single = await rig.database()
    rates = _Rates()
    worker = await rig.start_worker(dsn, sweep_interval=_NEVER)
    events, jobs = plan.count(30_000, 600), plan.count(5_000, 300)
    singles = plan.count(1_500, 60)
    steps = 4
    async with rig.connected(dsn) as connection, rig.connected(dsn_single) as single:
        await _apply(rig, connection, worker, _WARM_EVENTS)
        for number in range(plan.rounds):
            plan.show("apply", number * steps, plan.rounds * steps)
            await _measure(rig, connection, worker, events, rates)
            plan.show("apply", number * steps + 1, plan.rounds * steps)
            environment = rig.environment(dsn_single) | {"REDIS_URL": rig.redis_url(2)}
            out = await rig.run_program(
                "arq", "-m", "bench.targets.arq_jobs", "noop", str(jobs), environment=environment
            )
            rates.add("arq no-op", jobs, inbox.seconds_in(out))
            plan.show("apply", number * steps + 2, plan.rounds * steps)
            await inbox.fill(
                single, bodies.mixed(secrets.token_hex(4), secrets.randbelow(9_000_000) * 10, singles)
            )
            out = await rig.run_program(
                "one job per event",
                "-m",
                "bench.targets.arq_jobs",
                "event",
                str(singles),
                environment=environment,
            )
            rates.add("one job per event", singles, inbox.seconds_in(out))
            await inbox.emptied(single, 60)
            plan.show("apply", number * steps + 3, plan.rounds * steps)
            await _with_poison(rig, connection, worker, rates, plan)
        plan.show("apply", 1, 1)
        ended = await inbox.require_applied(connection, 0.9)
        # Its jobs overtake each other, and it has no sweep for what parked because of that.
        await inbox.require_applied(single, 0.5)
    await rig.end(worker)
    return _result(rates, ended)


async def _apply(rig: Rig, connection: type_connection, worker: Running, events: int) -> float:
    await inbox.fill(
        connection, bodies.mixed(secrets.token_hex(4), secrets.randbelow(9_000_000) * 10, events)
    )
    await connection.execute(RIG.settle)
    await rig.checkpoint()
    return await inbox.ring_and_wait(rig, connection)


async def _measure(
    rig: Rig, connection: type_connection, worker: Running, events: int, rates: _Rates
) -> None:
    await inbox.fill(
        connection, bodies.mixed(secrets.token_hex(4), secrets.randbelow(9_000_000) * 10, events)
    )
    await connection.execute(RIG.settle)
    await rig.checkpoint()
    before = machine.cpu_s([worker.pid]), machine.cpu_s([rig.postgres_pid])
    seconds = await inbox.ring_and_wait(rig, connection)
    rates.worker_cpu_s.append((machine.cpu_s([worker.pid]) - before[0]) / events * 1_000)
    rates.postgres_cpu_s.append((machine.cpu_s([rig.postgres_pid]) - before[1]) / events * 1_000)
    rates.add("sluice", events, seconds)


async def _with_poison(
    rig: Rig, connection: type_connection, worker: Running, rates: _Rates, plan: Plan
) -> None:
    """Clean batches against batches of which each holds one event that no rule can read."""
    events = plan.count(5_000, 300)
    for name, poisonous in (("clean batches", False), ("one poison event per batch", True)):
        made = bodies.mixed(secrets.token_hex(4), secrets.randbelow(9_000_000) * 10, events)
        if poisonous:
            for place in range(0, events, 500):
                made[place] = made[place].replace(b'"credits": "250"', b'"credits": "250x"')
        await inbox.fill(connection, made)
        rates.add(name, events, await inbox.ring_and_wait(rig, connection))


def _result(rates: _Rates, ended: dict[str, int]) -> Result:
    per_s = rates.per_s
    ratios = {
        "over_arq_noop": ratio(per_s["sluice"], per_s["arq no-op"]),
        "over_job_per_event": ratio(per_s["sluice"], per_s["one job per event"]),
        "poison_cost": ratio(per_s["clean batches"], per_s["one poison event per batch"]),
    }
    noop = per_s["arq no-op"]
    note = (
        "Of five events three are top-ups, one is a refund, one is of a subscription. "
        f"CPU seconds per 1,000 events: worker {median(rates.worker_cpu_s):.3f}, "
        f"Postgres {median(rates.postgres_cpu_s):.3f}."
    )
    return Result(
        name="apply",
        ratios=dict(ratios),
        figures={
            "per_s": per_round(per_s),
            "cpu_s_per_1000": {
                "worker": round(median(rates.worker_cpu_s), 4),
                "postgres": round(median(rates.postgres_cpu_s), 4),
            },
            "ended": ended,
        },
        tables=[
            Table(
                "apply: one worker process empties a full inbox",
                ("what", "events/s", "of arq no-op"),
                [
                    (name, shown(median(values), 0), shown(ratio(values, noop)))
                    for name, values in per_s.items()
                ],
                (note,),
            )
        ],
    )
