"""Takes money: sessions, payments, charges and the events they cause; it must never send money back."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from . import limits
from .errors import StripeError, invalid, missing, state
from .forms import Params
from .ids import random_text
from .records import Charge, CheckoutSession, PaymentIntent
from .turn import Turn

METHODS = ("card", "us_bank_account")
"""What a customer can pay with: a card answers at once, a bank debit days later."""

_DECLINED_METHODS = {
    "pm_card_chargeDeclined": "card_declined",
    "pm_card_visa_chargeDeclined": "card_declined",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
}
"""Stripe's own test payment methods that are declined."""


def open_session(turn: Turn, params: Params) -> CheckoutSession:
    """`POST /v1/checkout/sessions`: an open session. No event tells of it, as at Stripe."""
    if params.required("mode") != "payment":
        raise StripeError("The sandbox sells in mode payment only.", param="mode")
    success_url = params.text("success_url")
    if success_url is None and params.text("ui_mode") in {None, "hosted", "hosted_page"}:
        raise missing("success_url")
    for name in ("success_url", "cancel_url"):
        url = params.text(name)
        if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
            raise StripeError("Not a valid URL", code="url_invalid", param=name)
    lines, currency = _lines(params)
    total = sum(line["unit_amount"] * line["quantity"] for line in lines)
    if not 0 < total <= limits.amount_minor_max:
        raise invalid("line_items", f"the total must be between 1 and {limits.amount_minor_max}")
    session = CheckoutSession(
        id=turn.mint.session(),
        created=turn.now_s,
        expires_at=turn.now_s + limits.session_open_s,
        status="open",
        payment_status="unpaid",
        amount_total=total,
        currency=currency,
        success_url=success_url,
        cancel_url=params.text("cancel_url"),
        client_reference_id=params.text("client_reference_id"),
        customer=params.text("customer"),
        customer_email=params.text("customer_email"),
        metadata=params.metadata(),
        intent_metadata=params.inner("payment_intent_data").metadata(),
        line_items=lines,
    )
    turn.store.insert(session)
    return session


def _lines(params: Params) -> tuple[list[dict[str, Any]], str]:
    """The line items as name, unit_amount and quantity, and their one currency."""
    lines: list[dict[str, Any]] = []
    currencies: set[str] = set()
    for item in params.each("line_items"):
        if item.text("price") is not None:
            raise StripeError("The sandbox keeps no prices; use price_data.", param=item.name("price"))
        price = item.inner("price_data")
        unit_amount = price.integer("unit_amount")
        if unit_amount is None:
            raise missing(price.name("unit_amount"))
        quantity = item.integer("quantity")
        if unit_amount < 0 or (quantity is not None and quantity < 1):
            raise invalid(item.path, "unit_amount cannot be negative, quantity must be at least 1")
        if price.inner("recurring").fields:
            raise StripeError("The sandbox sells once, not by subscription.", param=price.name("recurring"))
        currencies.add(price.currency("currency"))
        name = price.inner("product_data").required("name")
        lines.append(
            {"name": name, "unit_amount": unit_amount, "quantity": 1 if quantity is None else quantity}
        )
    if not lines:
        raise missing("line_items")
    if len(currencies) > 1:
        raise StripeError("All line items must have the same currency.", param="line_items")
    return lines, currencies.pop()


def expire_session(turn: Turn, session: CheckoutSession) -> CheckoutSession:
    """`POST /v1/checkout/sessions/{id}/expire`: an open session can no longer be paid."""
    if session.status != "open":
        raise state('Only Checkout Sessions with a status in ["open"] can be expired.', "session_not_open")
    session.status = "expired"
    turn.store.update(session)
    turn.emit("checkout.session.expired", session)
    return session


def pay_session(turn: Turn, session: CheckoutSession, method: str, *, declined: bool) -> CheckoutSession:
    """The customer pays. A declined card leaves the session open; a bank debit completes it unpaid."""
    if session.status != "open" or turn.now_s >= session.expires_at:
        raise state("This Checkout Session is no longer open.", "session_not_open")
    intent = turn.store.get(PaymentIntent, session.payment_intent) if session.payment_intent else None
    if intent is None:
        intent = new_intent(
            turn,
            amount=session.amount_total,
            currency=session.currency,
            metadata=session.intent_metadata,
            customer=session.customer,
            checkout_session=session.id,
        )
        session.payment_intent = intent.id
        turn.store.update(session)
    if method == "card":
        charge_now(turn, intent, "pm_card_chargeDeclined" if declined else "pm_card_visa")
    else:
        debit_later(turn, intent)
    if intent.status in {"succeeded", "processing"}:
        session.status = "complete"
        session.payment_status = "paid" if intent.status == "succeeded" else "unpaid"
        turn.store.update(session)
        turn.emit("checkout.session.completed", session)
    return session


def settle_session(turn: Turn, session: CheckoutSession, *, failed: bool) -> CheckoutSession:
    """The bank answers a debit: the completed session is paid, or will never be."""
    intent = turn.store.get(PaymentIntent, session.payment_intent) if session.payment_intent else None
    if intent is None or intent.status != "processing":
        raise state("Nothing of this Checkout Session is processing.", "session_not_processing")
    settle_debit(turn, intent, failed=failed)
    if failed:
        turn.emit("checkout.session.async_payment_failed", session)
    else:
        session.payment_status = "paid"
        turn.store.update(session)
        turn.emit("checkout.session.async_payment_succeeded", session)
    return session


def create_intent(turn: Turn, params: Params) -> PaymentIntent:
    """`POST /v1/payment_intents`; with `confirm=true` it is charged at once, off session or not.

    A declined card raises StripeError 402 and leaves the payment behind, as at Stripe.
    """
    if params.text("capture_method") not in {None, "automatic", "automatic_async"}:
        raise StripeError("The sandbox captures automatically only.", param="capture_method")
    confirm = params.flag("confirm", default=False)
    if params.flag("off_session") and not confirm:
        raise StripeError("`off_session` can only be set with `confirm=true`.", param="off_session")
    amount, currency = params.amount("amount"), params.currency("currency")
    metadata, payment_method = params.metadata(), params.text("payment_method")
    if confirm and payment_method is None:
        raise missing("payment_method")
    intent = new_intent(
        turn,
        amount=amount,
        currency=currency,
        metadata=metadata,
        customer=params.text("customer"),
        description=params.text("description"),
        payment_method=payment_method,
        transfer_group=params.text("transfer_group"),
    )
    if confirm:
        attempt(turn, intent, payment_method)
        raise_if_declined(turn, intent)
    return intent


def attempt(turn: Turn, intent: PaymentIntent, payment_method: str | None) -> None:
    """Charges a payment that waits for it; a decline leaves it waiting for another card."""
    if intent.status not in {"requires_payment_method", "requires_confirmation"}:
        raise state(
            f"You cannot confirm a payment that is {intent.status}.", "payment_intent_unexpected_state"
        )
    method = payment_method or intent.payment_method
    if method is None:
        raise missing("payment_method")
    charge_now(turn, intent, method)


def raise_if_declined(turn: Turn, intent: PaymentIntent) -> None:
    """Raises StripeError 402 where the card was declined; what was written is kept, as at Stripe."""
    if intent.last_error is None:
        return
    shown = turn.view.show(intent)
    error = shown["last_payment_error"]
    raise StripeError(
        error["message"],
        status=402,
        kind="card_error",
        code=error["code"],
        decline_code=error["decline_code"],
        executed=True,
        charge=intent.latest_charge,
        payment_intent=shown,
    )


def cancel_intent(turn: Turn, intent: PaymentIntent, reason: str | None) -> PaymentIntent:
    """Cancels a payment that has taken nothing."""
    if intent.status not in {"requires_payment_method", "requires_confirmation"}:
        raise state(
            f"You cannot cancel a payment that is {intent.status}.", "payment_intent_unexpected_state"
        )
    intent.status, intent.canceled_at, intent.cancellation_reason = "canceled", turn.now_s, reason
    turn.store.update(intent)
    turn.emit("payment_intent.canceled", intent)
    return intent


def new_intent(
    turn: Turn,
    *,
    amount: int,
    currency: str,
    metadata: dict[str, str],
    customer: str | None = None,
    checkout_session: str | None = None,
    description: str | None = None,
    payment_method: str | None = None,
    transfer_group: str | None = None,
) -> PaymentIntent:
    """A payment that has taken nothing yet."""
    intent_id = turn.mint.id("pi")
    intent = PaymentIntent(
        id=intent_id,
        created=turn.now_s,
        amount=amount,
        currency=currency,
        status="requires_payment_method" if payment_method is None else "requires_confirmation",
        metadata=metadata,
        client_secret=f"{intent_id}_secret_{random_text(25)}",
        checkout_session=checkout_session,
        customer=customer,
        description=description,
        payment_method=payment_method,
        transfer_group=transfer_group,
    )
    turn.store.insert(intent)
    turn.emit("payment_intent.created", intent)
    return intent


def charge_now(turn: Turn, intent: PaymentIntent, payment_method: str) -> None:
    """Charges a card, which answers at once: the payment succeeds, or waits for another card."""
    decline = _DECLINED_METHODS.get(payment_method)
    charge = _new_charge(
        turn,
        intent,
        payment_method,
        kind="card",
        status="failed" if decline else "succeeded",
        failure_code=decline,
    )
    intent.latest_charge, intent.last_error, intent.payment_method_type = charge.id, decline, "card"
    if decline:
        intent.status, intent.payment_method = "requires_payment_method", None
    else:
        intent.status, intent.payment_method = "succeeded", payment_method
        turn.move("charge", charge.id, charge.amount, charge.currency)
    turn.store.update(intent)
    turn.emit("charge.failed" if decline else "charge.succeeded", charge)
    turn.emit("payment_intent.payment_failed" if decline else "payment_intent.succeeded", intent)


def debit_later(turn: Turn, intent: PaymentIntent) -> None:
    """Asks a bank for the money; it answers later, through `settle_debit`."""
    method = f"pm_1{random_text(23)}"
    charge = _new_charge(turn, intent, method, kind="us_bank_account", status="pending")
    intent.status, intent.latest_charge, intent.last_error = "processing", charge.id, None
    intent.payment_method, intent.payment_method_type = method, "us_bank_account"
    turn.store.update(intent)
    turn.emit("charge.pending", charge)
    turn.emit("payment_intent.processing", intent)


def settle_debit(turn: Turn, intent: PaymentIntent, *, failed: bool) -> None:
    """The bank's answer to a debit."""
    charge = turn.store.get(Charge, intent.latest_charge or "")
    if charge is None:
        raise state("This payment has no charge.", "charge_missing")
    code = "payment_intent_payment_attempt_failed" if failed else None
    charge.status, charge.failure_code = ("failed", code) if failed else ("succeeded", None)
    intent.status, intent.last_error = ("requires_payment_method", code) if failed else ("succeeded", None)
    turn.store.update(charge)
    turn.store.update(intent)
    if not failed:
        turn.move("charge", charge.id, charge.amount, charge.currency)
    turn.emit("charge.failed" if failed else "charge.succeeded", charge)
    turn.emit("payment_intent.payment_failed" if failed else "payment_intent.succeeded", intent)


def _new_charge(
    turn: Turn,
    intent: PaymentIntent,
    payment_method: str,
    *,
    kind: str,
    status: str,
    failure_code: str | None = None,
) -> Charge:
    charge = Charge(
        id=turn.mint.id("ch"),
        created=turn.now_s,
        payment_intent=intent.id,
        amount=intent.amount,
        currency=intent.currency,
        status=status,
        metadata=intent.metadata,
        customer=intent.customer,
        payment_method=payment_method,
        payment_method_type=kind,
        failure_code=failure_code,
        transfer_group=intent.transfer_group,
    )
    turn.store.insert(charge)
    return charge
