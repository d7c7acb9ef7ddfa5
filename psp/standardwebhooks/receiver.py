"""Standard Webhooks as the receiver sees them: which headers, which errors, how to verify, what to read."""

from __future__ import annotations

from collections.abc import Sequence

from psp.envelope import NO_HEADERS, Envelope, SigningSecret, Verdict, type_headers
from psp.standardwebhooks import envelope, signature


class StandardWebhooksReceiver:
    """Implements `psp.envelope.Provider` for every sender that follows the specification."""

    name = "standardwebhooks"
    signature_headers: tuple[str, ...] = (
        signature.ID_HEADER,
        signature.TIMESTAMP_HEADER,
        signature.SIGNATURE_HEADER,
    )
    missing_signature_error = "Missing webhook-id, webhook-timestamp or webhook-signature header"
    invalid_signature_error = "Invalid Standard Webhooks signature"

    def signing_key(self, secret: str) -> bytes:
        """See `psp.standardwebhooks.signature.key_of`."""
        return signature.key_of(secret)

    def verify(
        self, body: bytes, headers: type_headers, secrets: Sequence[SigningSecret], now: int
    ) -> Verdict:
        """See `psp.standardwebhooks.signature.verify`; the age limit applies."""
        return signature.verify(body, headers, secrets, now)

    def verify_at_any_age(
        self, body: bytes, headers: type_headers, secrets: Sequence[SigningSecret]
    ) -> Verdict:
        """For deliveries that the log has kept: only the digest counts."""
        return signature.verify(body, headers, secrets, now=0, tolerance_s=None)

    def read_envelope(self, body: bytes, headers: type_headers = NO_HEADERS) -> Envelope:
        """See `psp.standardwebhooks.envelope.read`; without headers there is no event id."""
        return envelope.read(body, headers)
