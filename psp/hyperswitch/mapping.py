"""What a Hyperswitch event means in our words: pure, from bytes to one fact; never classifies by the ids that
stray through a body.

`content.type` names the family; older, flat bodies have their type only. Names are matched after lower-casing
and `.` to `_`. Source: https://api-reference.hyperswitch.io and juspay/hyperswitch crates/api_models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from billing.facts import DisputeReported, Fact, NotForUs, PaymentReported, RefundReported, Unusable
from psp import metadata as own
from psp.hyperswitch.envelope import matched
from psp.reading import Expected, Reading, understand
from psp.shapes import Shape, Watch
from psp.strict_json import BadShapeError, Fields, UnknownValueError, same_document

PAYMENT_STATUS = {
    "succeeded": "succeeded",
    "partially_captured": "succeeded",
    "partially_captured_and_capturable": "succeeded",
    "partially_captured_and_processing": "succeeded",
    "failed": "failed",
    "cancelled": "canceled",
    "expired": "canceled",
    "cancelled_post_capture": "reversed",
    "processing": "pending",
    "requires_customer_action": "pending",
    "requires_merchant_action": "pending",
    "requires_payment_method": "pending",
    "requires_confirmation": "pending",
    "requires_capture": "pending",
    "partially_authorized_and_requires_capture": "pending",
}
"""Statuses of a payment. `conflicted` is left out on purpose: whether money moved, a person must find out."""

REFUND_STATUS = {
    "succeeded": "succeeded",
    "failed": "failed",
    "pending": "pending",
    "review": "pending",
    "processing": "pending",  # of older integrations
}

FUNDS_OF_DISPUTE = {
    "dispute_opened": None,
    "dispute_challenged": None,
    "dispute_expired": "withdrawn",
    "dispute_accepted": "withdrawn",
    "dispute_lost": "withdrawn",
    "dispute_cancelled": "reinstated",
    "dispute_won": "reinstated",
}
"""Hyperswitch has no events of funds, so its last word on a dispute is the word on its funds."""

_STATUS_OF_PAYMENT_TYPE = {
    **{f"payment_{status}": status for status in (*PAYMENT_STATUS, "conflicted")},
    "payment_authorized": "requires_capture",
    "payment_partially_authorized": "partially_authorized_and_requires_capture",
    "payment_captured": "succeeded",
    "action_required": "requires_customer_action",
}
_STATUS_OF_REFUND_TYPE = {f"refund_{status}": status for status in REFUND_STATUS}

_PAYMENT, _REFUND, _DISPUTE = "payment_details", "refund_details", "dispute_details"
_WATCHED = {
    _PAYMENT: Watch(amount_received="amount_received", currency="currency", metadata="metadata"),
    _REFUND: Watch(payment_id="payment_id", amount="amount", currency="currency", metadata="metadata"),
}
"""Fields that are taken for null where they are gone; a dispute has none such."""
_REASON_OF_FAMILY = {
    "mandate_details": "mandate",
    "payout_details": "payout",
    "subscription_details": "psp_subscription",
}
"""Families that move nothing of ours."""


def read(body: bytes, expected: Expected) -> Reading:
    """What an event body says that came through an endpoint for `expected`; no body tells a mode."""
    return understand("hyperswitch", body, lambda event: _event(event, expected), shaped=_shaped)


def _shaped(event: Fields) -> Shape | None:
    """What is watched stands in the wrapped object; flat bodies of older versions tell too little for it."""
    content = event.raw("content")
    if not isinstance(content, dict) or not isinstance(event_type := event.raw("event_type"), str):
        return None
    watch = _WATCHED.get(_family_of_type(event_type := matched(event_type)) or "")
    return None if watch is None else watch.shape(event_type, "", content.get("object"))


def _event(event: Fields, expected: Expected) -> Fact:
    event_type = matched(event.text("event_type"))
    content = event.object("content") if event.raw("content") is not None else None
    places = _places(event, content)
    if not _is_of_account(places, expected.account):
        return Unusable("wrong_account", "the event is another merchant's than the endpoint is for")
    told = content.text_or_none("type") if content is not None else None
    family = _family(event_type, None if told is None else matched(told))
    mapping = _MAPPINGS.get(family or "")
    if mapping is None:
        return NotForUs(_REASON_OF_FAMILY.get(family or "", "unhandled_type"))
    return mapping(places, event_type)


def _places(event: Fields, content: Fields | None) -> list[Fields]:
    """Where the fields of the event's object may stand, best first: there, in older bodies, or beside it."""
    owners = (owner for owner in (content, event) if owner is not None)
    return [*(owner.object("object") for owner in owners if owner.raw("object") is not None), event]


def _is_of_account(places: Iterable[Fields], account: str | None) -> bool:
    """Whether merchant or profile, where the body names any, is the one that the endpoint is for."""
    told = [place.raw(name) for place in places for name in ("merchant_id", "profile_id")]
    named = [value for value in told if value is not None]
    return account is None or not named or account in named


def _family(event_type: str, told: str | None) -> str | None:
    """The family that the content names or, in flat bodies without one, the type. None when neither does."""
    of_type = _family_of_type(event_type)
    if told in _MAPPINGS and of_type in _MAPPINGS and of_type != told:
        raise BadShapeError("content.type", "contradicts the event's type")
    if told is not None and told not in _MAPPINGS.keys() | _REASON_OF_FAMILY.keys() and of_type in _MAPPINGS:
        raise UnknownValueError("content.type")  # an event about money, in a shape that we have to learn
    return told if told is not None else of_type


def _family_of_type(event_type: str) -> str | None:
    if event_type in _STATUS_OF_PAYMENT_TYPE:
        return _PAYMENT
    if event_type in _STATUS_OF_REFUND_TYPE:
        return _REFUND
    if event_type in FUNDS_OF_DISPUTE:
        return _DISPUTE
    if event_type == "invoice_paid":
        return "subscription_details"
    family = f"{event_type.partition('_')[0]}_details"
    return family if family in _REASON_OF_FAMILY else None


def _payment(places: list[Fields], event_type: str) -> Fact:
    payment = places[0]
    word = payment.text_or_none("status") or _STATUS_OF_PAYMENT_TYPE.get(event_type)
    if word is None:
        return NotForUs("unhandled_type")
    status = PAYMENT_STATUS.get(word)
    if status is None:
        raise UnknownValueError("payment.status", "unknown_payment_status")
    amount, currency = payment.amount_or_none("amount"), _currency(payment)
    paid = payment.amount_or_none("amount_received")
    if paid is None and status == "succeeded":
        if word != "succeeded" and amount is not None:
            raise BadShapeError(payment.path("amount_received"), "is missing where only a part was captured")
        paid = amount
    if paid is not None and currency is None:
        raise BadShapeError(payment.path("currency"), "is missing beside an amount")
    metadata = own.of(payment)
    payment_id = _id(places, "payment_id")
    if metadata is None or metadata.raw("purpose") not in own.PURPOSES:
        return PaymentReported(payment_id, status, paid, currency)
    claim = own.claim(metadata, amount, currency)
    return PaymentReported(payment_id, status, paid, currency, claim.key, claim.terms)


def _refund(places: list[Fields], event_type: str) -> Fact:
    refund = places[0]
    word = refund.text_or_none("status") or _STATUS_OF_REFUND_TYPE.get(event_type)
    if word is None:
        return NotForUs("unhandled_type")
    status = REFUND_STATUS.get(word)
    if status is None:
        raise UnknownValueError("refund.status")
    amount, currency = refund.amount_or_none("amount"), _currency(refund)
    if amount == 0:
        raise BadShapeError(refund.path("amount"), "is zero")
    if amount is not None and currency is None:
        raise BadShapeError(refund.path("currency"), "is missing beside an amount")
    metadata = own.of(refund)
    own_id = metadata.text_or_none("refundId") if metadata is not None else None
    payment_id = _id_or_none(places, "payment_id")
    return RefundReported(_id(places, "refund_id"), payment_id, amount, currency, status, own_id)


def _dispute(places: list[Fields], event_type: str) -> Fact:
    dispute = places[0]
    status = dispute.text_or_none("dispute_status") or event_type
    if status not in FUNDS_OF_DISPUTE:
        raise UnknownValueError("dispute.dispute_status")
    return DisputeReported(
        _id(places, "dispute_id"),
        _id(places, "payment_id"),
        dispute.amount_of_text("amount"),
        dispute.currency("currency"),
        status,
        FUNDS_OF_DISPUTE[status],
    )


def _id(places: list[Fields], name: str) -> str:
    found = _id_or_none(places, name)
    if found is None:
        raise BadShapeError(places[0].path(name), "is missing")
    return found


def _id_or_none(places: list[Fields], name: str) -> str | None:
    return next((place.text(name) for place in places if place.raw(name) is not None), None)


def _currency(subject: Fields) -> str | None:
    return subject.currency("currency") if subject.raw("currency") is not None else None


_MAPPINGS: dict[str, Callable[[list[Fields], str], Fact]] = {
    _PAYMENT: _payment,
    _REFUND: _refund,
    _DISPUTE: _dispute,
}


def same_event(first: bytes, second: bytes) -> bool:
    """Whether two bodies of one event id tell the same: retries send the stored bytes, a proxy may not."""
    return same_document(first, second)
