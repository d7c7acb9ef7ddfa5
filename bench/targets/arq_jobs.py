"""What arq itself can do: jobs that do nothing, and one of our events per job. Yardsticks, never used.

`python -m bench.targets.arq_jobs noop|event COUNT` enqueues, works the queue empty in one process, and
prints the seconds that the work took.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import uvloop
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Function, Worker, func

from bench.targets.enqueue import enqueue
from db import events, pool
from db.pool import type_pool
from runtime import limits
from workers import apply
from workers.drain import Drainer

_QUEUE = "jobs"
_JOBS_AT_ONCE = 10
"""arq's default; a no-op is no faster with more, and an event per job has a connection each."""


async def _noop(ctx: dict[Any, Any], _number: int) -> None:
    return


async def _event(ctx: dict[Any, Any], _number: int) -> None:
    """One job, one event, one transaction: the same rules and the same writes as a batch has."""
    connections: type_pool = ctx["connections"]
    async with connections.acquire() as connection:
        claimed = await events.claim_due(connection, 1, limits.claim_lease_s, limits.attempts_max)
        if claimed:
            await apply.apply_batch(connection, claimed, {})


def _worker(job: Function, redis: ArqRedis, connections: type_pool | None) -> Worker:
    return Worker(
        [job],
        redis_pool=redis,
        queue_name=_QUEUE,
        burst=True,
        poll_delay=0.01,
        keep_result=0,
        max_jobs=_JOBS_AT_ONCE,
        log_results=False,
        handle_signals=False,
        ctx={"connections": connections},
    )


async def _run(what: str, count: int) -> float:
    redis = await create_pool(RedisSettings.from_dsn(os.environ["REDIS_URL"]))
    await redis.flushdb()
    await enqueue(redis, _QUEUE, what, count)
    connections = None
    if what == "event":
        connections = await pool.create_pool(
            os.environ["DATABASE_URL"], "sluice_worker", "bench", size_max=_JOBS_AT_ONCE
        )
    jobs = {"noop": func(_noop, name="noop"), "event": func(_event, name="event")}
    worker = _worker(jobs[what], redis, connections)
    began = time.monotonic()
    await worker.async_run()
    seconds = time.monotonic() - began
    if worker.jobs_complete != count:
        raise RuntimeError(f"{worker.jobs_complete} of {count} jobs were done, {worker.jobs_failed} failed")
    await worker.close()
    if connections is not None:
        await Drainer(connections, {}).run_once()  # what was parked because its job ran before its parent's
    return seconds


def main() -> None:
    """Print the seconds as JSON."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds = runner.run(_run(sys.argv[1], int(sys.argv[2])))
    sys.stdout.write(f"{seconds}\n")


if __name__ == "__main__":
    main()
