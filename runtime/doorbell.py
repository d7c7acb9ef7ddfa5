"""Rings the workers: the only module that knows how arq enqueues. A ring carries no work and may be lost at
any time.

At most one job per interval and process, cut off after a quarter of a second, failures counted and forgotten.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from runtime import limits

QUEUE_NAME = "sluice:doorbell"
JOB_NAME = "drain"
"""One stable name for ever: a worker of another version must know it."""


def encode(job: dict[str, Any]) -> bytes:
    """Jobs as JSON: nothing in Redis can run code. What JSON cannot hold (an exception) becomes its type's
    name.
    """
    return json.dumps(job, default=lambda value: type(value).__name__).encode()


def decode(data: bytes) -> dict[str, Any]:
    """The inverse of `encode`; arq gets plain dicts, lists and numbers."""
    job: dict[str, Any] = json.loads(data)
    return job


class Doorbell:
    """Call `ring()` after a commit, from any coroutine, as often as you like; it never blocks and never
    raises.
    """

    def __init__(self, redis_url: str) -> None:
        pool = ConnectionPool.from_url(
            redis_url,
            max_connections=4,
            socket_timeout=limits.doorbell_cut_off_s,
            socket_connect_timeout=limits.doorbell_cut_off_s,
        )
        self._redis = ArqRedis(
            pool, job_serializer=encode, job_deserializer=decode, default_queue_name=QUEUE_NAME
        )
        self._pool = pool
        self._rung = asyncio.Event()
        self._slot = 0
        self._slots_taken = 0
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.counts: Counter[str] = Counter()

    def ring(self) -> None:
        """There is work in the inbox."""
        if self._task is None:
            self._task = asyncio.create_task(self._ring_on())
        self._rung.set()

    async def _ring_on(self) -> None:
        while not self._closing:
            await self._rung.wait()
            self._rung.clear()
            if self._closing:
                return
            await self._ring_once()
            await asyncio.sleep(limits.doorbell_interval_s)

    async def _ring_once(self) -> None:
        self._slot = (self._slot + 1) % limits.doorbell_slots
        try:
            async with asyncio.timeout(limits.doorbell_cut_off_s):
                job = await self._redis.enqueue_job(
                    JOB_NAME, _job_id=f"{JOB_NAME}:{self._slot}", _queue_name=QUEUE_NAME, _expires=60
                )
        except (RedisError, OSError, TimeoutError):
            self.counts["failed"] += 1
            return
        self.counts["rung" if job is not None else "slot_taken"] += 1
        if job is not None:
            self._slots_taken = 0
            return
        # This slot's earlier ring is still waiting or running. Ring the next slot on the next turn, because a
        # job that runs already may have made its last look before our commit. When every slot is taken, some
        # ring is still waiting, and nothing is gained by more of them.
        self._slots_taken += 1
        if self._slots_taken < limits.doorbell_slots:
            self._rung.set()
        else:
            self._slots_taken = 0

    async def close(self) -> None:
        """Let the ring that is under way come to its end, which is bounded, then close the connections."""
        self._closing = True
        if self._task is not None:
            self._rung.set()
            await self._task
        await self._redis.aclose()
        await self._pool.aclose()
