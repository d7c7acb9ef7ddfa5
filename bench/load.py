"""The load of the benches: a process of its own that posts pre-signed events over keep-alive connections and
says what it saw. Cheap on purpose, so that it measures the receiver and not itself.

As a program (`python -m bench.load`) it reads an Order as JSON from standard input and writes an Outcome.
Closed loop: each connection sends the next request when it has its answer. At a fixed rate requests are
due by
the clock whatever the receiver does, and latency counts from when a request was due, so that a receiver which
stands still cannot hide it.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from array import array
from collections import Counter, deque
from typing import cast

import msgspec
import uvloop

from bench import bodies
from bench.figures import percentile
from runtime import clock

CONNECTIONS = 64
"""Keep-alive connections of every load: what a PSP with many senders holds open."""
_GIVE_UP_S = 5.0
"""A receiver that has not answered what is under way by then, is measured by what it has answered."""


class Order(msgspec.Struct):
    """What to send: `kind` of bodies.KINDS or `mixed`, numbers from `first` on, for `seconds` after `warm_s`.

    `rate` 0 is a closed loop. At most `requests_max` are made; `again` sends them over and over, for
    receivers that keep nothing. `stamp` puts the microsecond at which a request was due into `X-Request-Id`.
    """

    port: int
    path: str
    run: str
    kind: str = "top_up"
    first: int = 0
    seconds: float = 2.0
    warm_s: float = 0.3
    rate: float = 0.0
    requests_max: int = 60_000
    again: bool = False
    stamp: bool = False
    connections: int = CONNECTIONS
    secret: str = bodies.SECRET


class Outcome(msgspec.Struct):
    """What came back. `per_s`, `p50_ms` and `p99_ms` are of 2xx answers after the warm-up; `sent` and
    `statuses`
    count everything, so that rows in a log can be held against it. `cpu_share` is of one processor.
    """

    sent: int
    acknowledged: int
    statuses: dict[int, int]
    per_s: float
    p50_ms: float
    p99_ms: float
    seconds: float
    cpu_share: float


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self._received = b""
        self.due = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from it

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        if _is_whole(received):
            self._received = b""
            self._sender.answered(self, int(received[9:12]))
        else:
            self._received = received

    def connection_lost(self, exc: Exception | None) -> None:
        self._sender.lost(self)


def _is_whole(received: bytes) -> bool:
    """Whether this is a whole answer: by its length, or by its last chunk."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return False
    place = received.lower().find(b"content-length:", 0, head)
    if place < 0:
        return received.endswith(b"0\r\n\r\n")
    end = received.find(b"\r", place)
    return len(received) >= head + 4 + int(received[place + 15 : end])


class _Sender:
    """Sends the requests of one order and counts the answers."""

    def __init__(self, order: Order) -> None:
        if order.kind == "mixed":
            made = bodies.mixed(order.run, order.first, order.requests_max)
        else:
            template = bodies.KINDS[order.kind]
            numbers = range(order.first, order.first + order.requests_max)
            made = [
                template.make(f"{order.run}{number:08d}", number, number % bodies.ACCOUNTS)
                for number in numbers
            ]
        self._requests = bodies.requests(made, order.port, order.path, clock.now_unix_s(), order.secret)
        self._order = order
        self._loop = asyncio.get_running_loop()
        self._next = 0
        self._sent = 0
        self._under_way = 0
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[float] = deque()
        self._latencies = array("d")
        self._statuses: Counter[int] = Counter()
        self._counted_from = 0.0
        self._stop_at = 0.0
        self._last_answer = 0.0
        self._done: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> Outcome:
        order = self._order
        connections = []
        for _ in range(order.connections):
            _, connection = await self._loop.create_connection(
                lambda: _Connection(self), "127.0.0.1", order.port
            )
            connections.append(connection)
        began = time.monotonic()
        self._counted_from = began + order.warm_s
        self._stop_at = self._counted_from + order.seconds
        if order.rate:
            self._idle.extend(connections)
            self._come_due(began, 0)
        else:
            for connection in connections:
                self._send(connection, began)
        used = _cpu_s()
        if any(connection.transport is None for connection in connections):
            raise ConnectionError("the receiver closed connections at once")
        await asyncio.wait({self._done}, timeout=order.warm_s + order.seconds + _GIVE_UP_S)
        share = (_cpu_s() - used) / max(0.001, time.monotonic() - began)
        self._done.cancel()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.abort()
        ordered = sorted(self._latencies)
        seconds = max(0.001, min(self._stop_at, self._last_answer) - self._counted_from)
        return Outcome(
            sent=self._sent,
            acknowledged=sum(count for status, count in self._statuses.items() if 200 <= status < 300),
            statuses=dict(self._statuses),
            per_s=len(ordered) / seconds,
            p50_ms=percentile(ordered, 0.5) * 1e3,
            p99_ms=percentile(ordered, 0.99) * 1e3,
            seconds=seconds,
            cpu_share=share,
        )

    def answered(self, connection: _Connection, status: int) -> None:
        now = time.monotonic()
        self._last_answer = now
        self._under_way -= 1
        self._statuses[status] += 1
        if 200 <= status < 300 and self._counted_from <= connection.due and now <= self._stop_at:
            self._latencies.append(now - connection.due)
        if self._order.rate:
            if self._waiting:
                self._send(connection, self._waiting.popleft())
            else:
                self._idle.append(connection)
        elif now < self._stop_at:
            self._send(connection, now)
        self._end_when_over()

    def lost(self, connection: _Connection) -> None:
        """A receiver that closes a connection: what was under way on it counts as not answered."""
        connection.transport = None
        if not self._done.done():
            self._statuses[0] += 1
            self._under_way = max(0, self._under_way - 1)
            self._end_when_over()

    def _come_due(self, began: float, number: int) -> None:
        """Send what is due by now, then wait for the next."""
        now = time.monotonic()
        while (due := began + number / self._order.rate) <= now and due < self._stop_at:
            if self._idle:
                self._send(self._idle.popleft(), due)
            else:
                self._waiting.append(due)
            number += 1
        if due < self._stop_at and self._next < len(self._requests):
            self._loop.call_later(due - now, self._come_due, began, number)
        else:
            self._loop.call_later(max(0.0, self._stop_at - now) + 0.002, self._end_when_over)

    def _send(self, connection: _Connection, due: float) -> None:
        if self._next >= len(self._requests):
            if not self._order.again:
                self._stop_at = min(self._stop_at, time.monotonic())
                return
            self._next = 0
        if connection.transport is None:
            return
        head, rest = self._requests[self._next]
        self._next += 1
        self._sent += 1
        self._under_way += 1
        connection.due = due
        if self._order.stamp:
            late_s = time.monotonic() - due
            stamp = b"X-Request-Id: %d\r\n" % int((clock.now().timestamp() - late_s) * 1e6)
            connection.transport.writelines((head, stamp, rest))
        else:
            connection.transport.write(head + rest)

    def _end_when_over(self) -> None:
        over = self._under_way == 0 and not self._waiting and time.monotonic() >= self._stop_at
        if over and not self._done.done():
            self._done.set_result(None)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Carry out the order on standard input; write the outcome to standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)

    async def send() -> Outcome:
        return await _Sender(order).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(send())
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
