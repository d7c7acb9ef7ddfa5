"""Hyperswitch as the receiver sees it: which header, which errors, how to verify and what to read."""

from __future__ import annotations

from collections.abc import Sequence

from psp.envelope import Envelope, SigningSecret, Verdict
from psp.hyperswitch import envelope, signature


class HyperswitchReceiver:
    """Implements `psp.envelope.Provider` for Hyperswitch's native webhooks."""

    name = "hyperswitch"
    signature_header = "x-webhook-signature-512"
    missing_signature_error = "Missing x-webhook-signature-512 header"
    invalid_signature_error = "Invalid Hyperswitch signature"

    def verify(
        self, body: bytes, headers: Sequence[bytes], secrets: Sequence[SigningSecret], now: int
    ) -> Verdict:
        """See `psp.hyperswitch.signature.verify`; there is no signed time, so `now` decides nothing."""
        return signature.verify(body, headers, secrets)

    def verify_at_any_age(
        self, body: bytes, headers: Sequence[bytes], secrets: Sequence[SigningSecret]
    ) -> Verdict:
        """The same: a genuine delivery stays genuine."""
        return signature.verify(body, headers, secrets)

    def read_envelope(self, body: bytes) -> Envelope:
        """See `psp.hyperswitch.envelope.read`."""
        return envelope.read(body)
