"""Stripe as the receiver sees it: which header, which errors, how to verify and what to read."""

from __future__ import annotations

from collections.abc import Sequence

from psp.envelope import Envelope, SigningSecret, Verdict
from psp.stripe import envelope, signature


class StripeReceiver:
    """Implements `psp.envelope.Provider` for Stripe's classic and thin events."""

    name = "stripe"
    signature_header = "stripe-signature"
    missing_signature_error = "Missing stripe-signature header"
    invalid_signature_error = "Invalid Stripe signature"

    def verify(
        self, body: bytes, headers: Sequence[bytes], secrets: Sequence[SigningSecret], now: int
    ) -> Verdict:
        """See `psp.stripe.signature.verify`; the age limit applies."""
        return signature.verify(body, headers, secrets, now)

    def verify_at_any_age(
        self, body: bytes, headers: Sequence[bytes], secrets: Sequence[SigningSecret]
    ) -> Verdict:
        """For deliveries that the log has kept: only the digest counts."""
        return signature.verify(body, headers, secrets, now=0, tolerance_s=None)

    def read_envelope(self, body: bytes) -> Envelope:
        """See `psp.stripe.envelope.read`."""
        return envelope.read(body)
