"""What a Stripe event means in our words: pure, from bytes to one fact; never guesses a missing field.

Field places: https://docs.stripe.com/api, for API versions from 2019 on. An id may be a string or an expanded
object.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from billing.facts import (
    ChargeRefunded,
    DisputeReported,
    Fact,
    NotForUs,
    RefundReported,
    TopUpEnded,
    TopUpPaid,
    Unusable,
)
from billing.purchase_states import DISPUTE, REFUND
from psp.strict_json import BadJsonError, BadShapeError, Fields, read_object
from psp.stripe.mapping_subscriptions import SUBSCRIPTION_MAPPINGS

TOPUP_PURPOSE = "credits_topup"
_CREDITS = re.compile(r"[1-9][0-9]{0,11}")
"""A positive whole number of credits; twelve digits are more money than any PSP moves in one payment."""


def to_fact(body: bytes, mode: str | None) -> Fact:
    """The fact in an event body that came through an endpoint of `mode` (`live`, `test`, or None for
    both).
    """
    try:
        event = Fields(read_object(body), "")
        return _event(event, mode)
    except BadJsonError as error:
        return Unusable("bad_json", str(error))
    except BadShapeError as error:
        return Unusable("bad_schema", str(error))


def _event(event: Fields, mode: str | None) -> Fact:
    event.text("id")
    if event.raw("object") == "v2.core.event":
        return NotForUs("thin_event")
    event_type = event.text("type")
    live = event.raw("livemode")
    if mode is not None and isinstance(live, bool) and live != (mode == "live"):
        return Unusable("wrong_mode", f"a {'live' if live else 'test'} event came to the {mode} endpoint")
    mapping = _MAPPINGS.get(event_type)
    of_subscription = SUBSCRIPTION_MAPPINGS.get(event_type)
    if mapping is None and of_subscription is None:
        return NotForUs("unhandled_type")
    event.time("created")
    data = event.object("data")
    if of_subscription is not None:
        return of_subscription(data, event_type)
    assert mapping is not None
    return mapping(data.object("object"), event_type)


def _checkout_paid(session: Fields, _event_type: str) -> Fact:
    if session.raw("mode") != "payment":
        return NotForUs("not_a_payment_checkout")
    metadata = _metadata(session)
    if metadata is None or metadata.raw("purpose") != TOPUP_PURPOSE:
        return NotForUs("not_a_topup")
    status = session.text("payment_status")
    if status in ("unpaid", "no_payment_required"):
        return NotForUs("not_paid")
    if status != "paid":
        return Unusable("unknown_payment_status", "payment_status is none that we know")
    grant = _grant(metadata)
    if isinstance(grant, Unusable):
        return grant
    return TopUpPaid(
        session.text("id"),
        "checkout",
        session.reference("payment_intent"),
        *grant,
        session.amount("amount_total"),
        session.currency("currency"),
    )


def _checkout_ended(session: Fields, event_type: str) -> Fact:
    metadata = _metadata(session)
    if session.raw("mode") != "payment" or metadata is None or metadata.raw("purpose") != TOPUP_PURPOSE:
        return NotForUs("not_a_topup")
    return TopUpEnded(session.text("id"), "expired" if event_type == "checkout.session.expired" else "failed")


def _payment_succeeded(payment: Fields, _event_type: str) -> Fact:
    metadata = _metadata(payment)
    if metadata is None or metadata.raw("purpose") != TOPUP_PURPOSE:
        return NotForUs("not_a_topup")
    if metadata.raw("paymentMethod") != "off_session":
        return NotForUs("credited_by_checkout")
    grant = _grant(metadata)
    if isinstance(grant, Unusable):
        return grant
    payment_id = payment.text("id")
    return TopUpPaid(
        payment_id,
        "off_session",
        payment_id,
        *grant,
        payment.amount("amount_received"),
        payment.currency("currency"),
    )


def _refund(refund: Fields, event_type: str) -> Fact:
    return _refund_report(refund, "failed" if event_type == "refund.failed" else None) or NotForUs(
        "no_payment_intent"
    )


def _refund_report(refund: Fields, status: str | None = None) -> RefundReported | None:
    payment_id = refund.reference("payment_intent")
    if payment_id is None:
        return None  # of a charge without a payment intent: no checkout makes those
    status = status or refund.text("status")
    if status not in REFUND.states:
        raise BadShapeError("refund.status", "is none that we know")
    return RefundReported(
        refund.text("id"), payment_id, _positive(refund, "amount"), refund.currency("currency"), status
    )


def _charge_refunded(charge: Fields, _event_type: str) -> Fact:
    payment_id = charge.reference("payment_intent")
    if payment_id is None:
        return NotForUs("no_payment_intent")
    listed = charge.object("refunds").objects("data") if charge.raw("refunds") is not None else []
    reports = [_refund_report(refund) for refund in listed]
    return ChargeRefunded(
        payment_id,
        charge.amount("amount_refunded"),
        charge.currency("currency"),
        tuple(report for report in reports if report is not None),
    )


def _dispute(dispute: Fields, event_type: str) -> Fact:
    payment_id = dispute.reference("payment_intent")
    if payment_id is None:
        return NotForUs("no_payment_intent")
    status = dispute.text("status")
    if status not in DISPUTE.states:
        raise BadShapeError("dispute.status", "is none that we know")
    return DisputeReported(
        dispute.text("id"),
        payment_id,
        dispute.amount("amount"),
        dispute.currency("currency"),
        status,
        _FUNDS.get(event_type),
    )


def _metadata(owner: Fields) -> Fields | None:
    return owner.object("metadata") if owner.raw("metadata") is not None else None


def _grant(metadata: Fields) -> tuple[str, int] | Unusable:
    """Account and credits that a paid top-up names; Unusable when it names none that can be credited."""
    credits = metadata.raw("credits")
    text = str(credits) if type(credits) is int else credits
    if not isinstance(text, str) or _CREDITS.fullmatch(text) is None:
        return Unusable("bad_metadata", "metadata.credits is not a positive whole number")
    try:
        account_id = metadata.text("accountId")
    except BadShapeError as error:
        return Unusable("bad_metadata", str(error))
    if account_id.startswith("system:") or account_id != account_id.strip() or len(account_id.encode()) > 255:
        return Unusable("bad_metadata", "metadata.accountId is no account that can be credited")
    return account_id, int(text)


def _positive(fields: Fields, name: str) -> int:
    amount = fields.amount(name)
    if amount == 0:
        raise BadShapeError(f"refund.{name}", "is zero")
    return amount


_FUNDS = {
    "charge.dispute.funds_withdrawn": "withdrawn",
    "charge.dispute.funds_reinstated": "reinstated",
}

_MAPPINGS: dict[str, Callable[[Fields, str], Fact]] = {
    "checkout.session.completed": _checkout_paid,
    "checkout.session.async_payment_succeeded": _checkout_paid,
    "checkout.session.async_payment_failed": _checkout_ended,
    "checkout.session.expired": _checkout_ended,
    "payment_intent.succeeded": _payment_succeeded,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,
    "charge.refunded": _charge_refunded,
    "charge.dispute.created": _dispute,
    "charge.dispute.updated": _dispute,
    "charge.dispute.closed": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
}


def same_event(first: bytes, second: bytes) -> bool:
    """Whether two bodies of one event id tell the same; Stripe counts `pending_webhooks` down between
    deliveries.
    """
    try:
        documents = read_object(first), read_object(second)
    except (BadJsonError, BadShapeError):
        return first == second
    for document in documents:
        document.pop("pending_webhooks", None)
    return documents[0] == documents[1]
