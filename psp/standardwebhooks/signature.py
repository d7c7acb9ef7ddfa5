"""The Standard Webhooks signature, stricter than its own libraries: one grammar, both directions of time.
Never decodes the body.

Three headers: `webhook-id`, `webhook-timestamp` (unix seconds) and `webhook-signature`, a list of
`<version>,<base64>` separated by single spaces. `v1` is the HMAC-SHA256 of `<id>.<timestamp>.<raw body>`;
several `v1` appear while a secret is rotated, other versions (`v1a` is asymmetric) are ignored. Source:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence

from psp.envelope import SigningSecret, Verdict, type_headers

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

SIGNATURES_MAX = 8
"""Elements read from one header: a rotation needs two, an attack sends thousands."""
HEADER_BYTES_MAX = 4096
"""A genuine header has about 50 bytes, one with an asymmetric signature about 150."""
TOLERANCE_S = 300
"""Distance of the signed time from ours, past or future, beyond which a delivery is refused."""
SECRET_BYTES_MIN = 24
"""Shortest key that the specification allows; a shorter one would make events forgeable."""

_ID = re.compile(rb"[!-\-/-~]{1,255}")
"""Visible ASCII without the full stop, with which two pairs of id and timestamp could sign one message."""
_TIMESTAMP = re.compile(rb"0|[1-9][0-9]{0,10}")
_BASE64 = rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
_ELEMENT = re.compile(rb"v1,(?P<v1>" + _BASE64 + rb")|v(?!1,)[0-9]{1,3}[a-z]{0,8},[A-Za-z0-9+/=_-]+")
"""Versions that we cannot check may spell their signature as they like."""

_MISSING = Verdict("missing_sig")
_MALFORMED = Verdict("malformed_sig")


def verify(
    body: bytes,
    headers: type_headers,
    secrets: Sequence[SigningSecret],
    now: int,
    tolerance_s: int | None = TOLERANCE_S,
) -> Verdict:
    """Check a delivery at unix time `now`; `tolerance_s` None accepts any age (for deliveries that are kept
    already).

    Time is judged first, so a stale delivery is `stale_ts` whether or not its digest is right; the verdict's
    `secret_id` then still tells a genuine one from a forged one.
    """
    given = [headers.get(name, ()) for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)]
    if not all(any(value.strip() for value in values) for values in given):
        return _MISSING
    if any(len(values) > 1 or len(values[0]) > HEADER_BYTES_MAX for values in given):
        return _MALFORMED
    message_id, timestamp, listed = (values[0] for values in given)
    signatures = _parse(listed)
    if signatures is None or _ID.fullmatch(message_id) is None or _TIMESTAMP.fullmatch(timestamp) is None:
        return _MALFORMED
    signed_at = int(timestamp)
    secret_id = _matching_secret(b"%b.%b.%b" % (message_id, timestamp, body), signatures, secrets)
    if tolerance_s is not None and now - signed_at > tolerance_s:
        return Verdict("stale_ts", secret_id, signed_at)
    if tolerance_s is not None and signed_at - now > tolerance_s:
        return Verdict("future_ts", secret_id, signed_at)
    return Verdict("bad_sig" if secret_id is None else "ok", secret_id, signed_at)


def sign(message_id: str, timestamp: int, body: bytes, key: bytes) -> str:
    """The value of `webhook-signature` for this delivery; for operators' own checks and for tests."""
    digest = hmac.digest(key, b"%b.%d.%b" % (message_id.encode(), timestamp, body), "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def key_of(secret: str) -> bytes:
    """The key in a secret of the form `whsec_<base64>`. Raises ValueError, without the secret in its text."""
    encoded = secret.removeprefix("whsec_")
    if encoded == secret:
        raise ValueError("does not start with whsec_")
    try:
        key = base64.b64decode(encoded.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("is not base64 after whsec_") from None
    if len(key) < SECRET_BYTES_MIN:
        raise ValueError(f"is shorter than {SECRET_BYTES_MIN} bytes")
    return key


def _parse(listed: bytes) -> list[bytes] | None:
    """The `v1` signatures of the header, possibly none; None when it is no list of signatures."""
    signatures: list[bytes] = []
    elements = listed.split(b" ", SIGNATURES_MAX)
    if len(elements) > SIGNATURES_MAX:
        return None
    for part in elements:
        element = _ELEMENT.fullmatch(part)
        if element is None:
            return None
        if element["v1"] is not None:
            signatures.append(element["v1"])
    return signatures


def _matching_secret(message: bytes, signatures: list[bytes], secrets: Sequence[SigningSecret]) -> str | None:
    """Compared as text: base64 has several spellings of one digest, and only the plain one is genuine."""
    for secret in secrets:
        expected = base64.b64encode(hmac.digest(secret.key, message, "sha256"))
        for signature in signatures:
            if hmac.compare_digest(expected, signature):
                return secret.fingerprint
    return None
