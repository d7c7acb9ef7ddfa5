"""aiohttp's low-level server with the deadlines it lacks: a head must arrive in time, an error answer is
JSON.

No router and no middlewares: the paths are few, and each layer costs a measurable part of the receive rate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import cast

from aiohttp import HttpVersion11, web

from runtime import limits, telemetry

type_handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_UNREAD_S = 5.0
"""A sender that lets its answers pile up this long is put out: our answers are a few hundred bytes."""
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
    """A 200 whose bytes are made once a second and sent in one write: composing the same answer anew for each
    request is a quarter of what aiohttp does for it (measured).
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._sent = _Sent()
        self._made_at = -1
        self._bytes = b""

    async def send(self, request: web.BaseRequest, now_unix_s: int) -> web.StreamResponse:
        """Answer `request`, whose body has been read, at the second `now_unix_s`."""
        if not request.keep_alive or request.version != HttpVersion11:
            return json_answer(200, self._body)  # these need a header of their own
        if now_unix_s != self._made_at:
            self._made_at = now_unix_s
            self._bytes = (
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: sluice\r\n"
                f"Content-Length: {len(self._body)}\r\nDate: {formatdate(now_unix_s, usegmt=True)}\r\n\r\n"
            ).encode("ascii") + self._body
        await request.writer.write(self._bytes)
        return self._sent


class ReceiverProtocol(web.RequestHandler):
    """One connection: notes since when a head has been awaited, or an answer has been left unread, so that
    slow senders can be put out."""

    __slots__ = ("_early_bytes", "_request", "head_since", "unread_since")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection that says nothing is as late as one that stops in the middle of its head."""
        super().connection_made(transport)
        self.head_since: float | None = self._loop.time()
        self.unread_since: float | None = None
        self._request: web.BaseRequest | None = None
        self._early_bytes = False

    def pause_writing(self) -> None:
        """The sender does not read: answers fill the buffers, and the handler waits for it."""
        super().pause_writing()
        self.unread_since = self._loop.time()

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        self.unread_since = None

    def data_received(self, data: bytes) -> None:
        """Bytes of a body belong to the running request; all others begin a new head.

        Half a head that came in one piece with the request before it, and then nothing more, is not told from
        an idle connection and ends like one.
        """
        if not data:
            pass  # aiohttp calls itself like this to resume parsing: no sender has sent anything
        elif self._request is None:
            if self.head_since is None:
                self.head_since = self._loop.time()
        elif self._request.content.is_eof():
            self._early_bytes = True  # pipelined: judged when the running request has its answer
        super().data_received(data)

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

    def __init__(self, handler: type_handler) -> None:
        super().__init__(
            handler,
            auto_decompress=False,  # the signature is over the bytes that came
            keepalive_timeout=limits.keepalive_idle_s,
            lingering_time=limits.lingering_s,
            access_log=None,  # costs half of the throughput; batches are logged instead
        )
        self.late_heads = 0

    def __call__(self) -> ReceiverProtocol:
        """One protocol per connection."""
        return ReceiverProtocol(self, loop=self._loop, **self._kwargs)

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
