"""Decides what an event means for a subscription that a PSP runs and we mirror: pure, no clock, no I/O.

A subscription's own versions decide its state; an invoice's decide the invoice. They meet in one rule,
`Subscription.state_with`: the payment of the latest invoice revives what waited for it.
"""

from __future__ import annotations

from msgspec.structs import asdict, replace

from billing.decision import (
    Alert,
    Decision,
    PspCall,
    Transition,
    parked,
    quarantined,
    superseded,
    unknown_currency,
)
from billing.facts import Cause, InvoiceReported, InvoiceValues, SubscriptionReported, SubscriptionValues
from billing.keys import invoice_key, payment_key, subscription_key
from billing.machine import Machine
from billing.ordering import Version, admit
from billing.subject import Book
from billing.subscription import CORRECTED, INVOICE, SUBSCRIPTION, Invoice, Subscription
from billing.units import is_currency

SUBSCRIPTION_WAIT_S = 3 * 86_400.0
"""How long an invoice waits for its subscription: Stripe itself sends an event again for three days."""
TIE_READ_S = 2.0
"""When the PSP is asked which version of a second is the latest: in a later second than that."""
DETAILS_CHANGED = "details_changed"
"""A later version in the same state."""
VERSION_NOTED = "version_noted"
"""A version of the same second that is not the latest; kept, because a third may build on it."""


def subscription_reported(fact: SubscriptionReported, book: Book, cause: Cause) -> Decision:
    """A version of a subscription: the latest one is its state."""
    known = _subscription(book, cause.source, fact.id)
    version = _version(fact, cause)
    versions = admit(known.versions if known is not None else (), version)
    if versions is None:
        assert known is not None
        return superseded("after_deletion" if known.deleted else "older_version")
    after = Subscription(
        cause.source, fact.id, version.state, versions, known.version + 1 if known is not None else 1
    )
    after = replace(after, status=after.state_with(_latest_invoice(after, book)))
    return Decision(
        "applied",
        subjects=(after,),
        transitions=(_subscription_transition(known, after),),
        wakes=(subscription_key(fact.id),) if known is None else (),
        alert=_alert(known, after),
        calls=_calls(known, after, "subscription"),
    )


def invoice_reported(fact: InvoiceReported, book: Book, cause: Cause, waited: bool) -> Decision:
    """A version of an invoice; its payment may revive its subscription."""
    subscription = _subscription(book, cause.source, fact.subscription_id)
    if subscription is None:
        if waited:
            return quarantined(
                "subscription_never_came", f"subscription {fact.subscription_id} is still unknown"
            )
        return parked("subscription_unknown", subscription_key(fact.subscription_id), SUBSCRIPTION_WAIT_S)
    known = _invoice(book, cause.source, fact.id)
    if known is None and not is_currency(fact.currency):
        return unknown_currency(fact.currency)
    if known is not None and (known.subscription_id, known.currency) != (fact.subscription_id, fact.currency):
        return quarantined(
            "contradicts_invoice", "subscription or currency differ from what is known of this invoice"
        )
    after = _invoice_after(known, fact, cause)
    if after is None:
        return superseded("older_version")
    transitions = [_invoice_transition(known, after)]
    subjects: list[Subscription | Invoice] = [after]
    if subscription.values.latest_invoice_id == after.id:
        status = subscription.state_with(after)
        if status != subscription.status:
            moved = replace(subscription, status=status, version=subscription.version + 1)
            subjects.append(moved)
            transitions.append(_subscription_transition(subscription, moved))
    return Decision(
        "applied",
        subjects=tuple(subjects),
        wakes=_wakes(known, after),
        transitions=tuple(transitions),
        alert=_alert(known, after),
        calls=_calls(known, after, "invoice"),
    )


def _wakes(before: Invoice | None, after: Invoice) -> tuple[str, ...]:
    """Refunds and disputes wait until the payment is known, and until it is known to have paid."""
    news = before is None or (before.payment_id, before.is_paid) != (after.payment_id, after.is_paid)
    return (payment_key(after.payment_id),) if news and after.payment_id is not None else ()


def _invoice_after(known: Invoice | None, fact: InvoiceReported, cause: Cause) -> Invoice | None:
    """The invoice once this version is known; None when it tells nothing new."""
    version = _version(fact, cause)
    if known is None:
        return Invoice(
            cause.source, fact.id, fact.subscription_id, fact.currency, fact.payment_id, (version,)
        )
    versions = admit(known.versions, version)
    # One payment pays an invoice. Should it ever name two, any order of arrival must still end with one.
    payment_id = max(filter(None, (known.payment_id, fact.payment_id)), default=None)
    if versions is None and payment_id == known.payment_id:
        return None
    return replace(
        known, versions=versions or known.versions, payment_id=payment_id, version=known.version + 1
    )


def _version(fact: SubscriptionReported | InvoiceReported, cause: Cause) -> Version:
    before: SubscriptionValues | InvoiceValues | None = fact.before
    return Version(
        cause.event_id,
        cause.psp_created,
        fact.kind,
        asdict(fact.values),
        None if before is None else asdict(before),
    )


def _subscription_transition(before: Subscription | None, after: Subscription) -> Transition:
    rule = _rule(SUBSCRIPTION, before, after)
    return Transition(
        "subscription",
        after.id,
        after.version,
        before.status if before is not None else None,
        after.status,
        rule,
        None,
        None,
    )


def _invoice_transition(before: Invoice | None, after: Invoice) -> Transition:
    return Transition(
        "subscription_invoice",
        after.id,
        after.version,
        before.status if before is not None else None,
        after.status,
        _rule(INVOICE, before, after),
        None if before is None else _money(before),
        _money(after),
    )


def _rule(machine: Machine, before: Subscription | Invoice | None, after: Subscription | Invoice) -> str:
    """The name under which the journal records what a version did: every change of state is walked here."""
    if before is None:
        return machine.rule(None, after.status) or CORRECTED
    if before.status == after.status:
        return VERSION_NOTED if before.values == after.values else DETAILS_CHANGED
    return machine.rule(before.status, after.status) or CORRECTED


def _money(invoice: Invoice) -> dict[str, int]:
    values = invoice.values
    return {"amount_due_minor": values.amount_due_minor, "amount_paid_minor": values.amount_paid_minor}


def _newly_ambiguous(before: Subscription | Invoice | None, after: Subscription | Invoice) -> bool:
    return after.order.ambiguous and not (before is not None and before.order.ambiguous)


def _calls(
    before: Subscription | Invoice | None, after: Subscription | Invoice, psp_object: str
) -> tuple[PspCall, ...]:
    """One look at the PSP for a tie that nothing else decides; what it shows is a version of a later
    second.
    """
    if not _newly_ambiguous(before, after):
        return ()
    key = f"read:{psp_object}:{after.id}:{after.versions[0].second}"
    return (PspCall("read_object", after.id, key, {"object": psp_object}, TIE_READ_S),)


def _alert(before: Subscription | Invoice | None, after: Subscription | Invoice) -> Alert | None:
    """Asks a person to look, once, where nothing that the PSP said tells which version is the latest."""
    if not _newly_ambiguous(before, after):
        return None
    return Alert(
        "ambiguous_order",
        f"{after.family}:{after.id}",
        f"{len(after.versions)} versions of second {after.versions[0].second}; taken as {after.status}",
    )


def _subscription(book: Book, source: str, subscription_id: str) -> Subscription | None:
    found = book.find(source, subscription_key(subscription_id))
    return next((subject for subject in found if isinstance(subject, Subscription)), None)


def _invoice(book: Book, source: str, invoice_id: str) -> Invoice | None:
    found = book.find(source, invoice_key(invoice_id))
    return next((subject for subject in found if isinstance(subject, Invoice)), None)


def _latest_invoice(subscription: Subscription, book: Book) -> Invoice | None:
    """The invoice that the latest version names, where it is known."""
    latest = subscription.values.latest_invoice_id
    invoice = _invoice(book, subscription.source, latest) if latest is not None else None
    return invoice if invoice is not None and invoice.subscription_id == subscription.id else None
