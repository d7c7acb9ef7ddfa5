"""Makes log rows of what was received: which headers are kept, how they are shown. Judges nothing, and holds
nothing back from the log but secrets.
"""

from __future__ import annotations

import functools
import itertools
import secrets
from typing import Protocol

import msgspec
from multidict import CIMultiDictProxy

from db.events import Delivery
from ingest.refusals import Counted
from psp.envelope import Envelope, Verdict, storable
from psp.providers import Endpoint

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
        b"traceparent",
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

_encode_headers = msgspec.json.Encoder().encode
_NAMES_REMEMBERED = 512
"""Senders repeat themselves: decisions about names and agents are remembered for this many of each."""
_OURS = secrets.token_hex(8)
_numbers = itertools.count(secrets.randbelow(1 << 32))


class Head(Protocol):
    """What is read of a request besides its body; a request of aiohttp and a message of its parser alike."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers, decoded."""

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers as they came, in order."""


def request_row(
    endpoint: Endpoint,
    verdict: Verdict,
    envelope: Envelope,
    body: bytes,
    body_bytes: int,
    digest: bytes | None,
    head: Head,
    source_ip: str | None,
) -> Delivery:
    """One delivery; `body_bytes` is what was received or declared, `digest` the sha256 of what came."""
    headers = head.headers
    kept = [
        (name, value.decode("latin-1"))
        for raw_name, value in head.raw_headers
        if (name := _kept_name(raw_name)) is not None
    ]
    agent = headers.get("User-Agent")
    return Delivery(
        endpoint.source,
        endpoint.path,
        "psp",
        verdict.kind,
        verdict.secret_id,
        verdict.signed_at,
        *envelope,
        body,
        body_bytes,
        digest,
        _encode_headers(kept),
        source_ip,
        None if agent is None else _shown(agent),
        storable(headers.get("X-Request-Id")) or own_request_id(),
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
        request_id=own_request_id(),
        requests=requests,
    )


def own_request_id() -> str:
    """An id for a request that brought none: this process's random half and a running number, which costs no
    call of the system.
    """
    return f"{_OURS}{next(_numbers):016x}"


@functools.lru_cache(maxsize=_NAMES_REMEMBERED)
def _kept_name(name: bytes) -> str | None:
    return name.decode("latin-1") if name.lower() in KEPT_HEADERS else None


@functools.lru_cache(maxsize=_NAMES_REMEMBERED)
def _shown(user_agent: str) -> str | None:
    return (
        storable(user_agent)
        or user_agent[:120].encode("unicode_escape", "replace").decode("ascii")[:255]
        or None
    )
