"""Reads the few fields of a Stripe event that the log and the inbox carry; no I/O, no rule, never an
exception.
"""

from __future__ import annotations

import msgspec

from psp.envelope import UNREADABLE, Envelope, storable


class _Subject(msgspec.Struct, gc=False):
    id: str | None = None


class _Data(msgspec.Struct, gc=False):
    object: _Subject | None = None


class _Event(msgspec.Struct, gc=False):
    id: str
    type: str
    created: int | str | None = None
    data: _Data | None = None
    related_object: _Subject | None = None  # thin events (`v2.core.event`) name their object here


class _BareEvent(msgspec.Struct):
    """What is still worth knowing of an event whose inner shape is not as expected."""

    id: str
    type: str = ""


_decode = msgspec.json.Decoder(_Event).decode
_decode_bare = msgspec.json.Decoder(_BareEvent).decode
_UNIX_S_MAX = 253_402_300_799
"""End of year 9999: larger numbers are milliseconds or nonsense."""


def read(body: bytes) -> Envelope:
    """Event id, type, object id and creation time of `body`; UNREADABLE when it is no event with an id."""
    try:
        event = _decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _read_bare(body)
    event_id = storable(event.id)
    if event_id is None:
        return UNREADABLE
    subject = event.related_object or (event.data.object if event.data is not None else None)
    created = event.created if isinstance(event.created, int) and 0 <= event.created <= _UNIX_S_MAX else None
    return Envelope(
        event_id, storable(event.type), storable(subject.id) if subject is not None else None, created
    )


def _read_bare(body: bytes) -> Envelope:
    try:
        event = _decode_bare(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return UNREADABLE
    event_id = storable(event.id)
    return UNREADABLE if event_id is None else Envelope(event_id, storable(event.type))
