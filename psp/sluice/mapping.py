"""Reads our own commands back from the log, as strictly as if a stranger had sent them; pure.

No receiver takes this source (see `psp.providers.OWN`): only our own processes append such events. An event
that this version does not understand completely is held back, not half applied.
"""

from __future__ import annotations

from collections.abc import Callable

from billing.commands import (
    CheckoutOpened,
    CheckoutRefused,
    CheckoutRequested,
    CreditsSpent,
    OrderPlaced,
    PaymentOpened,
    PaymentRefused,
    PlanSubscribed,
    RefundCallEnded,
    RefundRequested,
    ReversalEnded,
    SpendReversed,
)
from billing.decision import SYSTEM_PREFIX
from billing.facts import Fact
from billing.terms import OrderTerms, PlanTerms
from psp.reading import Expected, Reading, understand
from psp.strict_json import BadShapeError, Fields, UnknownValueError, same_document


def read(body: bytes, expected: Expected) -> Reading:
    """The command in an event body; `expected` decides nothing, because we are one account in one mode."""
    return understand("sluice", body, _event)


def _event(event: Fields) -> Fact:
    event.nothing_but("id", "type", "created", "data")
    event.text("id")
    event.time("created")
    mapping = _MAPPINGS.get(event.text("type"))
    if mapping is None:
        raise UnknownValueError("type")
    return mapping(event.object("data"))


def _order_placed(data: Fields) -> Fact:
    data.nothing_but("source", "payment_id", "terms")
    terms = data.object("terms")
    terms.nothing_but(
        "id", "buyer_id", "seller_id", "amount_minor", "currency", "seller_amount_minor", "licences"
    )
    amount, seller_amount = terms.amount("amount_minor"), terms.amount("seller_amount_minor")
    seller_id = None if terms.raw("seller_id") is None else _account(terms, "seller_id")
    if seller_amount > (0 if seller_id is None else amount):
        raise BadShapeError(terms.path("seller_amount_minor"), "is more than there is to give")
    order = OrderTerms(
        terms.text("id"),
        _account(terms, "buyer_id"),
        seller_id,
        amount,
        terms.currency("currency"),
        seller_amount,
        tuple(terms.texts("licences")),
    )
    return OrderPlaced(data.text("source"), data.text_or_none("payment_id"), order)


def _plan_subscribed(data: Fields) -> Fact:
    data.nothing_but("source", "payment_id", "terms")
    terms = data.object("terms")
    terms.nothing_but("id", "account_id", "plan_id", "amount_minor", "currency", "trial_ends_at")
    plan = PlanTerms(
        terms.text("id"),
        _account(terms, "account_id"),
        terms.text("plan_id"),
        terms.amount("amount_minor"),
        terms.currency("currency"),
        terms.time_or_none("trial_ends_at"),
    )
    return PlanSubscribed(data.text("source"), data.text_or_none("payment_id"), plan)


def _payment_opened(data: Fields) -> Fact:
    data.nothing_but("source", "claim", "payment_id")
    return PaymentOpened(data.text("source"), data.text("claim"), data.text("payment_id"))


def _payment_refused(data: Fields) -> Fact:
    data.nothing_but("source", "claim", "reason")
    return PaymentRefused(data.text("source"), data.text("claim"), data.text("reason"))


def _checkout_requested(data: Fields) -> Fact:
    data.nothing_but(
        "source", "checkout_id", "account_id", "credits", "amount_minor", "currency", "success_url"
    )
    return CheckoutRequested(
        data.text("source"), data.text("checkout_id"), *_bought(data), _address(data, "success_url")
    )


def _checkout_opened(data: Fields) -> Fact:
    data.nothing_but("source", "session_id", "account_id", "credits", "amount_minor", "currency")
    return CheckoutOpened(data.text("source"), data.text("session_id"), *_bought(data))


def _checkout_refused(data: Fields) -> Fact:
    data.nothing_but("source", "checkout_id", "reason")
    return CheckoutRefused(data.text("source"), data.text("checkout_id"), data.text("reason"))


def _bought(data: Fields) -> tuple[str, int, int, str]:
    """Account, credits, and what is to be paid for them."""
    bought = _some_credits(data)
    return _account(data, "account_id"), bought, data.amount("amount_minor"), data.currency("currency")


def _address(data: Fields, name: str) -> str:
    """A URL as our API has let it through: longer than other texts."""
    found = data.raw(name)
    if not isinstance(found, str) or not found.isascii() or not found.isprintable() or not found:
        raise BadShapeError(data.path(name), "is no URL")
    return found


def _some_credits(data: Fields) -> int:
    found = data.amount("credits")
    if found == 0:
        raise BadShapeError(data.path("credits"), "is zero")
    return found


def _credits_spent(data: Fields) -> Fact:
    return CreditsSpent(*_spend(data))


def _spend_reversed(data: Fields) -> Fact:
    return SpendReversed(*_spend(data))


def _spend(data: Fields) -> tuple[str, str, str, int, str | None]:
    data.nothing_but("source", "spend_id", "account_id", "credits", "reason")
    spent = _some_credits(data)
    account_id, reason = _account(data, "account_id"), data.text_or_none("reason")
    return data.text("source"), data.text("spend_id"), account_id, spent, reason


def _refund_requested(data: Fields) -> Fact:
    data.nothing_but("source", "order_id", "refund_id", "amount_minor")
    amount = data.amount_or_none("amount_minor")
    if amount == 0:
        raise BadShapeError(data.path("amount_minor"), "is zero")
    return RefundRequested(data.text("source"), data.text("order_id"), data.text("refund_id"), amount)


def _refund_accepted(data: Fields) -> Fact:
    data.nothing_but("source", "refund_id", "psp_refund_id")
    return RefundCallEnded(data.text("source"), data.text("refund_id"), data.text("psp_refund_id"))


def _refund_refused(data: Fields) -> Fact:
    data.nothing_but("source", "refund_id")
    return RefundCallEnded(data.text("source"), data.text("refund_id"), None)


def _transfer_reversed(data: Fields) -> Fact:
    return _reversal_ended(data, "reversed")


def _transfer_reversal_failed(data: Fields) -> Fact:
    return _reversal_ended(data, "permanently_failed")


def _reversal_ended(data: Fields, status: str) -> Fact:
    data.nothing_but("source", "transfer_id")
    return ReversalEnded(data.text("source"), data.text("transfer_id"), status)


def _account(fields: Fields, name: str) -> str:
    found = fields.text(name)
    if found.startswith(SYSTEM_PREFIX):
        raise BadShapeError(fields.path(name), "is an account of the house")
    return found


_MAPPINGS: dict[str, Callable[[Fields], Fact]] = {
    "order.placed": _order_placed,
    "plan.subscribed": _plan_subscribed,
    "payment.opened": _payment_opened,
    "payment.refused": _payment_refused,
    "checkout.requested": _checkout_requested,
    "checkout.opened": _checkout_opened,
    "checkout.refused": _checkout_refused,
    "credits.spent": _credits_spent,
    "spend.reversed": _spend_reversed,
    "refund.requested": _refund_requested,
    "refund.accepted": _refund_accepted,
    "refund.refused": _refund_refused,
    "transfer.reversed": _transfer_reversed,
    "transfer.reversal_failed": _transfer_reversal_failed,
}


def same_event(first: bytes, second: bytes) -> bool:
    """Whether two bodies of one event id tell the same."""
    return same_document(first, second)
