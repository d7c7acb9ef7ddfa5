"""What a mapper is told and what it answers: values, and the one place where an unusable body becomes a fact.
Pure; never imported by the receiver, which knows no facts.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from billing.decision import Alert
from billing.facts import Fact, Unusable
from psp.shapes import Shape
from psp.strict_json import BadJsonError, BadShapeError, Fields, UnknownValueError, read_object


class Expected(Struct, frozen=True):
    """What the endpoint that took the event is for: `mode` (`live`, `test`) and the PSP's `account`; None
    where the settings do not say.
    """

    mode: str | None = None
    account: str | None = None


class Reading(Struct, frozen=True):
    """What an event says, and what a person should look at whatever becomes of it."""

    fact: Fact
    alerts: tuple[Alert, ...] = ()
    shape: Shape | None = None


def _nothing(_event: Fields) -> tuple[Alert, ...]:
    return ()


def _unwatched(_event: Fields) -> None:
    return None


def understand(
    provider: str,
    body: bytes,
    told: Callable[[Fields], Fact],
    noticed: Callable[[Fields], tuple[Alert, ...]] = _nothing,
    shaped: Callable[[Fields], Shape | None] = _unwatched,
) -> Reading:
    """The reading of `body` whose fact `told` finds; what cannot be read becomes Unusable. Never raises for
    what a body holds.

    `noticed` finds what is worth an alert in any readable body, `shaped` which watched fields it has. A word
    that we do not know is alarmed under its field, so that a thousand events with it raise one alert.
    """
    alerts: tuple[Alert, ...] = ()
    shape: Shape | None = None
    try:
        event = Fields(read_object(body), "")
        alerts, shape = noticed(event), shaped(event)
        return Reading(told(event), alerts, shape)
    except BadJsonError as error:
        return Reading(Unusable("bad_json", str(error)))
    except UnknownValueError as error:
        unknown = Alert("unknown_value", f"{provider}:{error.field}", str(error))
        return Reading(Unusable(error.reason, str(error)), (*alerts, unknown), shape)
    except BadShapeError as error:
        return Reading(Unusable(error.reason, str(error)), alerts, shape)
