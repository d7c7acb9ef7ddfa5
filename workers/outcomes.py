"""Turns a batch of facts into what must be written: pure. One event's failure is that event's outcome, nobody
else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.commands import Command
from billing.decision import SYSTEM_PREFIX, Decision
from billing.facts import Cause, Fact
from billing.purchase import Purchase
from billing.rules import decide
from billing.subject import Book, Subject
from db.events import ClaimedEvent, Mark, Note
from db.subjects import Effect
from psp.reading import Reading
from workers import retry

EXPIRED = "expired"
"""Reason of an event whose wait is over; see the query `expire_parked`."""


class Item:
    """A claimed event, the fact that was read from its body, and the event as the cause of what it does: a
    command of ours names the namespace of its object.
    """

    __slots__ = ("cause", "event", "fact", "reading")

    def __init__(self, event: ClaimedEvent, reading: Reading) -> None:
        self.event = event
        self.reading = reading
        self.fact: Fact = reading.fact
        source = self.fact.source if isinstance(self.fact, Command) else event.source
        self.cause = Cause(source, event.event_id, event.log_id, event.psp_created or 0)


@dataclass
class Batch:
    """All that one transaction writes."""

    marks: list[Mark] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    alerts: list[tuple[str, str, str | None]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    subjects: dict[tuple[str, str, str], Subject] = field(default_factory=dict)
    account_causes: dict[str, Cause] = field(default_factory=dict)
    wakes: list[tuple[str, str]] = field(default_factory=list)


def decide_batch(items: Sequence[Item], subjects: Sequence[Subject]) -> Batch:
    """Decide events in the order given; those that must wait are asked again when their batch brings what
    they need.
    """
    book = Book(subjects)
    batch = Batch()
    waiting = list(items)
    woken: set[tuple[str, str]] = set()
    while waiting:
        parked: list[tuple[Item, Decision]] = []
        news = False
        for item in waiting:
            decision = _decide_one(item, book, batch)
            if decision is None:
                continue
            if decision.state == "parked":
                parked.append((item, decision))
                continue
            _record(item, decision, book, batch)
            woken.update((item.cause.source, key) for key in decision.wakes)
            news = news or bool(decision.wakes)
        again = [
            item for item, decision in parked if news and (item.cause.source, decision.awaits or "") in woken
        ]
        for item, decision in parked:
            if item not in again:
                _record(item, decision, book, batch)
        waiting = again
    batch.wakes = sorted(woken)
    return batch


def _decide_one(item: Item, book: Book, batch: Batch) -> Decision | None:
    try:
        return decide(item.fact, book, item.cause, waited=item.event.reason == EXPIRED)
    except Exception as error:  # noqa: BLE001 - whatever a rule raises must not fail its neighbours
        batch_failure(item.event, type(error).__name__, batch)
        return None


def batch_failure(event: ClaimedEvent, error: str, batch: Batch) -> None:
    """Record that this event's work failed: tried again later, or quarantined after the last attempt."""
    if retry.is_last(event.attempts):
        quarantine(event, "attempts_exhausted", error, batch)
        return
    delay_s = retry.backoff_s(event.attempts)
    batch.marks.append(
        Mark(
            event.source,
            event.event_id,
            event.attempts,
            "pending",
            "failed",
            last_error=error,
            delay_s=delay_s,
        )
    )
    batch.notes.append(Note(event.source, event.event_id, "retried", event.log_id, detail=error))


def quarantine(event: ClaimedEvent, reason: str, detail: str | None, batch: Batch) -> None:
    """Record that a person must look at this event."""
    batch.marks.append(
        Mark(event.source, event.event_id, event.attempts, "quarantined", reason, last_error=detail)
    )
    batch.notes.append(
        Note(event.source, event.event_id, "quarantined", event.log_id, detail=f"{reason}: {detail}")
    )
    batch.alerts.append(("event_quarantined", f"{event.source}:{event.event_id}", reason))


def _record(item: Item, decision: Decision, book: Book, batch: Batch) -> None:
    event, cause = item.event, item.cause
    batch.alerts += [(alert.name, alert.subject, alert.detail) for alert in item.reading.alerts]
    if decision.state == "quarantined":
        quarantine(event, decision.reason or "quarantined", decision.detail, batch)
        return
    if decision.state == "parked":
        batch.notes.append(Note(event.source, event.event_id, "parked", event.log_id, detail=decision.awaits))
    batch.marks.append(
        Mark(
            event.source,
            event.event_id,
            event.attempts,
            decision.state,
            decision.reason,
            decision.detail,
            decision.awaits,
            decision.wait_s,
        )
    )
    if decision.alert is not None:
        alert = decision.alert
        batch.alerts.append((alert.name, f"{event.source}:{alert.subject}", alert.detail))
    for subject in decision.subjects:
        book.put(subject)
        batch.subjects[(subject.family, subject.source, subject.id)] = subject
        if isinstance(subject, Purchase):
            batch.account_causes.setdefault(subject.account_id, cause)
    for movement in decision.movements:
        for leg in movement.legs:
            if not leg.account_id.startswith(SYSTEM_PREFIX):  # the house's accounts are there since migration
                batch.account_causes.setdefault(leg.account_id, cause)
    batch.effects += [Effect(cause, transition) for transition in decision.transitions]
    batch.effects += [Effect(cause, None, movement) for movement in decision.movements]
    batch.effects += [Effect(cause, call=call) for call in decision.calls]
