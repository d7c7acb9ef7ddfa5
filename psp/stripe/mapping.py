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
    PaymentReported,
    RefundReported,
    TopUpEnded,
    TopUpPaid,
    TransferReported,
    Unusable,
)
from psp import metadata as own
from psp.reading import Expected, Reading, understand
from psp.strict_json import (
    BadJsonError,
    BadShapeError,
    Fields,
    UnknownValueError,
    read_object,
)
from psp.stripe import shapes, versions
from psp.stripe.mapping_subscriptions import SUBSCRIPTION_MAPPINGS

TOPUP_PURPOSE = "credits_topup"
REFUND_STATUSES = ("pending", "requires_action", "succeeded", "failed", "canceled")
DISPUTE_STATUSES = (
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "prevented",
    "won",
    "lost",
)
PAYMENT_STATUS = {
    "requires_payment_method": "pending",
    "requires_confirmation": "pending",
    "requires_action": "pending",
    "requires_source": "pending",  # two names until 2019-02-11
    "requires_source_action": "pending",
    "processing": "pending",
    "requires_capture": "pending",
    "succeeded": "succeeded",
    "canceled": "canceled",
}

_CREDITS = re.compile(r"[1-9][0-9]{0,11}")
"""A positive whole number of credits; twelve digits are more money than any PSP moves in one payment."""


def read(body: bytes, expected: Expected) -> Reading:
    """What an event body says that came through an endpoint for `expected`."""
    return understand("stripe", body, lambda event: _event(event, expected), versions.noticed, shapes.shaped)


def _event(event: Fields, expected: Expected) -> Fact:
    event.text("id")
    account = event.raw("account")
    if account is not None and account != expected.account:
        # A connected account's owner writes the metadata of its objects and receives its money: believed
        # here, a payment to themselves would give them our credits, orders and plans.
        return NotForUs("connected_account")
    event_type = event.text("type")
    if event.raw("object") == "v2.core.event":
        failure = event_type.startswith("v2.core.health.event_generation_failure")
        return NotForUs("generation_failure" if failure else "thin_event")
    live = event.raw("livemode")
    if expected.mode is not None and isinstance(live, bool) and live != (expected.mode == "live"):
        told = "live" if live else "test"
        return Unusable("wrong_mode", f"a {told} event came to the {expected.mode} endpoint")
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
    metadata = own.of(session)
    if metadata is None or metadata.raw("purpose") != TOPUP_PURPOSE:
        return NotForUs("not_a_topup")
    status = session.text("payment_status")
    if status in ("unpaid", "no_payment_required"):
        return NotForUs("not_paid")
    if status != "paid":
        raise UnknownValueError("checkout.session.payment_status", "unknown_payment_status")
    return TopUpPaid(
        session.text("id"),
        "checkout",
        session.reference("payment_intent"),
        own.account(metadata, "accountId"),
        _credits(metadata),
        session.amount("amount_total"),
        session.currency("currency"),
    )


def _checkout_ended(session: Fields, event_type: str) -> Fact:
    metadata = own.of(session)
    if session.raw("mode") != "payment" or metadata is None or metadata.raw("purpose") != TOPUP_PURPOSE:
        return NotForUs("not_a_topup")
    return TopUpEnded(session.text("id"), "expired" if event_type == "checkout.session.expired" else "failed")


def _payment(payment: Fields, event_type: str) -> Fact:
    """A payment of ours, by its metadata; one without may be an invoice's, which tells of it itself."""
    metadata = own.of(payment)
    if metadata is None or metadata.raw("purpose") not in own.PURPOSES:
        if event_type == "payment_intent.succeeded":
            return _off_session_top_up(payment, metadata)
        return NotForUs("unhandled_type")
    currency = payment.currency("currency")
    claim = own.claim(metadata, payment.amount("amount"), currency)
    status = _payment_status(payment, event_type)
    received = payment.amount if status == "succeeded" else payment.amount_or_none
    return PaymentReported(
        payment.text("id"), status, received("amount_received"), currency, claim.key, claim.terms
    )


def _payment_status(payment: Fields, event_type: str) -> str:
    """Failed only by the event's type: the payment itself then waits for another means of payment."""
    status = PAYMENT_STATUS.get(payment.text("status"))
    if status is None:
        raise UnknownValueError("payment_intent.status", "unknown_payment_status")
    if _STATUS_OF_TYPE.get(event_type, status) != status:
        raise BadShapeError("payment_intent.status", "contradicts the event's type")
    return "failed" if event_type == "payment_intent.payment_failed" else status


def _off_session_top_up(payment: Fields, metadata: Fields | None) -> Fact:
    if metadata is None or metadata.raw("purpose") != TOPUP_PURPOSE:
        return NotForUs("not_a_topup")
    if metadata.raw("paymentMethod") != "off_session":
        return NotForUs("credited_by_checkout")
    payment_id = payment.text("id")
    return TopUpPaid(
        payment_id,
        "off_session",
        payment_id,
        own.account(metadata, "accountId"),
        _credits(metadata),
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
    if status not in REFUND_STATUSES:
        raise UnknownValueError("refund.status")
    metadata = own.of(refund)
    return RefundReported(
        refund.text("id"),
        payment_id,
        _positive(refund, "amount"),
        refund.currency("currency"),
        status,
        metadata.text_or_none("refundId") if metadata is not None else None,
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
    if status not in DISPUTE_STATUSES:
        raise UnknownValueError("dispute.status")
    return DisputeReported(
        dispute.text("id"),
        payment_id,
        dispute.amount("amount"),
        dispute.currency("currency"),
        status,
        _FUNDS.get(event_type),
    )


def _transfer(transfer: Fields, _event_type: str) -> Fact:
    metadata = own.of(transfer)
    order_id = metadata.text_or_none("orderId") if metadata is not None else None
    group = transfer.text_or_none("transfer_group") if transfer.raw("transfer_group") != "" else None
    if order_id is None and group is not None and not group.startswith(_GROUP_OF_STRIPE):
        order_id = group
    destination = transfer.reference("destination")
    if destination is None:
        raise BadShapeError("transfer.destination", "is missing")
    amount, reversed_minor = transfer.amount("amount"), transfer.amount("amount_reversed")
    if reversed_minor > amount:
        raise BadShapeError("transfer.amount_reversed", "is more than was transferred")
    return TransferReported(
        transfer.text("id"), order_id, destination, amount, reversed_minor, transfer.currency("currency")
    )


def _credits(metadata: Fields) -> int:
    """The credits that a paid top-up names."""
    credits = metadata.raw("credits")
    text = str(credits) if type(credits) is int else credits
    if not isinstance(text, str) or _CREDITS.fullmatch(text) is None:
        raise own.bad(metadata, "credits", "is not a positive whole number")
    return int(text)


def _positive(fields: Fields, name: str) -> int:
    amount = fields.amount(name)
    if amount == 0:
        raise BadShapeError(f"refund.{name}", "is zero")
    return amount


_FUNDS = {
    "charge.dispute.funds_withdrawn": "withdrawn",
    "charge.dispute.funds_reinstated": "reinstated",
}

_GROUP_OF_STRIPE = "group_"
"""Stripe names a group itself where a transfer of a charge has none; that is no order of ours."""

_STATUS_OF_TYPE = {"payment_intent.succeeded": "succeeded", "payment_intent.canceled": "canceled"}
"""Types that say the status themselves; one that says another than its object is not to be believed."""

_MAPPINGS: dict[str, Callable[[Fields, str], Fact]] = {
    "checkout.session.completed": _checkout_paid,
    "checkout.session.async_payment_succeeded": _checkout_paid,
    "checkout.session.async_payment_failed": _checkout_ended,
    "checkout.session.expired": _checkout_ended,
    "payment_intent.created": _payment,
    "payment_intent.processing": _payment,
    "payment_intent.requires_action": _payment,
    "payment_intent.amount_capturable_updated": _payment,
    "payment_intent.partially_funded": _payment,
    "payment_intent.payment_failed": _payment,
    "payment_intent.canceled": _payment,
    "payment_intent.succeeded": _payment,
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
    "transfer.created": _transfer,
    "transfer.updated": _transfer,
    "transfer.reversed": _transfer,
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
