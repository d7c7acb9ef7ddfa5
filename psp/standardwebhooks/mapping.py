"""What a Standard Webhooks event means to us: nothing yet. Pure; never lets an unreadable body pass for one
that was understood.

The specification fixes how an event is signed and named, not what it says: a sender whose events should move
something gets a folder of its own with a mapping of its own.
"""

from __future__ import annotations

from billing.facts import Fact, NotForUs, Unusable
from psp.strict_json import BadJsonError, BadShapeError, Fields, read_object


def to_fact(body: bytes, mode: str | None) -> Fact:
    """NotForUs for every readable event; `mode` decides nothing, because the specification knows none."""
    try:
        Fields(read_object(body), "").text("type")
    except BadJsonError as error:
        return Unusable("bad_json", str(error))
    except BadShapeError as error:
        return Unusable("bad_schema", str(error))
    return NotForUs("unhandled_type")


def same_event(first: bytes, second: bytes) -> bool:
    """Whether two bodies of one event id tell the same; the order of keys and white space tell nothing."""
    try:
        return read_object(first) == read_object(second)
    except (BadJsonError, BadShapeError):
        return first == second
