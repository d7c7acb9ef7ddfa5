"""Starts, changes and ends subscriptions and lets their periods pass; must never take money by itself."""

from __future__ import annotations

from . import invoices, limits
from .errors import StripeError, invalid, missing, state, unknown
from .forms import Params
from .prices import period_end
from .records import Invoice, Price, Subscription
from .turn import Turn

trial_days_max = 730
"""Stripe's longest trial, two years."""
_BEHAVIORS = ("allow_incomplete", "default_incomplete", "error_if_incomplete")
_day_s = 86_400


def create(turn: Turn, params: Params) -> Subscription:
    """`POST /v1/subscriptions`: a trial, or a first invoice that is charged at once or, as
    `default_incomplete`, waits for the customer. `error_if_incomplete` leaves nothing of a declined one.
    """
    subscription, price = _agreed(turn, params)
    behavior = params.choice("payment_behavior", _BEHAVIORS) or "allow_incomplete"
    due = 0 if subscription.trial_end is not None else price.unit_amount * subscription.quantity
    waits = due > 0 and behavior == "default_incomplete"
    if due and not waits and subscription.default_payment_method is None:
        raise StripeError(
            "This customer has no attached payment source or default payment method.", code="resource_missing"
        )
    turn.store.insert(subscription)
    invoice = invoices.draft(turn, subscription, due, "subscription_create")
    subscription.status = (
        "trialing" if subscription.trial_end is not None else "incomplete" if due else "active"
    )
    turn.store.update(subscription)
    turn.emit("customer.subscription.created", subscription)
    turn.emit("invoice.created", invoice)
    invoices.finalize(turn, invoice)
    if due and not waits:
        intent = invoices.pay(turn, invoice, None)
        if behavior == "error_if_incomplete" and intent.last_error is not None:
            raise StripeError("Your card was declined.", status=402, kind="card_error", code="card_declined")
    return _again(turn, subscription)


def _agreed(turn: Turn, params: Params) -> tuple[Subscription, Price]:
    """What the parameters ask for, not yet in the books, with its price."""
    customer, lines = params.required("customer"), list(params.each("items"))
    if params.text("collection_method") not in {None, "charge_automatically"}:
        raise StripeError("The sandbox charges automatically only.", param="collection_method")
    if not lines:
        raise missing("items")
    if len(lines) > 1:
        raise invalid("items", "the sandbox sells one price per subscription")
    price_id, quantity = lines[0].required("price"), lines[0].integer("quantity")
    price = turn.store.get(Price, price_id)
    if price is None:
        raise unknown("price", price_id, lines[0].name("price"))
    if quantity is not None and not 1 <= quantity <= limits.quantity_max:
        raise invalid(lines[0].name("quantity"), f"must be between 1 and {limits.quantity_max}")
    if price.unit_amount * (quantity or 1) > limits.amount_minor_max:
        raise invalid("items", f"a period may cost {limits.amount_minor_max} at most")
    trial_days = params.integer("trial_period_days")
    if trial_days is not None and not 1 <= trial_days <= trial_days_max:
        raise invalid("trial_period_days", f"must be between 1 and {trial_days_max}")
    trial_end = None if trial_days is None else turn.now_s + trial_days * _day_s
    leaves = bool(params.flag("cancel_at_period_end", default=False))
    subscription = Subscription(
        id=turn.mint.id("sub"),
        created=turn.now_s,
        customer=customer,
        status="incomplete",
        item=turn.mint.id("si"),
        price=price.id,
        quantity=quantity or 1,
        currency=price.currency,
        metadata=params.metadata(),
        default_payment_method=params.text("default_payment_method"),
        current_period_start=turn.now_s,
        current_period_end=trial_end or period_end(turn.now_s, price.interval),
        trial_end=trial_end,
        cancel_at_period_end=leaves,
        canceled_at=turn.now_s if leaves else None,
    )
    return subscription, price


def update(turn: Turn, subscription: Subscription, params: Params) -> Subscription:
    """`POST /v1/subscriptions/{id}`: its metadata, its method, or whether it ends with the period."""
    if subscription.status in {"canceled", "incomplete_expired"}:
        raise state("A canceled subscription can only update its metadata.", "subscription_canceled")
    before = turn.look(subscription)
    subscription.metadata = params.metadata_onto(subscription.metadata)
    subscription.default_payment_method = (
        params.text("default_payment_method") or subscription.default_payment_method
    )
    leaves = params.flag("cancel_at_period_end")
    if leaves is not None and leaves != subscription.cancel_at_period_end:
        subscription.cancel_at_period_end = leaves
        subscription.canceled_at = turn.now_s if leaves else None
    turn.store.update(subscription)
    if turn.look(subscription) != before:
        turn.emit_change("customer.subscription.updated", subscription, before)
    return subscription


def cancel(turn: Turn, subscription: Subscription) -> Subscription:
    """`DELETE /v1/subscriptions/{id}`: at once; what an incomplete one asked for is void."""
    if subscription.status in {"canceled", "incomplete_expired"}:
        raise unknown("subscription", subscription.id)
    if subscription.status == "incomplete":
        _void_latest(turn, subscription)
    _end(turn, subscription)
    return subscription


def _end(turn: Turn, subscription: Subscription) -> None:
    subscription.status, subscription.ended_at = "canceled", turn.now_s
    subscription.canceled_at = subscription.canceled_at or turn.now_s
    turn.store.update(subscription)
    turn.emit("customer.subscription.deleted", subscription)


def advance(turn: Turn, subscription: Subscription, outcome: str) -> Subscription:
    """The period or the trial ends: the subscription too, if it was to, else the next period is billed.

    `outcome` of the new invoice: `succeed` or `fail` of its charge, or `draft` for one that waits, as
    Stripe lets it for an hour.
    """
    if subscription.status not in {"trialing", "active"}:
        raise state(f"A subscription that is {subscription.status} has no next period.", "no_next_period")
    if subscription.cancel_at_period_end:
        _end(turn, subscription)
        return subscription
    price = turn.store.get(Price, subscription.price)
    assert price is not None, "a subscription has a price"
    before = turn.look(subscription)
    subscription.status = "active"
    subscription.current_period_start = subscription.current_period_end
    subscription.current_period_end = period_end(subscription.current_period_start, price.interval)
    due = price.unit_amount * subscription.quantity
    invoice = invoices.draft(turn, subscription, due, "subscription_cycle")
    turn.store.update(subscription)
    turn.emit("invoice.created", invoice)
    turn.emit_change("customer.subscription.updated", subscription, before)
    if outcome != "draft":
        invoices.finalize(turn, invoice)
        if due:
            invoices.pay(turn, invoice, "pm_card_chargeDeclined" if outcome == "fail" else "pm_card_visa")
    return _again(turn, subscription)


def pay_latest(turn: Turn, subscription: Subscription, payment_method: str) -> Subscription:
    """The customer pays the latest invoice, or tries to."""
    invoices.pay(turn, latest_invoice(turn, subscription), payment_method)
    return _again(turn, subscription)


def give_up(turn: Turn, subscription: Subscription) -> Subscription:
    """Nobody tries to charge it any more: what was overdue is unpaid, what never began has expired."""
    ends = {"past_due": "unpaid", "incomplete": "incomplete_expired"}
    if subscription.status not in ends:
        raise state(f"A subscription that is {subscription.status} waits for no payment.", "nothing_awaited")
    before = turn.look(subscription)
    if subscription.status == "incomplete":
        _void_latest(turn, subscription)
        subscription.ended_at = turn.now_s
    subscription.status = ends[subscription.status]
    turn.store.update(subscription)
    turn.emit_change("customer.subscription.updated", subscription, before)
    return subscription


def trial_will_end(turn: Turn, subscription: Subscription) -> Subscription:
    """Three days before a trial ends Stripe says so."""
    if subscription.status != "trialing":
        raise state(f"A subscription that is {subscription.status} has no trial.", "no_trial")
    turn.emit("customer.subscription.trial_will_end", subscription)
    return subscription


def latest_invoice(turn: Turn, subscription: Subscription) -> Invoice:
    """The invoice of the current period."""
    invoice = turn.store.get(Invoice, subscription.latest_invoice or "")
    assert invoice is not None, "a subscription has an invoice from its beginning"
    return invoice


def _void_latest(turn: Turn, subscription: Subscription) -> None:
    invoice = latest_invoice(turn, subscription)
    if invoice.status == "open":
        invoices.void(turn, invoice)


def _again(turn: Turn, subscription: Subscription) -> Subscription:
    """The subscription as the books have it now: its invoice may have changed it."""
    found = turn.store.get(Subscription, subscription.id)
    assert found is not None, "a subscription stays in the books"
    return found
