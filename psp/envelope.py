"""What the receiver reads of a body, and what a signature check says: plain values, no I/O, never a rule of
money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Envelope(NamedTuple):
    """The few fields of an event that the log and the inbox carry; all None when the body could not be
    read.
    """

    event_id: str | None = None
    event_type: str | None = None
    object_id: str | None = None
    psp_created: int | None = None


UNREADABLE = Envelope()


class Verdict(NamedTuple):
    """The outcome of a signature check: `kind` as in the contract's verdicts, and which secret matched, if
    any.

    `secret_id` is also set for `stale_ts` and `future_ts` when the signature itself was genuine: a replay of
    a real delivery is another matter than a forgery.
    """

    kind: str
    secret_id: str | None = None
    signed_at: int | None = None


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A webhook secret as bytes with its fingerprint; its repr shows the fingerprint only."""

    key: bytes
    fingerprint: str

    def __repr__(self) -> str:
        return f"SigningSecret({self.fingerprint})"


class Provider(Protocol):
    """What the receiver needs of a PSP. A provider is a folder under `psp/` with an object of this shape."""

    name: str
    signature_header: str
    """Lower-case name of the header that carries the signature."""
    missing_signature_error: str
    invalid_signature_error: str

    def verify(
        self, body: bytes, headers: Sequence[bytes], secrets: Sequence[SigningSecret], now: int
    ) -> Verdict:
        """Check the signature header's values (as they came, in order) over the raw body at unix time
        `now`.
        """
        ...

    def verify_at_any_age(
        self, body: bytes, headers: Sequence[bytes], secrets: Sequence[SigningSecret]
    ) -> Verdict:
        """Check a delivery that the log has kept: whatever time it names, is the signature one of these
        secrets'?
        """
        ...

    def read_envelope(self, body: bytes) -> Envelope:
        """Read the fields that log and inbox carry; UNREADABLE, never an exception, when that is
        impossible.
        """
        ...


STORABLE_CHARACTERS_MAX = 255
"""Longest id or type that is stored as text; a B-tree index refuses values beyond about 2,700 bytes."""


def storable(value: object) -> str | None:
    """`value` when it is a short text that Postgres can hold and a log line can show, else None."""
    if not isinstance(value, str) or not 0 < len(value) <= STORABLE_CHARACTERS_MAX:
        return None
    if value.isascii():
        return value if value.isprintable() else None
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value) or not value.isprintable():
        return None
    return value
