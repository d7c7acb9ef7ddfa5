"""Takes money: payments from their creation to capture or cancellation; must never capture more than agreed.

What a card does is decided by its number, as with the dummy processor of Hyperswitch; what a customer does
later is decided at the control desk.
"""

from __future__ import annotations

from psp.sandbox.ids import random_text

from .errors import HyperswitchError, invalid, missing, not_with_status, unexpected
from .fields import Fields
from .records import Payment
from .turn import Work, new_id

OUTCOMES = ("succeed", "fail", "requires_action", "processing")
OUTCOME_OF_CARD = {
    "4242424242424242": "succeed",
    "4111111111111111": "succeed",
    "5555555555554444": "succeed",
    "4000000000000002": "fail",
    "4000003800000446": "requires_action",
}
"""The test cards, by their number; others are refused, so that nobody types a real one."""
_CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "failed")
"""A failed payment may be tried again under its id: the merchant allows manual retries."""
_OPEN = (*_CONFIRMABLE, "requires_customer_action", "processing")
_CANCELLABLE = (
    "requires_payment_method",
    "requires_confirmation",
    "requires_customer_action",
    "requires_capture",
)


def create(work: Work, fields: Fields) -> Payment:
    """`POST /payments`: one that waits for its customer, or with `confirm` is tried at once."""
    own_id = fields.own_id("payment_id")
    amount, currency = fields.amount("amount"), fields.currency("currency")
    if amount is None:
        raise missing("amount")
    if own_id is not None and work.shelf.find(Payment, own_id) is not None:
        raise HyperswitchError(
            "HE_01", "The payment with the specified payment_id already exists in our records"
        )
    card, confirm = _card(fields), fields.flag("confirm")
    if confirm and card is None:
        raise missing("payment_method_data")
    customer = fields.inner("customer")
    payment_id = own_id or new_id("pay")
    payment = Payment(
        id=payment_id,
        created_ms=work.now_ms,
        modified_ms=work.now_ms,
        amount=amount,
        currency=currency,
        status="requires_payment_method" if card is None else "requires_confirmation",
        capture_method=fields.word("capture_method", ("automatic", "manual")),
        client_secret=f"{payment_id}_secret_{random_text(20)}",
        customer_id=fields.text("customer_id") or (customer.text("id") if customer else None),
        description=fields.text("description"),
        return_url=fields.text("return_url", 2_048),
        merchant_order_reference_id=fields.text("merchant_order_reference_id"),
        metadata=fields.metadata(),
        card_last4=None if card is None else card[-4:],
    )
    work.shelf.insert(payment)
    if confirm and card is not None:
        attempt(work, payment, OUTCOME_OF_CARD[card])
    return payment


def confirm(work: Work, payment: Payment, fields: Fields) -> Payment:
    """`POST /payments/{id}/confirm`: the customer's card is tried, again where it has failed."""
    if payment.status not in _CONFIRMABLE:
        raise not_with_status("confirm", payment.status)
    card = _card(fields)
    if card is None:
        raise missing("payment_method_data")
    payment.card_last4 = card[-4:]
    attempt(work, payment, OUTCOME_OF_CARD[card])
    return payment


def customer_acts(work: Work, payment: Payment, outcome: str) -> Payment:
    """What happens outside the API: the customer pays, the bank answers."""
    if payment.status not in _OPEN:
        raise not_with_status("pay", payment.status)
    payment.card_last4 = payment.card_last4 or "4242"
    attempt(work, payment, outcome)
    return payment


def attempt(work: Work, payment: Payment, outcome: str) -> None:
    """One of OUTCOMES. An attempt that goes on, after an action or while it is processed, stays the same."""
    if payment.status not in {"requires_customer_action", "processing"}:
        payment.attempt_count += payment.connector_transaction_id is not None
        payment.connector_transaction_id = f"pi_{random_text(24)}"
    payment.error_code = payment.error_message = None
    match outcome:
        case "succeed" if payment.capture_method == "automatic":
            _settle(work, payment, payment.amount)
            return
        case "succeed":
            payment.status = "requires_capture"
        case "fail":
            payment.status = "failed"
            payment.error_code, payment.error_message = "card_declined", "Your card was declined."
        case "requires_action":
            payment.status = "requires_customer_action"
        case "processing":
            payment.status = "processing"
    work.change(payment)
    work.tell(payment)


def capture(work: Work, payment: Payment, fields: Fields) -> Payment:
    """`POST /payments/{id}/capture`: all that was authorised or, for good, a part of it."""
    if payment.status != "requires_capture":
        raise unexpected("captured", "payment.status", payment.status, "requires_capture")
    amount = fields.amount("amount_to_capture") or payment.amount
    if amount > payment.amount:
        raise invalid("amount_to_capture", "is greater than the amount that can be captured")
    _settle(work, payment, amount)
    return payment


def cancel(work: Work, payment: Payment, fields: Fields) -> Payment:
    """`POST /payments/{id}/cancel`."""
    reason = fields.text("cancellation_reason")
    if payment.status not in _CANCELLABLE:
        raise not_with_status("cancel", payment.status)
    payment.status, payment.cancellation_reason = "cancelled", reason
    work.change(payment)
    work.tell(payment)
    return payment


def expire(work: Work, payment: Payment) -> Payment:
    """The time to pay is over."""
    if payment.status not in _CANCELLABLE:
        raise not_with_status("expire", payment.status)
    payment.status = "expired"
    work.change(payment)
    work.tell(payment)
    return payment


def _settle(work: Work, payment: Payment, amount: int) -> None:
    payment.amount_captured = amount
    payment.status = "succeeded" if amount == payment.amount else "partially_captured"
    work.change(payment)
    work.move("capture", payment.id, amount, payment.currency)
    work.tell(payment)


def _card(fields: Fields) -> str | None:
    """The number of a test card, or None where there is no card at all."""
    data = fields.inner("payment_method_data")
    card = data.inner("card") if data is not None else None
    if card is None:
        return None
    number = card.required("card_number").replace(" ", "")
    if number not in OUTCOME_OF_CARD:
        raise invalid("card_number", "the sandbox takes test cards only")
    return number
