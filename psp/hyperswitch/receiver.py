"""Hyperswitch as the receiver sees it: which header, which errors, how to verify and what to read."""

from __future__ import annotations

from collections.abc import Sequence

from psp.envelope import NO_HEADERS, Envelope, SigningSecret, Verdict, type_headers
from psp.hyperswitch import envelope, signature


class HyperswitchReceiver:
    """Implements `psp.envelope.Provider` for Hyperswitch's native webhooks."""

    name = "hyperswitch"
    signature_headers: tuple[str, ...] = ("x-webhook-signature-512",)
    missing_signature_error = "Missing x-webhook-signature-512 header"
    invalid_signature_error = "Invalid Hyperswitch signature"

    def signing_key(self, secret: str) -> bytes:
        """The whole secret as it is written."""
        return secret.encode()

    def verify(
        self, body: bytes, headers: type_headers, secrets: Sequence[SigningSecret], now: int
    ) -> Verdict:
        """See `psp.hyperswitch.signature.verify`; there is no signed time, so `now` decides nothing."""
        return signature.verify(body, headers.get("x-webhook-signature-512", ()), secrets)

    def verify_at_any_age(
        self, body: bytes, headers: type_headers, secrets: Sequence[SigningSecret]
    ) -> Verdict:
        """The same: a genuine delivery stays genuine."""
        return signature.verify(body, headers.get("x-webhook-signature-512", ()), secrets)

    def read_envelope(self, body: bytes, headers: type_headers = NO_HEADERS) -> Envelope:
        """See `psp.hyperswitch.envelope.read`; everything stands in the body."""
        return envelope.read(body)
