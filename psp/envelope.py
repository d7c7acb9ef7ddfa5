"""What the receiver reads of a body, and what a signature check says: plain values, no I/O, never a rule of
money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

type_headers = Mapping[str, Sequence[bytes]]
"""The headers that a provider signs with: lower-case name to its values as they came, in order."""

NO_HEADERS: type_headers = MappingProxyType({})
"""Of an event that was fetched and not delivered."""


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
    signature_headers: tuple[str, ...]
    """Lower-case names of the headers that carry the signature and what is signed beside the body."""
    missing_signature_error: str
    invalid_signature_error: str

    def signing_key(self, secret: str) -> bytes:
        """The key in a configured secret. Raises ValueError, without the secret in its text, when it is
        none.
        """
        ...

    def verify(
        self, body: bytes, headers: type_headers, secrets: Sequence[SigningSecret], now: int
    ) -> Verdict:
        """Check `signature_headers`, each with all its values, over the raw body at unix time `now`."""
        ...

    def verify_at_any_age(
        self, body: bytes, headers: type_headers, secrets: Sequence[SigningSecret]
    ) -> Verdict:
        """Check a delivery that the log has kept: whatever time it names, is the signature one of these
        secrets'?
        """
        ...

    def read_envelope(self, body: bytes, headers: type_headers = NO_HEADERS) -> Envelope:
        """Read the fields that log and inbox carry; UNREADABLE, never an exception, when that is
        impossible. Some providers name the event in a header.
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
