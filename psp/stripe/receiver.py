"""Stripe as the receiver sees it: which header, which errors, how to verify and what to read."""

from __future__ import annotations

from collections.abc import Sequence

from psp.envelope import NO_HEADERS, Envelope, SigningSecret, Verdict, type_headers
from psp.stripe import envelope, signature


class StripeReceiver:
    """Implements `psp.envelope.Provider` for Stripe's classic and thin events."""

    name = "stripe"
    signature_headers: tuple[str, ...] = ("stripe-signature",)
    missing_signature_error = "Missing stripe-signature header"
    invalid_signature_error = "Invalid Stripe signature"

    def signing_key(self, secret: str) -> bytes:
        """The whole secret as it is written."""
        return secret.encode()

    def verify(
        self, body: bytes, headers: type_headers, secrets: Sequence[SigningSecret], now: int
    ) -> Verdict:
        """See `psp.stripe.signature.verify`; the age limit applies."""
        return signature.verify(body, headers.get("stripe-signature", ()), secrets, now)

    def verify_at_any_age(
        self, body: bytes, headers: type_headers, secrets: Sequence[SigningSecret]
    ) -> Verdict:
        """For deliveries that the log has kept: only the digest counts."""
        return signature.verify(body, headers.get("stripe-signature", ()), secrets, now=0, tolerance_s=None)

    def read_envelope(self, body: bytes, headers: type_headers = NO_HEADERS) -> Envelope:
        """See `psp.stripe.envelope.read`; everything stands in the body."""
        return envelope.read(body)
