"""The load of the benches: a process of its own that posts pre-signed events over keep-alive connections and
says what it saw. Cheap on purpose, so that it measures the receiver and not itself.

As a program (`python -m bench.load`) it reads an Order as JSON from standard input and writes an Outcome.
Closed loop: each connection sends the next request when it has its answer. At a fixed rate requests are due
by the clock whatever the receiver does, and latency counts from when a request was due, so that a receiver
which stands still cannot hide it. Bare sockets: an event loop's protocols cost a third of its time.
"""

from __future__ import annotations

import resource
import select
import socket
import sys
import time
from array import array
from collections import Counter, deque

import msgspec

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


_LOOK_S = 0.05
"""How often a silent receiver is given up on, at the soonest."""
_RECEIVED_MAX = 65_536


class _Connection:
    """One keep-alive connection with at most one request under way, which always fits its send buffer."""

    __slots__ = ("due", "received", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = b""
        self.due = 0.0


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
        self._next = 0
        self._sent = 0
        self._under_way: set[_Connection] = set()
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[float] = deque()
        self._came_due = 0
        self._latencies = array("d")
        self._statuses: Counter[int] = Counter()
        self._usual = b""
        self._usual_status = 0
        self._began = 0.0
        self._counted_from = 0.0
        self._stop_at = 0.0
        self._last_answer = 0.0
        self._poll = select.epoll()
        self._by_number: dict[int, _Connection] = {}

    def run(self) -> Outcome:
        """Send until the time is over and what is under way has its answer, or will not get one."""
        order = self._order
        for _ in range(order.connections):
            connection = _Connection(order.port)
            self._by_number[connection.socket.fileno()] = connection
            self._poll.register(connection.socket, select.EPOLLIN)
        connections = list(self._by_number.values())
        self._began = time.monotonic()
        self._counted_from = self._began + order.warm_s
        self._stop_at = self._counted_from + order.seconds
        used = _cpu_s()
        if order.rate:
            self._idle.extend(connections)
        else:
            for connection in connections:
                self._send(connection, self._began)
        while not self._is_over():
            self._wait()
        share = (_cpu_s() - used) / max(0.001, time.monotonic() - self._began)
        for connection in connections:
            connection.socket.close()
        return self._outcome(share)

    def _outcome(self, cpu_share: float) -> Outcome:
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
            cpu_share=cpu_share,
        )

    def _is_over(self) -> bool:
        now = time.monotonic()
        if now < self._stop_at and self._by_number:
            return False
        return not (self._under_way or self._waiting) or now >= self._stop_at + _GIVE_UP_S

    def _wait(self) -> None:
        """Until something can be read or is due, and serve it. Epoll alone waits in whole milliseconds."""
        if self._order.rate:
            until_due_s = self._send_due() - time.monotonic()
            select.select([self._poll], [], [], min(max(until_due_s, 0.0), _LOOK_S))
            ready = self._poll.poll(0)
        else:
            ready = self._poll.poll(_LOOK_S)
        for number, _ in ready:
            self._read(self._by_number[number])

    def _send_due(self) -> float:
        """Send what is due by now; returns when the next is due."""
        rate, now = self._order.rate, time.monotonic()
        while (due := self._began + self._came_due / rate) < self._stop_at:
            if due > now:
                return due
            self._came_due += 1
            if self._idle:
                self._send(self._idle.popleft(), due)
            else:
                self._waiting.append(due)
        return self._stop_at

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(_RECEIVED_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(connection)
            return
        if data == self._usual and not connection.received:  # nearly all answers of a second are the same
            self._answered(connection, self._usual_status)
            return
        received = connection.received + data
        if _is_whole(received):
            connection.received = b""
            self._usual, self._usual_status = received, int(received[9:12])
            self._answered(connection, self._usual_status)
        else:
            connection.received = received

    def _answered(self, connection: _Connection, status: int) -> None:
        self._last_answer = now = time.monotonic()
        self._under_way.discard(connection)
        self._statuses[status] += 1
        if 200 <= status < 300 and self._counted_from <= connection.due and now <= self._stop_at:
            self._latencies.append(now - connection.due)
        if not self._order.rate:
            if now < self._stop_at:
                self._send(connection, now)
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _lose(self, connection: _Connection) -> None:
        """A receiver that closes a connection: what was under way on it counts as not answered."""
        self._by_number.pop(connection.socket.fileno(), None)
        self._poll.unregister(connection.socket)
        connection.socket.close()
        self._statuses[0] += 1
        self._under_way.discard(connection)

    def _send(self, connection: _Connection, due: float) -> None:
        if self._next >= len(self._requests):
            if not self._order.again:
                self._stop_at = min(self._stop_at, time.monotonic())
                return
            self._next = 0
        head, rest = self._requests[self._next]
        self._next += 1
        self._sent += 1
        self._under_way.add(connection)
        connection.due = due
        if self._order.stamp:
            late_s = time.monotonic() - due
            head += b"X-Request-Id: %d\r\n" % int((clock.now().timestamp() - late_s) * 1e6)
        try:
            connection.socket.sendall(head + rest)
        except OSError:
            self._lose(connection)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Carry out the order on standard input; write the outcome to standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(_Sender(order).run()))


if __name__ == "__main__":
    main()
