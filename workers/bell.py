"""Hears the doorbell: an arq worker whose one job wakes the drain loop. Rebuilt whenever Redis makes it fall
over.

A job carries nothing and its loss costs only the time until the next sweep.
"""

from __future__ import annotations

import asyncio
from typing import Any

from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import RedisError

from runtime import process, telemetry
from runtime.doorbell import JOB_NAME, QUEUE_NAME, decode, encode
from workers.drain import Drainer

_POLL_DELAY_S = 0.01
"""How often the queue is looked at: a ring is heard after 5 ms in the mean. Waking up costs about 130 µs and
asking another 120 (measured): together less than 3 % of a core when idle.
"""
_QUIET_LOOKS = 100
"""After so many looks in vain, a second, every other one is spared: a pipeline that is idle costs half as
much, and the first event after a silence waits 10 ms longer at most.
"""
_JOB_TIMEOUT_S = 15
"""A killed worker's job comes back after this plus 10 s."""
_SOCKET_TIMEOUT_S = 2.0
"""arq sets none, and a stopped Redis would hold the loop for ever."""
_CLOSE_S = 1.0
"""Closing is abandoned after this."""
_CANCEL_AGAIN_S = 0.1
_RESTART_FIRST_S = 0.2
_RESTART_MAX_S = 2.0


async def run(redis_url: str, drainer: Drainer, stop: asyncio.Event) -> None:
    """Listen until stopped; arq's worker dies of any trouble with Redis and is built again."""
    pause_s = _RESTART_FIRST_S
    while not stop.is_set():
        worker = _build(redis_url, drainer)
        listening = asyncio.create_task(worker.async_run())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({listening, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        while not listening.done():
            # Asked until it ends: a wait of redis-py that times out at this moment swallows the request.
            listening.cancel()
            await asyncio.wait({listening}, timeout=_CANCEL_AGAIN_S)
        outcome = (await asyncio.gather(listening, return_exceptions=True))[0]
        closing = asyncio.create_task(worker.close())
        await asyncio.wait({closing}, timeout=_CLOSE_S)  # a Redis that hangs must not hold up our end
        closing.cancel()
        if not stop.is_set():
            telemetry.logger().warning("doorbell_lost", error=type(outcome).__name__, retry_s=pause_s)
            await process.pause(stop, pause_s)
            pause_s = (
                min(pause_s * 2, _RESTART_MAX_S)
                if isinstance(outcome, RedisError | OSError)
                else _RESTART_FIRST_S
            )


class _Listener(Worker):
    """arq's worker that asks how many jobs there are before it asks for them: a look of arq's own costs more
    than twice as much, and nearly every look finds nothing.
    """

    def __init__(self, drainer: Drainer, connections: ConnectionPool, **settings: Any) -> None:
        super().__init__(**settings)
        self._drainer = drainer
        self._connections = connections
        self._connection: Connection | None = None
        self._question: list[bytes] = []
        self._in_vain = 0

    async def _poll_iteration(self) -> None:
        """Overrides arq's turn. While the drain runs there is nothing to wake: what rings meanwhile keeps."""
        if self.tasks or (not self._drainer.is_busy and await self._is_filled()):
            self._in_vain = 0
            await super()._poll_iteration()
            return
        await self.heart_beat()
        self._in_vain = 0 if self._drainer.is_busy else self._in_vain + 1
        if self._in_vain > _QUIET_LOOKS:
            await asyncio.sleep(_POLL_DELAY_S)

    async def _is_filled(self) -> bool:
        """Asked over a connection of its own, in a command that was packed once."""
        if self._connection is None:
            self._connection = await self._connections.get_connection()
            self._question = self._connection.pack_command("ZCARD", QUEUE_NAME)
        await self._connection.send_packed_command(self._question)
        return bool(await self._connection.read_response())


def _build(redis_url: str, drainer: Drainer) -> Worker:
    async def drain(ctx: dict[Any, Any], *_ids: Any, **_more: Any) -> None:
        drainer.wake.set()

    connections = ConnectionPool.from_url(
        redis_url, socket_timeout=_SOCKET_TIMEOUT_S, socket_connect_timeout=_SOCKET_TIMEOUT_S
    )
    return _Listener(
        drainer,
        connections,
        functions=[func(drain, name=JOB_NAME, timeout=_JOB_TIMEOUT_S, max_tries=1)],
        redis_pool=ArqRedis(
            connections, job_serializer=encode, job_deserializer=decode, default_queue_name=QUEUE_NAME
        ),
        queue_name=QUEUE_NAME,
        poll_delay=_POLL_DELAY_S,
        job_timeout=_JOB_TIMEOUT_S,
        keep_result=0,  # a kept result would refuse the same job id for an hour
        max_jobs=10,
        handle_signals=False,
        health_check_interval=5,
        log_results=False,
        job_serializer=encode,
        job_deserializer=decode,
    )
