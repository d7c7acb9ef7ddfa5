"""Answers the PSP: method and path, declared length, encoding, body, signature, commit, answer, in this
order. Never answers 2xx before the commit, and never tells a sender which check refused it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, cast

import msgspec
from aiohttp import web

from db.events import Delivery
from ingest import body as bodies
from ingest import metrics
from ingest.refusals import Counted, RefusalBudget
from ingest.server import FixedAnswer, ReceiverProtocol, json_answer
from ingest.writer import NotCommittedError
from psp.envelope import UNREADABLE, Envelope, Provider, Verdict, storable, type_headers
from psp.providers import Endpoint
from runtime import clock, limits
from runtime.sender_address import SenderAddress

type_health = Callable[[str, str], Awaitable[web.StreamResponse | None]]
"""Answers path and method of a request that is no delivery; None: there is no such path."""


class Writer(Protocol):
    """What the handler needs of the group commit."""

    def submit(self, delivery: Delivery) -> Awaitable[None]:
        """Queue one row; what it returns ends after the commit, or raises NotCommittedError."""


_encode_headers = msgspec.json.Encoder().encode

KEPT_HEADERS = frozenset(
    {
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"date",
        b"expect",
        b"host",
        b"stripe-signature",
        b"user-agent",
        b"webhook-id",
        b"webhook-signature",
        b"webhook-timestamp",
        b"x-forwarded-for",
        b"x-request-id",
        b"x-webhook-signature-512",
    }
)
"""Headers that the log keeps. Signatures are no secrets; cookies and authorisations would be."""

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
        self._received = FixedAnswer(_RECEIVED)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        protocol = cast("ReceiverProtocol", request.protocol)
        protocol.begin(request)
        try:
            return await self._answer(request)
        finally:
            protocol.end()

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
        signed = _signature_headers(request, provider)
        now = clock.now_unix_s()
        verdict = provider.verify(body, signed, endpoint.secrets, now)
        if verdict.kind == "ok":
            envelope = provider.read_envelope(body, signed)
            digest = hashlib.sha256(body).digest()
            if envelope.event_id is None:
                # Signed but unreadable: its own digest becomes its id, so that it waits in quarantine and is
                # not stored as many events as it has deliveries.
                envelope = Envelope(event_id=f"sha256:{digest.hex()}")
            row = self._row(request, endpoint, verdict, envelope, body, len(body), digest)
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
        counted = Counted(endpoint.source, endpoint.path, self._sender_address.of(request), kind)
        if not self._budget.admits(counted, clock.now().timestamp()):
            metrics.COUNTED.inc()
            return True
        envelope = UNREADABLE
        if verdict is not None:
            signed = _signature_headers(request, endpoint.provider)
            envelope = endpoint.provider.read_envelope(received, signed)
        row = self._row(
            request,
            endpoint,
            verdict or Verdict(kind),
            envelope,
            received[: limits.rejected_body_bytes_max],
            max(len(received), declared_bytes or 0),
            hashlib.sha256(received).digest() if received else None,
        )
        return await self._commit(row)

    async def _commit(self, row: Delivery) -> bool:
        try:
            await self._writer.submit(row)
        except NotCommittedError:
            metrics.NOT_COMMITTED.inc()
            return False
        return True

    def _row(
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        verdict: Verdict,
        envelope: Envelope,
        body: bytes,
        body_bytes: int,
        digest: bytes | None,
    ) -> Delivery:
        kept = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in request.raw_headers
            if name.lower() in KEPT_HEADERS
        ]
        headers = request.headers
        return Delivery(
            source=endpoint.source,
            endpoint=endpoint.path,
            origin="psp",
            verdict=verdict.kind,
            secret_id=verdict.secret_id,
            signed_at=verdict.signed_at,
            event_id=envelope.event_id,
            event_type=envelope.event_type,
            object_id=envelope.object_id,
            psp_created=envelope.psp_created,
            body=body,
            body_bytes=body_bytes,
            body_sha256=digest,
            headers=_encode_headers(kept),
            source_ip=self._sender_address.of(request),
            user_agent=_shown(headers.get("User-Agent")),
            request_id=storable(headers.get("X-Request-Id")) or secrets.token_hex(16),
        )


def aggregate_row(counted: Counted, requests: int) -> Delivery:
    """One row that stands for `requests` refused deliveries beyond the budget."""
    return Delivery(
        source=counted.source,
        endpoint=counted.endpoint,
        origin="psp",
        verdict=counted.verdict,
        secret_id=None,
        signed_at=None,
        event_id=None,
        event_type=None,
        object_id=None,
        psp_created=None,
        body=b"",
        body_bytes=0,
        body_sha256=None,
        headers=b"[]",
        source_ip=counted.source_ip,
        user_agent=None,
        request_id=secrets.token_hex(16),
        requests=requests,
    )


def _signature_headers(request: web.BaseRequest, provider: Provider) -> type_headers:
    """The bytes of the headers that this provider signs with; aiohttp decoded them with surrogate escapes."""
    return {
        name: [value.encode("utf-8", "surrogateescape") for value in request.headers.getall(name, ())]
        for name in provider.signature_headers
    }


def _exact_path(raw_path: str) -> str:
    """The path as it was sent, without query; an absolute-form target names our path all the same."""
    if raw_path.startswith(("http://", "https://")):
        raw_path = "/" + raw_path.partition("://")[2].partition("/")[2]
    return raw_path.partition("?")[0]


def _shown(user_agent: str | None) -> str | None:
    if user_agent is None:
        return None
    return (
        storable(user_agent)
        or user_agent[:120].encode("unicode_escape", "replace").decode("ascii")[:255]
        or None
    )


def _error(text: str) -> bytes:
    return msgspec.json.encode({"error": text})


def _closing(answer: web.Response) -> web.Response:
    answer.force_close()
    return answer


def _not_committed() -> web.Response:
    return json_answer(503, _NOT_COMMITTED, _RETRY_AFTER)
