"""Signs webhook bodies as Stripe does, and forges them; never shares code with the verifier it tests."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from .chaos import Forgery, enriched


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes out in one attempt: the exact body and the signature header, None for an unsigned one."""

    body: bytes
    signature: str | None


def signature(body: bytes, secret: str, at_unix_s: int) -> str:
    """`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 of `<t>.<body>` under the whole secret."""
    digest = hmac.new(secret.encode(), b"%d." % at_unix_s + body, hashlib.sha256).hexdigest()
    return f"t={at_unix_s},v1={digest}"


def genuine(body: bytes, secret: str, at_unix_s: int) -> Letter:
    """The event as the PSP sends it."""
    return Letter(body, signature(body, secret, at_unix_s))


def forged(body: bytes, secret: str, at_unix_s: int, forgery: Forgery, skew_s: int) -> Letter:
    """The event as somebody else sends it.

    `stale` and `future` are genuine apart from their time; all others carry a body worth forging.
    """
    dearer = encode(enriched(json.loads(body)))
    match forgery:
        case "stale":
            return genuine(body, secret, at_unix_s - skew_s)
        case "future":
            return genuine(body, secret, at_unix_s + skew_s)
        case "wrong_secret":
            return genuine(dearer, f"{secret}x", at_unix_s)
        case "edited":
            return Letter(dearer, signature(body, secret, at_unix_s))
        case "unsigned":
            return Letter(dearer, None)
        case "garbled":
            return Letter(dearer, signature(dearer, secret, at_unix_s).replace("=", ":"))


def encode(event: dict[str, Any]) -> bytes:
    """The bytes of an event: JSON with two spaces of indentation, as Stripe sends it."""
    return json.dumps(event, indent=2, ensure_ascii=False).encode()
