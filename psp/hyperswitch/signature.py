"""Hyperswitch's signature: the lower-case hex HMAC-SHA512 of the raw body in one header. Never re-encodes the
body.

There is no timestamp, so nothing here can tell an old delivery from a new one: a replay is stopped by the
inbox alone, which knows every `event_id` for ever. Source: the sender's code, juspay/hyperswitch
crates/router/src/core/webhooks.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

from psp.envelope import SigningSecret, Verdict

_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){1,256}")
"""Whole bytes in hex; a digest of another length is well-formed and wrong."""

_MALFORMED = Verdict("malformed_sig")


def verify(body: bytes, headers: Sequence[bytes], secrets: Sequence[SigningSecret]) -> Verdict:
    """Check the values of the signature header (as they came) over the raw body."""
    if not headers or (len(headers) == 1 and not headers[0].strip()):
        return Verdict("missing_sig")
    if len(headers) > 1 or _HEX.fullmatch(headers[0]) is None:
        return _MALFORMED
    for secret in secrets:
        if hmac.compare_digest(sign(body, secret.key).encode(), headers[0]):
            return Verdict("ok", secret.fingerprint)
    return Verdict("bad_sig")


def sign(body: bytes, key: bytes) -> str:
    """The header Hyperswitch would send for this body."""
    return hmac.digest(key, body, "sha512").hex()
