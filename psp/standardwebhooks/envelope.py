"""Reads the few fields of a Standard Webhooks delivery that the log and the inbox carry; no I/O, no rule,
never an exception.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from psp.envelope import Envelope, storable, type_headers
from psp.standardwebhooks.signature import ID_HEADER


class _Subject(msgspec.Struct):
    id: str | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    timestamp: str | None = None
    data: _Subject | None = None


class _BareEvent(msgspec.Struct):
    """What is still worth knowing of an event whose inner shape is the sender's own."""

    type: str | None = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_bare = msgspec.json.Decoder(_BareEvent).decode


def read(body: bytes, headers: type_headers) -> Envelope:
    """The event's id from its header, and type, object id and creation time where `body` has them."""
    ids = headers.get(ID_HEADER, ())
    event_id = storable(ids[0].decode("ascii", "surrogateescape")) if len(ids) == 1 else None
    try:
        event = _decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return Envelope(event_id, _bare_type(body))
    subject = storable(event.data.id) if event.data is not None else None
    return Envelope(event_id, storable(event.type), subject, _unix(event.timestamp))


def _bare_type(body: bytes) -> str | None:
    try:
        return storable(_decode_bare(body).type)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _unix(timestamp: str | None) -> int | None:
    """Whole unix seconds of an ISO-8601 time with its zone."""
    if timestamp is None:
        return None
    try:
        read_time = datetime.fromisoformat(timestamp)
        return max(0, int(read_time.timestamp())) if read_time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
