"""Rings the workers: the only module that knows how arq enqueues. A ring carries no work and may be lost at
any time.

At most one job per interval and process, cut off after a quarter of a second, failures counted and forgotten.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LineLostError
from redis.exceptions import RedisError

from runtime import clock, limits

QUEUE_NAME = "sluice:doorbell"
JOB_NAME = "drain"
"""One stable name for ever: a worker of another version must know it."""

_EXPIRES_MS = 60_000
"""A ring that no worker has heard by then is worth nothing: sweeps have done its work."""
_ENQUEUE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
    redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
    return 1
end
return 0
"""
"""What arq's `enqueue_job` does, in its own format: a job under its id, unless that id is taken, and its
place in the queue. That call takes four round trips; fifty a second were a tenth of the receiver's work.
"""


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
        # A line of its own: the client's pool, retries and deadlines above it were most of a ring's cost.
        lines = ConnectionPool.from_url(redis_url, socket_connect_timeout=limits.doorbell_cut_off_s)
        line = lines.make_connection()  # type: ignore[no-untyped-call]  # redis ships no types for this one
        self._line: AbstractConnection = line
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
        job_id = f"{JOB_NAME}:{self._slot}"
        now_ms = int(clock.now().timestamp() * 1_000)
        job = serialize_job(JOB_NAME, (), {}, None, now_ms, serializer=encode)
        try:
            async with asyncio.timeout(limits.doorbell_cut_off_s):
                queued = await self._enqueue(job_id, job, now_ms)
        except (RedisError, OSError, TimeoutError):
            self.counts["failed"] += 1
            return
        self.counts["rung" if queued else "slot_taken"] += 1
        if queued:
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

    async def _enqueue(self, job_id: str, job: bytes, now_ms: int) -> bool:
        arguments = (job_key_prefix + job_id, QUEUE_NAME, job, _EXPIRES_MS, now_ms, job_id)
        was_connected = self._line.is_connected
        try:
            return bool(await self._ask("EVAL", _ENQUEUE, 2, *arguments))
        except LineLostError:
            if not was_connected:
                raise
            return bool(await self._ask("EVAL", _ENQUEUE, 2, *arguments))  # the server was started anew

    async def _ask(self, *command: str | bytes | int) -> object:
        await self._line.send_packed_command(self._line.pack_command(*command))
        return await self._line.read_response()

    async def close(self) -> None:
        """Let the ring that is under way come to its end, which is bounded, then close the connection."""
        self._closing = True
        if self._task is not None:
            self._rung.set()
            await self._task
        await self._line.disconnect()
