"""Puts many jobs into arq's queue at once, in arq's own format: its `enqueue_job` takes three round trips
each, and filling a queue is not what is measured.
"""

from __future__ import annotations

import secrets

from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import serialize_job

from runtime import clock

_PIPELINE_JOBS = 500
_EXPIRES_MS = 3_600_000


async def enqueue(redis: ArqRedis, queue: str, name: str, count: int) -> None:
    """`count` jobs of function `name` with their number as argument, all due now."""
    at_ms = int(clock.now().timestamp() * 1_000)
    for first in range(0, count, _PIPELINE_JOBS):
        async with redis.pipeline(transaction=False) as pipeline:
            for number in range(first, min(count, first + _PIPELINE_JOBS)):
                job_id = secrets.token_hex(16)
                job = serialize_job(name, (number,), {}, None, at_ms)
                pipeline.psetex(job_key_prefix + job_id, _EXPIRES_MS, job)
                pipeline.zadd(queue, {job_id: at_ms})
            await pipeline.execute()
