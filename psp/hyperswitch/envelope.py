"""Reads the few fields of a Hyperswitch event that the log and the inbox carry; no I/O, no rule, never an
exception.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from psp.envelope import UNREADABLE, Envelope, storable


class _Subject(msgspec.Struct):
    payment_id: str | None = None
    refund_id: str | None = None
    dispute_id: str | None = None
    mandate_id: str | None = None
    payout_id: str | None = None
    id: str | None = None


class _Content(msgspec.Struct):
    type: str | None = None
    object: _Subject | None = None


class _Event(_Subject):
    """Ids stand in `content.object`; bodies of older integrations have them in `object` or at the top
    level.
    """

    event_id: str | None = None
    event_type: str | None = None
    content: _Content | None = None
    object: _Subject | None = None
    timestamp: str | None = None


_decode = msgspec.json.Decoder(_Event).decode

_FAMILY_FIELD = {
    "payment_details": "payment_id",
    "refund_details": "refund_id",
    "dispute_details": "dispute_id",
    "mandate_details": "mandate_id",
    "payout_details": "payout_id",
    "subscription_details": "id",
}


def read(body: bytes) -> Envelope:
    """Event id, type, object id and creation time of `body`; UNREADABLE when it is no event with an id."""
    try:
        event = _decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return UNREADABLE
    event_id = storable(event.event_id)
    if event_id is None:
        return UNREADABLE
    family = event.content.type if event.content is not None else None
    subject = (event.content.object if event.content is not None else None) or event.object or event
    return Envelope(event_id, storable(event.event_type), _object_id(family, subject), _unix(event.timestamp))


def _object_id(family: str | None, subject: _Subject) -> str | None:
    """The id that the family names; a payment may embed a refund's id, so stray ids decide nothing."""
    return storable(getattr(subject, _FAMILY_FIELD.get(family or "", "payment_id")))


def _unix(timestamp: str | None) -> int | None:
    """Whole unix seconds of an ISO-8601 time; Hyperswitch leaves the zone out and means UTC."""
    if timestamp is None:
        return None
    try:
        read_time = datetime.fromisoformat(timestamp)
        zoned = read_time if read_time.tzinfo is not None else datetime.fromisoformat(f"{timestamp}+00:00")
        return max(0, int(zoned.timestamp()))
    except (ValueError, OverflowError):
        return None
