"""What a Standard Webhooks event means to us: nothing yet. Pure; never lets an unreadable body pass for one
that was understood.

The specification fixes how an event is signed and named, not what it says: a sender whose events should move
something gets a folder of its own with a mapping of its own.
"""

from __future__ import annotations

from billing.facts import Fact, NotForUs
from psp.reading import Expected, Reading, understand
from psp.strict_json import Fields, same_document


def read(body: bytes, expected: Expected) -> Reading:
    """NotForUs for every readable event; `expected` decides nothing, because the specification knows neither
    modes nor accounts.
    """
    return understand("standardwebhooks", body, _told)


def _told(event: Fields) -> Fact:
    event.text("type")
    return NotForUs("unhandled_type")


def same_event(first: bytes, second: bytes) -> bool:
    """Whether two bodies of one event id tell the same; the order of keys and white space tell nothing."""
    return same_document(first, second)
