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
    updated: str | None = None
    updated_at: str | None = None


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


class _BareEvent(msgspec.Struct):
    """What is still worth knowing of an event whose inner shape is not as expected."""

    event_id: str
    event_type: str | None = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_bare = msgspec.json.Decoder(_BareEvent).decode

_FAMILY_FIELD = {
    "payment_details": "payment_id",
    "refund_details": "refund_id",
    "dispute_details": "dispute_id",
    "mandate_details": "mandate_id",
    "payout_details": "payout_id",
    "subscription_details": "id",
}


def read(body: bytes) -> Envelope:
    """Event id, type, object id and time of `body`; UNREADABLE when it is no event with an id.

    The time is the object's last change, by which Hyperswitch tells its consumers to order events; in bodies
    without one it is the event's own.
    """
    try:
        event = _decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _read_bare(body)
    event_id = storable(event.event_id)
    if event_id is None:
        return UNREADABLE
    family = event.content.type if event.content is not None else None
    places = [event.content.object if event.content is not None else None, event.object, event]
    subjects = [place for place in places if place is not None]
    event_type = storable(event.event_type)
    changed = _unix(subjects[0].updated or subjects[0].updated_at)
    created = changed if changed is not None else _unix(event.timestamp)
    return Envelope(event_id, event_type, _object_id(family or _family(event_type), subjects), created)


def _read_bare(body: bytes) -> Envelope:
    try:
        event = _decode_bare(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return UNREADABLE
    event_id = storable(event.event_id)
    return UNREADABLE if event_id is None else Envelope(event_id, storable(event.event_type))


def _family(event_type: str | None) -> str:
    """The family of a body whose content names none, by the first word of its type."""
    return f"{matched(event_type or '').partition('_')[0]}_details"


def matched(name: str) -> str:
    """A name of a type or a family as it is matched: `refund.succeeded` and `Refund_Succeeded` are one."""
    return name.lower().replace(".", "_")


def _object_id(family: str, subjects: list[_Subject]) -> str | None:
    """The id that the family names; a payment may embed a refund's id, so stray ids decide nothing."""
    name = _FAMILY_FIELD.get(matched(family), "payment_id")
    return next((found for subject in subjects if (found := storable(getattr(subject, name)))), None)


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
