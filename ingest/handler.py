"""Answers the PSP: method and path, declared length, encoding, body, signature, commit, answer, in this
order. Never answers 2xx before the commit, and never tells a sender which check refused it.

Nearly every delivery is whole, plain and genuine when its first bytes are here. `take` handles exactly those
without a task or a request object; whatever else there is, the long way of `__call__` decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, cast

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy

from db.events import Delivery
from ingest import body as bodies
from ingest import metrics, rows
from ingest.refusals import Counted, RefusalBudget
from ingest.server import FixedAnswer, ReceiverProtocol, json_answer
from ingest.writer import NotCommittedError, type_settle
from psp.envelope import UNREADABLE, Envelope, Provider, Verdict, type_headers
from psp.providers import Endpoint
from runtime import clock, limits
from runtime.sender_address import SenderAddress

type_health = Callable[[str, str], Awaitable[web.StreamResponse | None]]
"""Answers path and method of a request that is no delivery; None: there is no such path."""


class Writer(Protocol):
    """What the handler needs of the group commit."""

    def submit(self, delivery: Delivery) -> Awaitable[None]:
        """Queue one row; what it returns ends after the commit, or raises NotCommittedError."""

    def hand_in(self, delivery: Delivery, settle: type_settle) -> None:
        """The same, and call `settle` when it is known what became of the row."""


_RECEIVED = b'{"received":true}'
_NOT_FOUND = b'{"error":"Not found"}'
_NOT_ALLOWED = b'{"error":"Method not allowed"}'
_BAD_REQUEST = b'{"error":"Bad request"}'
_BAD_EXPECTATION = b'{"error":"Expectation failed"}'
_TOO_LARGE = b'{"error":"Payload too large"}'
_UNSUPPORTED = b'{"error":"Unsupported content encoding"}'
_TOO_SLOW = b'{"error":"Request body came too slowly"}'
_NOT_COMMITTED = b'{"error":"Delivery could not be stored, please send it again"}'
_RETRY_AFTER = {"Retry-After": str(limits.retry_after_s)}
_LONG_WAY = ("Expect", "Content-Encoding", "Transfer-Encoding")
"""Headers with a say in how a body is read."""


class Receiver:
    """The request handler of the receiver; one object per process."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        writer: Writer,
        budget: RefusalBudget,
        bytes_max: int,
        sender_address: SenderAddress,
        health: type_health,
    ) -> None:
        self._by_path = {f"/webhooks/{path}": endpoint for path, endpoint in endpoints.items()}
        if "stripe" in endpoints:
            self._by_path["/api/webhooks/stripe"] = endpoints["stripe"]
        self._refusals = {
            endpoint.path: (
                _error(endpoint.provider.missing_signature_error),
                _error(endpoint.provider.invalid_signature_error),
            )
            for endpoint in endpoints.values()
        }
        self._writer = writer
        self._budget = budget
        self._bytes_max = bytes_max
        self._sender_address = sender_address
        self._health = health
        self._received = FixedAnswer(200, _RECEIVED)
        self._not_committed = FixedAnswer(503, _NOT_COMMITTED, _RETRY_AFTER)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        protocol = cast("ReceiverProtocol", request.protocol)
        protocol.begin(request)
        try:
            return await self._answer(request)
        finally:
            protocol.end()

    def take(self, message: RawRequestMessage, body: bytes, peer: object, settle: type_settle) -> bool:
        """Take a delivery that is here as a whole: True when its row is on its way and `settle` will be
        called. False when there is anything else to be said about it, and then nothing was done.
        """
        endpoint = self._by_path.get(message.path)
        if (
            endpoint is None
            or message.method != "POST"
            or message.version != HttpVersion11
            or message.should_close
            or message.chunked
            or message.upgrade
            or len(body) > self._bytes_max
        ):
            return False
        headers = message.headers
        for name in _LONG_WAY:
            if name in headers:
                return False
        provider = endpoint.provider
        signed = _signature_headers(headers, provider)
        verdict = provider.verify(body, signed, endpoint.secrets, clock.now_unix_s())
        if verdict.kind != "ok":
            return False
        envelope = provider.read_envelope(body, signed)
        if envelope.event_id is None:
            return False
        address = self._sender_address.at(peer, headers)
        digest = hashlib.sha256(body).digest()
        row = rows.request_row(endpoint, verdict, envelope, body, len(body), digest, message, address)
        try:
            self._writer.hand_in(row, settle)
        except NotCommittedError as error:
            settle(str(error))
        return True

    def answer_to_taken(self, why: str | None) -> bytes:
        """The whole answer to a delivery that was taken: committed where `why` is None."""
        if why is None:
            return self._received.at(clock.now_unix_s())
        metrics.NOT_COMMITTED.inc()
        return self._not_committed.at(clock.now_unix_s())

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _exact_path(request.raw_path)
        endpoint = self._by_path.get(path)
        if endpoint is None:
            answer = await self._health(path, request.method)
            return answer if answer is not None else _closing(json_answer(404, _NOT_FOUND))
        if request.method != "POST":
            return _closing(json_answer(405, _NOT_ALLOWED, {"Allow": "POST"}))
        if request.headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
            return _closing(json_answer(400, _BAD_REQUEST))
        if (request.content_length or 0) > self._bytes_max:
            already_here = request.content.read_nowait() if request.content.exception() is None else b""
            kept = await self._refuse(request, endpoint, "oversize", already_here, request.content_length)
            return _closing(json_answer(413, _TOO_LARGE) if kept else _not_committed())
        if "Expect" in request.headers:
            if request.headers["Expect"].lower() != "100-continue":
                return _closing(json_answer(417, _BAD_EXPECTATION))
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        plain = all(
            value.strip().lower() == "identity" for value in request.headers.getall("Content-Encoding", ())
        )
        body = await bodies.read(request, self._bytes_max)
        if not plain:
            # Decided before the body was read, and kept with it: the evidence of a proxy that compresses.
            kept = await self._refuse(request, endpoint, "bad_encoding", body.received)
            answer = json_answer(415, _UNSUPPORTED) if kept else _not_committed()
            return answer if body.ending == bodies.WHOLE else _closing(answer)
        if body.ending != bodies.WHOLE:
            return await self._refuse_broken(request, endpoint, body)
        return await self._receive(request, endpoint, body.received)

    async def _receive(self, request: web.BaseRequest, endpoint: Endpoint, body: bytes) -> web.StreamResponse:
        provider = endpoint.provider
        signed = _signature_headers(request.headers, provider)
        now = clock.now_unix_s()
        verdict = provider.verify(body, signed, endpoint.secrets, now)
        if verdict.kind == "ok":
            envelope = provider.read_envelope(body, signed)
            digest = hashlib.sha256(body).digest()
            if envelope.event_id is None:
                # Signed but unreadable: its own digest becomes its id, so that it waits in quarantine and is
                # not stored as many events as it has deliveries.
                envelope = Envelope(event_id=f"sha256:{digest.hex()}")
            address = self._sender_address.of(request)
            row = rows.request_row(endpoint, verdict, envelope, body, len(body), digest, request, address)
            if not await self._commit(row):
                return _not_committed()
            return await self._received.send(request, now)
        missing, invalid = self._refusals[endpoint.path]
        if not await self._refuse(request, endpoint, verdict.kind, body, verdict=verdict):
            return _not_committed()
        return json_answer(400, missing if verdict.kind == "missing_sig" else invalid)

    async def _refuse_broken(
        self, request: web.BaseRequest, endpoint: Endpoint, body: bodies.Body
    ) -> web.StreamResponse:
        if not await self._refuse(request, endpoint, body.ending, body.received, request.content_length):
            return _closing(_not_committed())
        if body.ending == bodies.OVERSIZE:
            return _closing(json_answer(413, _TOO_LARGE))
        if body.ending == bodies.LATE:
            return _closing(json_answer(408, _TOO_SLOW))
        return _closing(json_answer(400, _BAD_REQUEST))

    async def _refuse(
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        kind: str,
        received: bytes,
        declared_bytes: int | None = None,
        verdict: Verdict | None = None,
    ) -> bool:
        """Keep a refused delivery as a row or a count; False when it could not be stored."""
        metrics.DELIVERIES.labels(endpoint.path, kind).inc()
        address = self._sender_address.of(request)
        counted = Counted(endpoint.source, endpoint.path, address, kind)
        if not self._budget.admits(counted, clock.now().timestamp()):
            metrics.COUNTED.inc()
            return True
        envelope = UNREADABLE
        if verdict is not None:
            signed = _signature_headers(request.headers, endpoint.provider)
            envelope = endpoint.provider.read_envelope(received, signed)
        row = rows.request_row(
            endpoint,
            verdict or Verdict(kind),
            envelope,
            received[: limits.rejected_body_bytes_max],
            max(len(received), declared_bytes or 0),
            hashlib.sha256(received).digest() if received else None,
            request,
            address,
        )
        return await self._commit(row)

    async def _commit(self, row: Delivery) -> bool:
        try:
            await self._writer.submit(row)
        except NotCommittedError:
            metrics.NOT_COMMITTED.inc()
            return False
        return True


def _signature_headers(headers: CIMultiDictProxy[str], provider: Provider) -> type_headers:
    """The bytes of the headers that this provider signs with; aiohttp decoded them with surrogate escapes."""
    return {
        name: [value.encode("utf-8", "surrogateescape") for value in headers.getall(name, ())]
        for name in provider.signature_headers
    }


def _exact_path(raw_path: str) -> str:
    """The path as it was sent, without query; an absolute-form target names our path all the same."""
    if raw_path.startswith(("http://", "https://")):
        raw_path = "/" + raw_path.partition("://")[2].partition("/")[2]
    return raw_path.partition("?")[0]


def _error(text: str) -> bytes:
    return msgspec.json.encode({"error": text})


def _closing(answer: web.Response) -> web.Response:
    answer.force_close()
    return answer


def _not_committed() -> web.Response:
    return json_answer(503, _NOT_COMMITTED, _RETRY_AFTER)
