"""Stripe's signature, stricter than its own library: one header, one grammar, both directions of time. Never
decodes the body.

Header: `t=<unix>,v1=<hex>[,v1=<hex>…]`; v1 is the HMAC-SHA256 of `<t>.<raw body>` under the endpoint's whole
secret. Several `v1` appear while a secret is rotated; other schemes (`v0`) are ignored.
"""

from __future__ import annotations

import functools
import hmac
import re
from collections.abc import Sequence

from psp.envelope import SigningSecret, Verdict

SIGNATURES_MAX = 8
"""`v1` values read from one header: a rotation needs two, an attack sends thousands."""
HEADER_BYTES_MAX = 4096
"""A genuine header has about 150 bytes."""
TOLERANCE_S = 300
"""Distance of the signed time from ours, past or future, beyond which a delivery is refused."""

_SCHEME = re.compile(rb"[A-Za-z0-9_]{1,16}")
_TIMESTAMP_DIGITS_MAX = 11

_MALFORMED = Verdict("malformed_sig")


def verify(
    body: bytes,
    headers: Sequence[bytes],
    secrets: Sequence[SigningSecret],
    now: int,
    tolerance_s: int | None = TOLERANCE_S,
) -> Verdict:
    """Check a delivery at unix time `now`; `tolerance_s` None accepts any age (for deliveries that are kept
    already).

    Time is judged first, so a stale delivery is `stale_ts` whether or not its digest is right; the verdict's
    `secret_id` then still tells a genuine one from a forged one.
    """
    if not headers or (len(headers) == 1 and not headers[0].strip()):
        return Verdict("missing_sig")
    if len(headers) > 1 or len(headers[0]) > HEADER_BYTES_MAX:
        return _MALFORMED
    parsed = _parse(headers[0])
    if parsed is None:
        return _MALFORMED
    timestamp, signatures = parsed
    signed_at = int(timestamp)
    secret_id = _matching_secret(timestamp + b".", body, signatures, secrets)
    if tolerance_s is not None and now - signed_at > tolerance_s:
        return Verdict("stale_ts", secret_id, signed_at)
    if tolerance_s is not None and signed_at - now > tolerance_s:
        return Verdict("future_ts", secret_id, signed_at)
    return Verdict("bad_sig" if secret_id is None else "ok", secret_id, signed_at)


def sign(body: bytes, key: bytes, timestamp: int) -> str:
    """The header Stripe would send for this body; for operators' own checks and for tests."""
    digest = hmac.digest(key, b"%d." % timestamp + body, "sha256").hex()
    return f"t={timestamp},v1={digest}"


def _parse(header: bytes) -> tuple[bytes, list[bytes]] | None:
    timestamp: bytes | None = None
    signatures: list[bytes] = []
    for part in header.split(b","):
        key, _, value = part.partition(b"=")
        if not value.isalnum():  # of bytes: ASCII letters and digits
            return None
        if key == b"v1":
            signatures.append(value)
            if len(signatures) > SIGNATURES_MAX:
                return None
        elif key == b"t":
            if timestamp is not None or not _is_timestamp(value):
                return None
            timestamp = value
        elif _SCHEME.fullmatch(key) is None:
            return None
    if timestamp is None or not signatures:
        return None
    return timestamp, signatures


def _is_timestamp(digits: bytes) -> bool:
    """No leading zero: the digest is over the digits as they came, Stripe's own library computes it over the
    number.
    """
    return (
        digits.isdigit()
        and len(digits) <= _TIMESTAMP_DIGITS_MAX
        and (not digits.startswith(b"0") or digits == b"0")
    )


def _matching_secret(
    prefix: bytes, body: bytes, signatures: list[bytes], secrets: Sequence[SigningSecret]
) -> str | None:
    for secret in secrets:
        mac = _keyed(secret.key).copy()
        mac.update(prefix)
        mac.update(body)
        expected = mac.hexdigest().encode()
        for signature in signatures:
            if hmac.compare_digest(expected, signature):
                return secret.fingerprint
    return None


@functools.lru_cache(maxsize=64)
def _keyed(key: bytes) -> hmac.HMAC:
    """What the key alone decides is computed once: a fifth of the digest of a usual delivery."""
    return hmac.new(key, digestmod="sha256")
