"""aiohttp's low-level server with the deadlines it lacks: a head must arrive in time, an error answer is
JSON.

No router and no middlewares: the paths are few, and each layer costs a measurable part of the receive rate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Protocol, cast

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, StreamReader, web
from aiohttp.http_parser import RawRequestMessage

from runtime import limits, telemetry

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_UNREAD_S = 5.0
"""A sender that lets its answers pile up this long is put out: our answers are a few hundred bytes."""
_WHOLE_BODY_MAX = 1 << 30
"""A body that is here already pauses nobody."""
_SWEEP_S = 0.25
"""How often connections are looked through for late heads; one timer for all is cheaper than one per request.
"""


def json_answer(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    """An answer of the receiver: always JSON, never the banner of the server underneath."""
    answer = web.Response(status=status, body=body, content_type="application/json", headers=headers)
    answer.headers["Server"] = "sluice"
    return answer


class _Sent(web.StreamResponse):
    """Stands for an answer that is on the wire already: aiohttp asks it to write itself, and it has."""

    @property
    def keep_alive(self) -> bool:
        """It was only sent where the connection stays."""
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to write."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to end."""


class FixedAnswer:
    """An answer whose bytes are made once a second and sent in one write: composing the same answer anew for
    each request is a quarter of what aiohttp does for it (measured).
    """

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self._status = status
        self._body = body
        self._headers = headers
        self._sent = _Sent()
        self._made_at = -1
        self._bytes = b""

    def at(self, now_unix_s: int) -> bytes:
        """The whole answer over HTTP/1.1 on a connection that stays, at the second `now_unix_s`."""
        if now_unix_s != self._made_at:
            self._made_at = now_unix_s
            more = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items())
            self._bytes = (
                f"HTTP/1.1 {self._status} {HTTPStatus(self._status).phrase}\r\n"
                f"{more}Content-Type: application/json\r\nServer: sluice\r\n"
                f"Content-Length: {len(self._body)}\r\nDate: {formatdate(now_unix_s, usegmt=True)}\r\n\r\n"
            ).encode("ascii") + self._body
        return self._bytes

    async def send(self, request: web.BaseRequest, now_unix_s: int) -> web.StreamResponse:
        """Answer `request`, whose body has been read, at the second `now_unix_s`."""
        if not request.keep_alive or request.version != HttpVersion11:
            return json_answer(self._status, self._body, dict(self._headers))  # with a header of its own
        await request.writer.write(self.at(now_unix_s))
        return self._sent


class Handler(Protocol):
    """Answers requests; and takes a delivery that is here as a whole, without a task or a request object."""

    def __call__(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """Answer any request."""

    def take(
        self, message: RawRequestMessage, body: bytes, peer: object, settle: Callable[[str | None], None]
    ) -> bool:
        """True: taken, and `settle` will be called once. False: nothing was done."""

    def answer_to_taken(self, why: str | None) -> bytes:
        """The whole answer: committed where `why` is None."""


class ReceiverProtocol(web.RequestHandler):
    """One connection: notes since when a head has been awaited, or an answer has been left unread, so that
    slow senders can be put out. What is here as a whole goes the express way, past aiohttp's handler.
    """

    __slots__ = ("_early_bytes", "_express", "_request", "_taken", "head_since", "unread_since")

    def __init__(self, manager: web.Server, express: Handler, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._express = express
        self._taken = False
        self._request: web.BaseRequest | None = None
        self._early_bytes = False
        self.head_since: float | None = None
        self.unread_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection that says nothing is as late as one that stops in the middle of its head."""
        super().connection_made(transport)
        self.head_since = self._loop.time()

    def pause_writing(self) -> None:
        """The sender does not read: answers fill the buffers, and the handler waits for it."""
        super().pause_writing()
        self.unread_since = self._loop.time()

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        self.unread_since = None

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Nothing was held back where nothing was paused; aiohttp would parse no bytes once more a body."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def data_received(self, data: bytes) -> None:
        """Bytes of a body belong to the running request; all others begin a new head.

        Half a head that came in one piece with the request before it, and then nothing more, is not told from
        an idle connection and ends like one.
        """
        waiter = self._waiter
        if self._taken:
            self._early_bytes = self._early_bytes or bool(data)
            self._parse(data)
        elif data and waiter is not None and not waiter.done():
            self._parse(data)
            if not self._messages:
                if self.head_since is None:
                    self.head_since = self._loop.time()
            elif len(self._messages) > 1 or not self._go_express():
                waiter.set_result(None)
        else:
            if not data:
                pass  # aiohttp calls itself like this to resume parsing: no sender has sent anything
            elif self._request is None:
                if self.head_since is None:
                    self.head_since = self._loop.time()
            elif self._request.content.is_eof():
                self._early_bytes = True  # pipelined: judged when the running request has its answer
            super().data_received(data)

    def _parse(self, data: bytes) -> None:
        """Let aiohttp queue what these bytes hold without waking its handler."""
        waiter, self._waiter = self._waiter, None
        super().data_received(data)
        self._waiter = waiter

    def _go_express(self) -> bool:
        """Whether the request that is queued alone was taken; if not, it stays for aiohttp's handler."""
        message, payload = self._messages[0]
        if (
            not isinstance(message, RawRequestMessage)
            or payload is EMPTY_PAYLOAD
            or not payload.is_eof()
            or payload.exception() is not None
            or self._paused
        ):
            return False
        self._messages.clear()
        body = payload.read_nowait()
        self._next_keepalive_close_time = self._loop.time() + limits.keepalive_idle_s
        self._taken = self._request_in_progress = True
        if self._express.take(message, body, self.peername, self._settle):
            assert self._parser is not None
            self._parser.message_consumed()
            self.head_since = None
            return True
        self._taken = self._request_in_progress = False
        whole = StreamReader(self, _WHOLE_BODY_MAX, loop=self._loop)  # what was read, to be read once more
        whole.feed_data(body)
        whole.feed_eof()
        self._messages.append((message, whole))
        return False

    def _settle(self, why: str | None) -> None:
        """What was taken has its answer; bytes that came meanwhile are the next request or its beginning."""
        self._taken = self._request_in_progress = False
        if self.transport is not None:
            self.transport.write(self._express.answer_to_taken(why))
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)  # a shutdown waits for this answer
        if self._messages:
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        elif self._early_bytes:
            self.head_since = self._loop.time()
        self._early_bytes = False

    def begin(self, request: web.BaseRequest) -> None:
        """The head is complete: from here the body's own deadline counts."""
        self.head_since = None
        self._request = request

    def end(self) -> None:
        """The request has its answer; bytes that came meanwhile are the beginning of the next head."""
        self._request = None
        if self._early_bytes:
            self._early_bytes = False
            self.head_since = self._loop.time()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers of the HTTP parser and of a failed handler: JSON, and not one byte of the request in
        them.
        """
        if status >= 500:
            telemetry.logger().error("handler_failed", exc_info=exc)
        text = b'{"error":"Bad request"}' if status < 500 else b'{"error":"Internal server error"}'
        answer = json_answer(status, text)
        answer.force_close()
        return answer


class ReceiverServer(web.Server):
    """Makes ReceiverProtocols and closes those whose sender is late with a head or with reading."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(
            handler,
            auto_decompress=False,  # the signature is over the bytes that came
            keepalive_timeout=limits.keepalive_idle_s,
            lingering_time=limits.lingering_s,
            access_log=None,  # costs half of the throughput; batches are logged instead
        )
        self._express = handler
        self.late_heads = 0

    def __call__(self) -> ReceiverProtocol:
        """One protocol per connection."""
        return ReceiverProtocol(self, self._express, loop=self._loop, **self._kwargs)

    async def close_late_heads(self) -> None:
        """Runs for ever: closes connections that have not sent a whole head, or not read their answers, in
        time."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._loop.time()
            for connection in self.connections:
                protocol = cast("ReceiverProtocol", connection)
                if protocol.unread_since is not None:
                    if protocol.unread_since <= now - _UNREAD_S and protocol.transport is not None:
                        protocol.transport.abort()  # closing would wait for the reader that does not come
                elif (
                    protocol.head_since is not None and protocol.head_since <= now - limits.header_deadline_s
                ):
                    self.late_heads += 1
                    protocol.force_close()
