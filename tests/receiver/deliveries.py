"""Deliveries as a PSP, a broken proxy or an attacker would send them; signed by Stripe's library, never by
our code."""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import stripe

from tests.receiver.wire import CANARY

SECRET = "whsec_receiver_tests_0123456789"
OLD_SECRET = "whsec_receiver_before_rotation_01"
CONNECT_SECRET = "whsec_receiver_connect_0123456789"
BYTES_MAX = 262_144
HOST = (b"Host: sluice.test",)

_addresses = itertools.count(1)


def unix_s() -> int:
    """Now, as a PSP's clock would say."""
    return int(time.time())


def event_body(event_id: str | None = None, size: int | None = None) -> bytes:
    """An event of a type that Sluice ignores; with `size`, padded to exactly that many bytes."""
    event = {
        "id": event_id or f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "type": "product.created",
        "created": unix_s(),
        "livemode": False,
        "data": {"object": {"id": "prod_1", "object": "product", "description": CANARY.decode()}},
    }
    body = json.dumps(event).encode()
    return body if size is None else body + b" " * (size - len(body))


def header_for(body: bytes | str, secret: str = SECRET, at: int | None = None) -> str:
    """The Stripe-Signature header over a text body."""
    text = body if isinstance(body, str) else body.decode()
    header: str = stripe.WebhookSignature.generate_signature_header(text, secret, timestamp=at or unix_s())
    return header


@dataclass(frozen=True)
class Sender:
    """One sender on the wire. Its request id finds its rows, its own address gives it its own storage
    budget."""

    request_id: str = field(default_factory=lambda: f"{CANARY.decode()}-{secrets.token_hex(8)}")
    address: str = field(default_factory=lambda: _address(next(_addresses)))

    def head(
        self,
        *headers: bytes,
        method: bytes = b"POST",
        target: bytes = b"/webhooks/stripe",
        version: bytes = b"HTTP/1.1",
        host: Sequence[bytes] = HOST,
    ) -> bytes:
        """A request head with exactly these headers behind the ones that name the sender."""
        lines = [
            b"%s %s %s" % (method, target, version),
            *host,
            b"X-Request-Id: %s" % self.request_id.encode(),
            b"X-Forwarded-For: %s" % self.address.encode(),
            *headers,
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def post(
        self,
        body: bytes,
        *headers: bytes,
        signature: str | bytes | None = None,
        method: bytes = b"POST",
        target: bytes = b"/webhooks/stripe",
        version: bytes = b"HTTP/1.1",
        host: Sequence[bytes] = HOST,
    ) -> bytes:
        """A whole request with Content-Length, signed unless `signature` says otherwise ("" leaves it
        out)."""
        if signature is None:
            signature = header_for(body)
        if isinstance(signature, str):
            signature = signature.encode()
        signed = [b"Stripe-Signature: " + signature] if signature else []
        length = b"Content-Length: %d" % len(body)
        head = self.head(length, *signed, *headers, method=method, target=target, version=version, host=host)
        return head + body

    def post_chunked(
        self, body: bytes, chunk_bytes: int, *headers: bytes, signature: str | None = None
    ) -> bytes:
        """The same without a length: the body in chunks of this size."""
        signed = b"Stripe-Signature: " + (header_for(body) if signature is None else signature).encode()
        return self.head(b"Transfer-Encoding: chunked", signed, *headers) + chunked(body, chunk_bytes)


def chunked(body: bytes, chunk_bytes: int) -> bytes:
    """`body` in chunked transfer coding."""
    parts = [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _address(number: int) -> str:
    """A different address for each sender, from the block that is set aside for benchmarks
    (198.18.0.0/15)."""
    return f"198.18.{number // 256 % 256}.{number % 256}"
