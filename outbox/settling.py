"""Turns how calls to a PSP have ended into what one transaction writes about them: pure, no clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from db import events
from db.events import Delivery
from db.outbox import ClaimedEffect, Ending, Postponement
from psp.calls import Done, Outcome, ReadEvent, Refused, Transient, given_up, type_ended
from psp.envelope import Envelope
from psp.providers import RECEIVERS
from psp.sluice import commands
from runtime import limits

ENDPOINT = "outbox"
"""Stands in the log where a delivery names its endpoint."""
_HEARD_BY_CUSTOMERS = ("open_payment", "open_checkout")
"""Whoever waits for these hears of a refusal, and asks anew; no person has to look."""


@dataclass
class Settlement:
    """What one transaction writes about a batch of calls; each delivery and alert belongs to an effect."""

    actor: str
    endings: list[Ending] = field(default_factory=list)
    postponements: list[Postponement] = field(default_factory=list)
    deliveries: list[tuple[int, Delivery]] = field(default_factory=list)
    alerts: list[tuple[int, tuple[str, str, str | None]]] = field(default_factory=list)


def event_id(effect_id: int) -> str:
    """The id of the event that tells how a call has ended: the same, whoever comes to tell it."""
    return f"effect_{effect_id}"


def settle(ended: Sequence[tuple[ClaimedEffect, Outcome]], now: int, actor: str) -> Settlement:
    """What these outcomes ask to be written at `now` (unix seconds) in the name of `actor`."""
    settlement = Settlement(actor)
    for effect, outcome in ended:
        match outcome:
            case Done():
                made_id = None if outcome.opened is None else outcome.opened.id
                settlement.endings.append(Ending(effect.id, effect.attempts, "done", made_id=made_id))
                _tell(settlement, effect, outcome.ended, outcome.read, now)
            case Refused():
                _fail(settlement, effect, outcome, outcome.ended, now)
            case Transient() if effect.attempts >= limits.effect_attempts_max:
                _fail(settlement, effect, outcome, given_up(effect.source, effect.call), now)
            case Transient():
                settlement.postponements.append(
                    Postponement(effect.id, effect.attempts, outcome.error, delay_s(effect.attempts, outcome))
                )
    return settlement


def delay_s(attempts: int, outcome: Transient) -> float:
    """Seconds until the next try after `attempts` tries: doubling, capped, and never before the PSP allows
    it.
    """
    backoff_s = min(limits.effect_backoff_max_s, limits.effect_backoff_first_s * 2 ** (attempts - 1))
    return max(float(backoff_s), min(outcome.retry_after_s or 0.0, limits.effect_retry_after_max_s))


def _fail(
    settlement: Settlement,
    effect: ClaimedEffect,
    outcome: Refused | Transient,
    ended: type_ended | None,
    now: int,
) -> None:
    call = effect.call
    settlement.endings.append(Ending(effect.id, effect.attempts, "failed", outcome.error))
    if call.kind not in _HEARD_BY_CUSTOMERS or isinstance(outcome, Transient):
        alert = ("effect_failed", f"{effect.source}:{call.kind}:{call.object_id}", outcome.error)
        settlement.alerts.append((effect.id, alert))
    _tell(settlement, effect, ended, (), now)


def _tell(
    settlement: Settlement,
    effect: ClaimedEffect,
    ended: type_ended | None,
    read: Sequence[ReadEvent],
    now: int,
) -> None:
    receiver = RECEIVERS[effect.source.partition(":")[0]]
    told = [(effect.source, receiver.read_envelope(event.body), event.body) for event in read]
    if ended is not None:
        own_id = event_id(effect.id)
        body = commands.event_body(ended, own_id, now)
        envelope = Envelope(own_id, commands.event_type(ended), effect.call.object_id, now)
        told.append((commands.SOURCE, envelope, body))
    settlement.deliveries += [
        (
            effect.id,
            events.own_delivery(
                source, ENDPOINT, "reconciler", envelope, body, f"effect:{effect.id}", settlement.actor
            ),
        )
        for source, envelope, body in told
    ]
