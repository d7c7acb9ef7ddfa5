"""Makes facts of mirrored subscriptions and invoices, and runs the worker's own deciding over all facts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from billing.facts import Fact, InvoiceReported, InvoiceValues, SubscriptionReported, SubscriptionValues
from billing.ordering import CHANGED, CREATED
from billing.subject import Subject
from billing.subscription import Invoice, Subscription
from db.events import ClaimedEvent
from db.subjects import Effect
from psp.reading import Reading
from runtime import clock
from workers.outcomes import Item, decide_batch

NOW = clock.now()
LOOKS = SubscriptionValues("pending_payment", "cus_1", "a", "price_1", False, 1, 31, None, None, None, "in_1")
"""A subscription sub_1 as it begins."""


def looks(status: str, base: SubscriptionValues = LOOKS, **changes: object) -> SubscriptionValues:
    """The subscription in another state."""
    return replace(base, status=status, **changes)


def sub(
    values: SubscriptionValues,
    before: SubscriptionValues | None = None,
    kind: str | None = None,
) -> SubscriptionReported:
    """A version of sub_1: created where nothing was before."""
    return SubscriptionReported("sub_1", kind or (CREATED if before is None else CHANGED), values, before)


def invoice(
    status: str,
    paid_at: int | None = None,
    *,
    kind: str = CHANGED,
    attempts: int = 0,
    payment_id: str | None = None,
    invoice_id: str = "in_1",
    before: InvoiceValues | None = None,
) -> InvoiceReported:
    """A version of in_1, which bills sub_1 for 2000 cents."""
    values = InvoiceValues(status, 2000, 2000 if status == "paid" else 0, attempts, paid_at)
    return InvoiceReported(invoice_id, kind, "sub_1", payment_id, "usd", values, before or values)


@dataclass
class End:
    """What a sequence of events ended in."""

    subscription: Subscription | None
    invoices: dict[str, Invoice]
    outcomes: list[tuple[str, str | None]]
    effects: list[Effect]
    alerts: list[tuple[str, str, str | None]]
    subjects: dict[tuple[str, str, str], Subject]
    waiting: dict[int, str]

    @property
    def status(self) -> str | None:
        """The state of sub_1; None when it is unknown."""
        return None if self.subscription is None else self.subscription.status

    @property
    def rules(self) -> list[str]:
        """The rules of the journal, in order."""
        return [effect.transition.rule for effect in self.effects if effect.transition is not None]

    @property
    def last_outcome(self) -> tuple[str, str | None]:
        """State and reason of the event that came last."""
        return self.outcomes[-1]


def happen(*events: tuple[int, Fact], order: Sequence[int] | None = None, splits: Sequence[int] = ()) -> End:
    """Decide events (PSP second, fact) in `order`, cut into batches at `splits`; what is woken by its
    key comes again.

    An event's id is its number, so a number that stands twice in `order` is a replay.
    """
    order = list(range(len(events))) if order is None else list(order)
    cuts = sorted({0, len(order), *[cut % (len(order) + 1) for cut in splits]})
    batches = [order[a:b] for a, b in itertools.pairwise(cuts)]
    subjects: dict[tuple[str, str, str], Subject] = {}
    waiting: dict[int, str] = {}
    end = End(None, {}, [], [], [], subjects, waiting)
    while batches:
        numbers = batches.pop(0)
        items = [Item(_claimed(number, events[number][0]), Reading(events[number][1])) for number in numbers]
        batch = decide_batch(items, list(subjects.values()))
        subjects |= batch.subjects
        marks = {mark.event_id: mark for mark in batch.marks}
        for number in numbers:
            mark = marks[f"evt_{number}"]
            end.outcomes.append((mark.state, mark.reason))
            if mark.awaits is not None:
                waiting[number] = mark.awaits
        end.effects += batch.effects
        end.alerts += batch.alerts
        woken = [number for number, key in waiting.items() if ("stripe", key) in batch.wakes]
        if woken:
            batches.insert(0, woken)
            for number in woken:
                del waiting[number]
    for subject in subjects.values():
        if isinstance(subject, Subscription):
            end.subscription = subject
        elif isinstance(subject, Invoice):
            end.invoices[subject.id] = subject
    return end


def _claimed(number: int, second: int) -> ClaimedEvent:
    return ClaimedEvent("stripe", f"evt_{number}", number, NOW, 1, second, None, "stripe", b"")
