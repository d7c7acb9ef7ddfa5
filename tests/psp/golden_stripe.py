"""Says in one sentence each what Stripe's real event bodies mean to us; must never copy a payload beyond its
ids and types.

`python -m tests.psp.golden_stripe` writes `golden_stripe.txt` anew; read its diff before you keep it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from psp.reading import Expected, Reading
from psp.stripe.mapping import read
from tests.support.payloads import stripe_payloads

GOLDEN = Path(__file__).with_name("golden_stripe.txt")


def sentence(fact: object, sent: frozenset[int] = frozenset()) -> str:
    """A fact in words: the name of its kind, then what it says. A number that the body holds is `as sent`."""
    assert isinstance(fact, Struct)
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(fact).__name__).capitalize()
    told = (
        f"{name.replace('_', ' ')} {_words(getattr(fact, name), sent)}" for name in fact.__struct_fields__
    )
    return f"{kind}: {', '.join(told)}"


def _words(value: object, sent: frozenset[int]) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return "[" + "; ".join(_words(part, sent) for part in value) + "]"
    if isinstance(value, Struct):
        return sentence(value, sent)
    if isinstance(value, int) and not isinstance(value, bool) and value in sent:
        return "as sent"
    return str(value)


def told(reading: Reading, sent: frozenset[int] = frozenset()) -> str:
    """What an event says and whom it alarms, in words."""
    alarmed = "".join(f" Alert {alert.name} for {alert.subject}." for alert in reading.alerts)
    return f"{sentence(reading.fact, sent)}.{alarmed}"


def numbers(value: object) -> Iterator[int]:
    """Every integer that stands somewhere in a decoded body."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value


def line(file: str, body: str) -> str:
    """One line of the golden file: file, event type, sentence."""
    event = json.loads(body)
    reading = read(body.encode(), Expected())
    return f"{file} ({event['type']}): {told(reading, frozenset(numbers(event['data']['object'])))}"


def text() -> str:
    """The golden file as it is now."""
    return "".join(f"{line(file, body)}\n" for file, body in stripe_payloads().items())


if __name__ == "__main__":
    GOLDEN.write_text(text(), encoding="utf-8")
