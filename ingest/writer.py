"""Group commit: everything that waits is written by one statement and one commit. Never resolves a row as
committed before Postgres has said so.

A lone row waits for nobody; under load the batch grows by itself while the previous one is being committed.
When it is unknown whether a batch was committed (the line broke, the deadline passed), its rows count as not
committed: the PSP sends them again and the inbox knows them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from db import events
from db.events import Delivery
from db.pool import LOST_RACE, REFUSED, WORLD_IS_BUSY, type_connection
from runtime import limits, telemetry

_RECONNECT_FIRST_S = 0.05
_RECONNECT_MAX_S = 0.5
_EXPIRE_EVERY_S = 0.1


type_settle = Callable[[str | None], None]
"""Told what became of a row: None when it is committed, else why that is not known. Must not raise."""


class NotCommittedError(Exception):
    """The row is not known to be committed; the sender must be told to come again."""


class Connection(Protocol):
    """What the writer needs of a connection besides running SQL."""

    def is_closed(self) -> bool:
        """Whether it is known to be dead."""

    def terminate(self) -> None:
        """Drop it without waiting."""


class _Waiting(NamedTuple):
    delivery: Delivery
    settle: type_settle
    deadline: float


class GroupCommit:
    """`submit` a delivery and await the future: it resolves after the commit or raises NotCommittedError.

    `hand_in` is the same for those that would rather be called.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[type_connection]],
        on_batch: Callable[[list[Delivery], float], None],
        receivers: int = 1,
    ) -> None:
        """`connect` opens a checked connection; `on_batch` is called after each commit with its rows and
        seconds; `receivers` is how many processes commit beside each other.
        """
        self._connect = connect
        self._on_batch = on_batch
        # Flushes of the others run beside ours already: small ones of all would pay for many commits.
        self._second_min_rows = limits.flush_second_min_rows * receivers
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._queue_bytes = 0
        self._wake = [asyncio.Event() for _ in range(limits.flush_in_flight_max)]
        self._busy = 0
        self._tasks = [
            asyncio.create_task(self._flush_on(number)) for number in range(limits.flush_in_flight_max)
        ]
        self._tasks.append(asyncio.create_task(self._expire_on()))

    @property
    def depth(self) -> int:
        """Rows that wait for a flush."""
        return len(self._queue)

    def submit(self, delivery: Delivery) -> asyncio.Future[None]:
        """Queue one row. Raises NotCommittedError at once when too much waits already."""
        committed: asyncio.Future[None] = self._loop.create_future()

        def settle(why: str | None) -> None:
            if committed.done():  # given up by whoever awaited it
                return
            if why is None:
                committed.set_result(None)
            else:
                committed.set_exception(NotCommittedError(why))

        self.hand_in(delivery, settle)
        return committed

    def hand_in(self, delivery: Delivery, settle: type_settle) -> None:
        """Queue one row; `settle` is called once, unless this raises NotCommittedError."""
        queue = self._queue
        size = len(delivery.body)
        if len(queue) >= limits.queue_rows_max or self._queue_bytes + size > limits.queue_bytes_max:
            raise NotCommittedError("too many rows wait for a commit")
        queue.append(_Waiting(delivery, settle, self._loop.time() + limits.commit_deadline_s))
        self._queue_bytes += size
        self._wake[0].set()
        if len(queue) >= self._second_min_rows:
            for event in self._wake[1:]:
                event.set()

    async def close(self) -> None:
        """Write what waits, within the commit deadline, then stop."""
        give_up = self._loop.time() + limits.commit_deadline_s
        while (self._queue or self._busy) and self._loop.time() < give_up:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _expire_on(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRE_EVERY_S)
            now = self._loop.time()
            while self._queue and self._queue[0].deadline <= now:
                late = self._queue.popleft()
                self._queue_bytes -= len(late.delivery.body)
                _fail([late], "not committed in time")

    async def _flush_on(self, number: int) -> None:
        connection: type_connection | None = None
        wake = self._wake[number]
        while True:
            await wake.wait()
            wake.clear()
            while self._queue and (number == 0 or len(self._queue) >= self._second_min_rows):
                if connection is None or connection.is_closed():
                    connection = await self._reconnect()
                batch = self._take()
                if not batch:
                    continue
                self._busy += 1
                try:
                    connection = await self._commit(connection, batch)
                except BaseException as error:  # a batch must never be left waiting, whatever went wrong
                    _fail(batch, type(error).__name__)
                    if connection is not None:
                        connection.terminate()
                    connection = None
                    if not isinstance(error, Exception):
                        raise
                    telemetry.logger().error("flush_failed", rows=len(batch), exc_info=error)
                finally:
                    self._busy -= 1

    async def _reconnect(self) -> type_connection:
        """Try until there is a connection; rows that wait meanwhile run into their own deadlines."""
        pause_s = _RECONNECT_FIRST_S
        while True:
            try:
                async with asyncio.timeout(limits.commit_deadline_s):
                    return await self._connect()
            except (*WORLD_IS_BUSY, REFUSED) as error:
                telemetry.logger().warning("database_away", exc_info=error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _RECONNECT_MAX_S)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        now = self._loop.time()
        while self._queue and len(batch) < limits.flush_rows_max:
            waiting = self._queue.popleft()
            self._queue_bytes -= len(waiting.delivery.body)
            if waiting.deadline <= now:
                _fail([waiting], "not committed in time")
            else:
                batch.append(waiting)
        return batch

    async def _commit(self, connection: type_connection, batch: list[_Waiting]) -> type_connection | None:
        """Commit a batch; returns the connection, or None when it must not be used again."""
        began = self._loop.time()
        rows = [waiting.delivery for waiting in batch]
        try:
            try:
                await events.append(connection, rows, self._seconds_left(batch))
            except LOST_RACE:  # rolled back for certain: the same rows may be written again
                await events.append(connection, rows, self._seconds_left(batch))
        except WORLD_IS_BUSY as error:
            _fail(batch, type(error).__name__)
            connection.terminate()
            telemetry.logger().warning("commit_unknown", rows=len(batch), exc_info=error)
            return None
        except REFUSED as error:
            if len(batch) == 1:
                _fail(batch, type(error).__name__)
                telemetry.logger().error("row_refused", verdict=rows[0].verdict, exc_info=error)
                return connection
            middle = len(batch) // 2  # one row that the database refuses must not fail its neighbours
            first = await self._commit(connection, batch[:middle])
            if first is None:
                _fail(batch[middle:], "connection lost")
                return None
            return await self._commit(first, batch[middle:])
        for waiting in batch:
            waiting.settle(None)
        self._on_batch(rows, self._loop.time() - began)
        return connection

    def _seconds_left(self, batch: list[_Waiting]) -> float:
        """Until the first deadline of the batch; never nothing, or taking a batch late would be in vain."""
        return max(0.05, batch[0].deadline - self._loop.time())


def _fail(batch: list[_Waiting], why: str) -> None:
    for waiting in batch:
        waiting.settle(why)
