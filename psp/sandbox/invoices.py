"""Bills subscriptions: invoices from draft to paid or void, and what their payment does to a subscription's
status; must never start or end a subscription.
"""

from __future__ import annotations

from . import payments
from .errors import missing, state
from .ids import random_text
from .objects_billing import invoice_payment
from .records import Invoice, PaymentIntent, Subscription
from .turn import Turn
from .versions import tells

_DESCRIPTIONS = {"subscription_create": "Subscription creation", "subscription_cycle": "Subscription update"}


def draft(turn: Turn, subscription: Subscription, amount: int, reason: str) -> Invoice:
    """A new draft for the subscription's current period, which becomes its latest invoice. The caller writes
    the subscription and tells of both.
    """
    customer_invoices = int(
        turn.store.rows("invoices_of_customer", customer=subscription.customer)[0]["invoices"]
    )
    invoice = Invoice(
        id=turn.mint.id("in"),
        created=turn.now_s,
        subscription=subscription.id,
        customer=subscription.customer,
        status="draft",
        billing_reason=reason,
        number=f"{random_text(8).upper()}-{customer_invoices + 1:04d}",
        amount_due=amount,
        currency=subscription.currency,
        subscription_metadata=subscription.metadata,
        period_start=subscription.current_period_start,
        period_end=subscription.current_period_end,
        payment=turn.mint.id("inpay"),
    )
    turn.store.insert(invoice)
    subscription.latest_invoice = invoice.id
    return invoice


def finalize(turn: Turn, invoice: Invoice) -> Invoice:
    """`POST /v1/invoices/{id}/finalize`: the draft opens with a payment; one over nothing is paid."""
    if invoice.status != "draft":
        raise state(f"This invoice is already finalized, it is {invoice.status}.", "invoice_not_editable")
    invoice.status, invoice.finalized_at = "open", turn.now_s
    if invoice.amount_due:
        intent = payments.new_intent(
            turn,
            amount=invoice.amount_due,
            currency=invoice.currency,
            metadata={},
            customer=invoice.customer,
            description=_DESCRIPTIONS[invoice.billing_reason],
        )
        invoice.payment_intent = intent.id
    turn.store.update(invoice)
    turn.emit("invoice.finalized", invoice)
    if not invoice.amount_due:
        _settle(turn, invoice)
    return invoice


def pay(turn: Turn, invoice: Invoice, payment_method: str | None) -> PaymentIntent:
    """Charges an open invoice, by default to the subscription's own method; its payment says how it went."""
    if invoice.status != "open":
        raise state(f"This invoice is {invoice.status}, not open.", "invoice_not_open")
    subscription = _subscription(turn, invoice)
    method = payment_method or subscription.default_payment_method
    if method is None:
        raise missing("payment_method")
    intent = turn.store.get(PaymentIntent, invoice.payment_intent or "")
    assert intent is not None, "an open invoice has a payment"
    payments.attempt(turn, intent, method)
    follow(turn, intent)
    return intent


def follow(turn: Turn, intent: PaymentIntent) -> None:
    """Books on its invoice how a payment has just gone, where it is one of an invoice."""
    invoice = of_payment(turn, intent)
    if invoice is None or invoice.status != "open":
        return
    if intent.status == "succeeded":
        _settle(turn, invoice)
        _subscription_is(turn, invoice, "active", among={"incomplete", "past_due", "unpaid"})
    elif intent.last_error is not None:
        before = turn.look(invoice)
        invoice.attempt_count += 1
        turn.store.update(invoice)
        turn.emit_change("invoice.updated", invoice, before)
        turn.emit("invoice.payment_failed", invoice)
        _subscription_is(turn, invoice, "past_due", among={"active"})


def void(turn: Turn, invoice: Invoice) -> Invoice:
    """`POST /v1/invoices/{id}/void`: nobody will pay an open invoice any more."""
    if invoice.status != "open":
        raise state(f"This invoice is {invoice.status}, not open.", "invoice_not_open")
    intent = turn.store.get(PaymentIntent, invoice.payment_intent or "")
    if intent is not None:
        payments.cancel_intent(turn, intent, "void_invoice")
    before = turn.look(invoice)
    invoice.status, invoice.voided_at = "void", turn.now_s
    turn.store.update(invoice)
    turn.emit_change("invoice.updated", invoice, before)
    turn.emit("invoice.voided", invoice)
    return invoice


def of_payment(turn: Turn, intent: PaymentIntent) -> Invoice | None:
    """The invoice that a payment is for, None for all others."""
    found = turn.store.many(Invoice, "invoice_of_payment", payment_intent=intent.id)
    return found[0] if found else None


def _settle(turn: Turn, invoice: Invoice) -> None:
    """The invoice is paid: the change, then one event for each name that Stripe has for it."""
    before = turn.look(invoice)
    invoice.status, invoice.amount_paid, invoice.paid_at = "paid", invoice.amount_due, turn.now_s
    invoice.attempt_count += invoice.payment_intent is not None
    turn.store.update(invoice)
    turn.emit_change("invoice.updated", invoice, before)
    turn.emit("invoice.paid", invoice)
    turn.emit("invoice.payment_succeeded", invoice)
    if invoice.payment_intent is not None and tells(turn.events_version, "invoice_payment.paid"):
        turn.tell("invoice_payment.paid", invoice_payment(invoice), None)


def _subscription_is(turn: Turn, invoice: Invoice, status: str, *, among: set[str]) -> None:
    """Moves the subscription there if this is its latest invoice and it stands among these."""
    subscription = _subscription(turn, invoice)
    if subscription.latest_invoice != invoice.id or subscription.status not in among:
        return
    before = turn.look(subscription)
    subscription.status = status
    turn.store.update(subscription)
    turn.emit_change("customer.subscription.updated", subscription, before)


def _subscription(turn: Turn, invoice: Invoice) -> Subscription:
    subscription = turn.store.get(Subscription, invoice.subscription)
    assert subscription is not None, "an invoice is one of a subscription"
    return subscription
