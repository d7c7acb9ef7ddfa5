"""What Stripe's subscription and invoice events mean in our words: pure, and never guesses a missing field.

Fields moved on 2025-03-31: the period from the subscription to its items, an invoice's subscription to
`parent`, its payment to `payments`. The place that is filled is read; where none is, the event is unusable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from billing.facts import (
    Fact,
    InvoiceReported,
    InvoiceValues,
    NotForUs,
    SubscriptionReported,
    SubscriptionValues,
)
from billing.ordering import CHANGED, CREATED, DELETED
from psp.strict_json import BadShapeError, Fields, UnknownValueError

SUBSCRIPTION_STATUS = {
    "incomplete": "pending_payment",
    "incomplete_expired": "expired",
    "trialing": "trialing",
    "active": "active",
    "past_due": "past_due",
    "unpaid": "suspended",
    "paused": "suspended",
    "canceled": "canceled",
}
INVOICE_STATUSES = ("draft", "open", "paid", "uncollectible", "void")

_KIND = {
    "customer.subscription.created": CREATED,
    "customer.subscription.deleted": DELETED,
    "invoice.created": CREATED,
    "invoice.deleted": DELETED,
}
_STATUS_OF_TYPE = {
    "invoice.paid": "paid",
    "invoice.payment_succeeded": "paid",
    "invoice.voided": "void",
    "invoice.marked_uncollectible": "uncollectible",
}
"""Types that say the status themselves; one that says another than its object is not to be believed."""

_Values = TypeVar("_Values", SubscriptionValues, InvoiceValues)


def subscription(data: Fields, event_type: str) -> Fact:
    """`customer.subscription.*`."""
    subject = data.object("object")
    kind = _KIND.get(event_type, CHANGED)
    values = _subscription_values(subject, deleted=kind == DELETED)
    before = _before(data, kind, values, lambda earlier: _subscription_values(earlier, deleted=False))
    return SubscriptionReported(subject.text("id"), kind, values, before)


def invoice(data: Fields, event_type: str) -> Fact:
    """`invoice.*` of invoices that belong to a subscription."""
    subject = data.object("object")
    kind = _KIND.get(event_type, CHANGED)
    subscription_id = _subscription_of(subject)
    if subscription_id is None:
        return NotForUs("not_a_subscription_invoice")
    status = "void" if kind == DELETED else _known_invoice_status(subject)
    if _STATUS_OF_TYPE.get(event_type, status) != status:
        raise BadShapeError("invoice.status", "contradicts the event's type")
    values = _invoice_values(subject, status)
    before = _before(
        data, kind, values, lambda earlier: _invoice_values(earlier, _known_invoice_status(earlier))
    )
    return InvoiceReported(
        subject.text("id"),
        kind,
        subscription_id,
        _payment_of(subject),
        subject.currency("currency"),
        values,
        before,
    )


def invoice_payment(_data: Fields, _event_type: str) -> Fact:
    """`invoice_payment.paid`: that the invoice is paid, its own events say with authority."""
    return NotForUs("told_by_its_invoice")


def _subscription_values(subject: Fields, *, deleted: bool) -> SubscriptionValues:
    status = SUBSCRIPTION_STATUS.get(subject.text("status"))
    if status is None:
        raise UnknownValueError("subscription.status", "unknown_subscription_status")
    if deleted and status != "expired":
        status = "canceled"
    items = subject.object("items").objects("data") if subject.raw("items") is not None else []
    return SubscriptionValues(
        status=status,
        customer_id=_required(subject, "customer"),
        account_id=_account(subject),
        price_id=_price(subject, items),
        cancel_at_period_end=subject.flag("cancel_at_period_end"),
        current_period_start=_period(subject, items, "current_period_start", min),
        current_period_end=_period(subject, items, "current_period_end", max),
        trial_end=subject.time_or_none("trial_end"),
        canceled_at=subject.time_or_none("canceled_at"),
        ended_at=subject.time_or_none("ended_at"),
        latest_invoice_id=subject.reference("latest_invoice"),
    )


def _invoice_values(subject: Fields, status: str) -> InvoiceValues:
    return InvoiceValues(
        status=status,
        amount_due_minor=subject.amount("amount_due"),
        amount_paid_minor=subject.amount("amount_paid"),
        attempt_count=subject.amount("attempt_count"),
        paid_at=subject.object("status_transitions").time("paid_at") if status == "paid" else None,
    )


def _known_invoice_status(subject: Fields) -> str:
    status = subject.text("status")
    if status not in INVOICE_STATUSES:
        raise UnknownValueError("invoice.status", "unknown_invoice_status")
    return status


def _account(subject: Fields) -> str | None:
    """The account that the metadata name, if they do; what is no id of one is refused, not dropped."""
    if subject.raw("metadata") is None:
        return None
    metadata = subject.object("metadata")
    account_id = metadata.text_or_none("accountId") or metadata.text_or_none("userId")
    if account_id is not None and account_id.startswith("system:"):
        raise BadShapeError("subscription.metadata", "names an account of the house")
    return account_id


def _price(subject: Fields, items: list[Fields]) -> str:
    """The price of the first item; before 2020 items, and before 2019 subscriptions, had a plan."""
    for owner in [*items[:1], subject]:
        for name in ("price", "plan"):
            found = owner.reference(name)
            if found is not None:
                return found
    raise BadShapeError("subscription.items", "hold no price")


def _period(subject: Fields, items: list[Fields], name: str, of_items: Callable[[list[int]], int]) -> int:
    """An end of the current period; of items with periods of their own, the span that covers all."""
    if subject.raw(name) is not None:
        return subject.time(name)
    if not items:
        raise BadShapeError(f"subscription.{name}", "is neither there nor in an item")
    return of_items([item.time(name) for item in items])


def _subscription_of(subject: Fields) -> str | None:
    if subject.raw("parent") is not None:
        parent = subject.object("parent")
        if parent.raw("subscription_details") is not None:
            return parent.object("subscription_details").reference("subscription")
    return subject.reference("subscription")


def _payment_of(subject: Fields) -> str | None:
    if subject.raw("payments") is not None:
        for paid in subject.object("payments").objects("data"):
            found = paid.object("payment").reference("payment_intent")
            if found is not None:
                return found
    return subject.reference("payment_intent")


def _required(subject: Fields, name: str) -> str:
    found = subject.reference(name)
    if found is None:
        raise BadShapeError(name, "is missing")
    return found


def _before(data: Fields, kind: str, values: _Values, read: Callable[[Fields], _Values]) -> _Values | None:
    """How the object looked before this event: itself with `previous_attributes` put back.

    An event that names no change was preceded by what it shows. What cannot be read is unknown: it only
    helps to order events, and decides nothing by itself.
    """
    if kind == CREATED:
        return None
    previous = data.raw("previous_attributes")
    if not isinstance(previous, dict):
        return values if kind == CHANGED else None
    try:
        return read(Fields(_overlaid(data.raw("object"), previous), "previous"))
    except BadShapeError:
        return None


def _overlaid(now: Any, then: Any) -> Any:
    """`now` with the parts that `then` names put back; lists of one length are put back item by item."""
    if isinstance(now, Mapping) and isinstance(then, Mapping):
        return {**now, **{name: _overlaid(now.get(name), value) for name, value in then.items()}}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return [_overlaid(one, other) for one, other in zip(now, then, strict=True)]
    return then


SUBSCRIPTION_MAPPINGS: dict[str, Callable[[Fields, str], Fact]] = {
    "customer.subscription.created": subscription,
    "customer.subscription.updated": subscription,
    "customer.subscription.deleted": subscription,
    "customer.subscription.paused": subscription,
    "customer.subscription.resumed": subscription,
    "customer.subscription.trial_will_end": subscription,
    "customer.subscription.pending_update_applied": subscription,
    "customer.subscription.pending_update_expired": subscription,
    "invoice.created": invoice,
    "invoice.updated": invoice,
    "invoice.finalized": invoice,
    "invoice.sent": invoice,
    "invoice.paid": invoice,
    "invoice.payment_succeeded": invoice,
    "invoice.payment_failed": invoice,
    "invoice.payment_action_required": invoice,
    "invoice.overdue": invoice,
    "invoice.voided": invoice,
    "invoice.marked_uncollectible": invoice,
    "invoice.deleted": invoice,
    "invoice_payment.paid": invoice_payment,
}
"""Mappings that take an event's whole `data`, because what came before is part of what they say."""
