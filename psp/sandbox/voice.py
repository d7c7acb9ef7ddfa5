"""How one PSP speaks: where its letters go, with which headers, and what it writes in them; it must never
decide when anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from . import signing
from .chaos import Forgery, enriched
from .signing import Letter

STRIPE, HYPERSWITCH = "stripe", "hyperswitch"
"""Names of the two PSPs, as events carry them."""
_STRIPE_HEADERS = {
    "Accept": "*/*; q=0.5, application/json",
    "Cache-Control": "no-cache",
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
}


class Pauses(Protocol):
    """How often and how far apart a letter is tried."""

    @property
    def attempts_max(self) -> int:
        """The first attempt and all retries."""

    def pause_s(self, attempt: int) -> float:
        """Seconds between a failed attempt, counted from 1, and the next."""


class Voice(Protocol):
    """One PSP as a sender."""

    @property
    def url(self) -> str:
        """Where its letters go."""

    @property
    def pauses(self) -> Pauses:
        """Its patience."""

    def headers(self, letter: Letter) -> Mapping[str, str]:
        """The headers of one letter, its signature among them unless it has none."""

    def genuine(self, body: bytes, at_unix_s: int) -> Letter:
        """The event as the PSP sends it."""

    def forged(self, body: bytes, at_unix_s: int, forgery: Forgery, skew_s: int) -> Letter:
        """The event as somebody else sends it."""

    def dearer(self, body: bytes) -> bytes:
        """The same event with another body, for a second letter under one id."""


@dataclass(frozen=True, slots=True)
class StripeVoice:
    """Stripe: each attempt is signed at its own moment."""

    url: str
    secret: str
    pauses: Pauses

    def headers(self, letter: Letter) -> Mapping[str, str]:
        """See Voice."""
        signature = {} if letter.signature is None else {"Stripe-Signature": letter.signature}
        return _STRIPE_HEADERS | signature

    def genuine(self, body: bytes, at_unix_s: int) -> Letter:
        """See Voice."""
        return signing.genuine(body, self.secret, at_unix_s)

    def forged(self, body: bytes, at_unix_s: int, forgery: Forgery, skew_s: int) -> Letter:
        """See Voice."""
        return signing.forged(body, self.secret, at_unix_s, forgery, skew_s)

    def dearer(self, body: bytes) -> bytes:
        """See Voice."""
        return signing.encode(enriched(json.loads(body)))
