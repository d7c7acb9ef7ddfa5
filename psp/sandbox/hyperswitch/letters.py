"""Signs webhook bodies as Hyperswitch does, and forges them; never shares code with the verifier it tests."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from psp.sandbox.chaos import Forgery
from psp.sandbox.settings import HyperswitchSettings
from psp.sandbox.signing import Letter
from psp.sandbox.voice import Pauses

_MINUTE_S, _HOUR_S = 60, 3_600
documented_pauses_s = tuple(
    chain(
        repeat(1 * _MINUTE_S, 1),
        repeat(5 * _MINUTE_S, 2),
        repeat(10 * _MINUTE_S, 5),
        repeat(1 * _HOUR_S, 5),
        repeat(6 * _HOUR_S, 3),
    )
)
"""The sender's default retry mapping: sixteen retries in about a day. Source: juspay/hyperswitch, outgoing
webhooks' retry workflow."""
demo_times_faster = 1_440
"""A day of retries is a minute of a demo, as Stripe's are."""
FORGERY_WITHOUT_TIME: Mapping[Forgery, Forgery] = {"stale": "wrong_secret", "future": "edited"}
"""No time is signed, so a letter cannot be off in time: instead of those forgeries, others."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The documented retries, so many times faster."""

    times_faster: int = demo_times_faster

    @property
    def attempts_max(self) -> int:
        """The first attempt and all retries."""
        return 1 + len(documented_pauses_s)

    def pause_s(self, attempt: int) -> float:
        """Seconds between a failed attempt, counted from 1, and the next."""
        return documented_pauses_s[attempt - 1] / self.times_faster


@dataclass(frozen=True, slots=True)
class HyperswitchVoice:
    """Hyperswitch: the signature is over the body alone, so every attempt is the same letter."""

    url: str
    secret: str
    pauses: Pauses

    def headers(self, letter: Letter) -> Mapping[str, str]:
        """See `voice.Voice`."""
        found = {"Content-Type": "application/json", "User-Agent": "Hyperswitch-Backend-Server/1.0.0"}
        return found if letter.signature is None else found | {"x-webhook-signature-512": letter.signature}

    def genuine(self, body: bytes, at_unix_s: int) -> Letter:
        """See `voice.Voice`."""
        return Letter(body, signature(body, self.secret))

    def forged(self, body: bytes, at_unix_s: int, forgery: Forgery, skew_s: int) -> Letter:
        """See `voice.Voice`; always a body worth forging."""
        dearer = self.dearer(body)
        match FORGERY_WITHOUT_TIME.get(forgery, forgery):
            case "wrong_secret":
                return Letter(dearer, signature(dearer, f"{self.secret}x"))
            case "edited":
                return Letter(dearer, signature(body, self.secret))
            case "unsigned":
                return Letter(dearer, None)
            case _:
                return Letter(dearer, f"sha512={signature(dearer, self.secret)}")

    def dearer(self, body: bytes) -> bytes:
        """See `voice.Voice`."""
        return encode(enriched(json.loads(body)))


def voice_of(settings: HyperswitchSettings) -> HyperswitchVoice:
    """The merchant's voice."""
    return HyperswitchVoice(settings.webhook_url, settings.webhook_secret.reveal(), Schedule())


def signature(body: bytes, secret: str) -> str:
    """Lower-case hex HMAC-SHA512 of the exact body under the whole secret."""
    return hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()


def encode(event: dict[str, Any]) -> bytes:
    """The bytes of an event: JSON without spaces, as Hyperswitch sends it."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def enriched(event: dict[str, Any]) -> dict[str, Any]:
    """The same event telling a dearer story: amounts, a dispute's text among them, grow a thousandfold."""
    thing = event["content"]["object"]
    for name in ("amount", "amount_received", "amount_capturable", "net_amount"):
        if isinstance(thing.get(name), int):
            thing[name] *= 1000
        elif isinstance(thing.get(name), str):
            thing[name] = str(int(thing[name]) * 1000)
    metadata = thing.get("metadata")
    if isinstance(metadata, dict) and str(metadata.get("sellerAmount", "")).isdigit():
        metadata["sellerAmount"] = str(int(metadata["sellerAmount"]) * 1000)
    thing["description"] = "the same event with another body"
    return event
