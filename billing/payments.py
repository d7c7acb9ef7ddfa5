"""Decides what a payment means for what it pays for: an order, or a subscription of ours. Pure.

What was agreed comes from our own command or from the payment's metadata, whichever is first; a payment only
climbs its ladder, so any order and any number of repetitions ends alike.
"""

from __future__ import annotations

from msgspec.structs import replace

from billing import orders
from billing.commands import OrderPlaced, PaymentOpened, PaymentRefused, PlanSubscribed
from billing.decision import (
    CUSTOMER_FIRST_S,
    Decision,
    PspCall,
    Transition,
    ignored,
    parked,
    quarantined,
    superseded,
    unknown_currency,
)
from billing.facts import Cause, PaymentReported
from billing.keys import payment_key
from billing.order import Order
from billing.order_states import PAID, PAYMENT_LADDER
from billing.plan import PlanSubscription
from billing.purchase_states import walk
from billing.subject import Book
from billing.subscription import INVOICE, SUBSCRIPTION
from billing.terms import OrderTerms, Terms
from billing.units import is_currency, shown

AGREEMENT_WAIT_S = 3 * 86_400.0
"""How long a payment waits for what it says that it pays for: as long as a PSP may deliver it again."""

_UNPAID = ("pending", "pending_payment")
"""States of what waits for its first payment."""

Payable = Order | PlanSubscription
"""What a payment can pay for by an agreement made before."""


def placed(fact: OrderPlaced | PlanSubscribed, book: Book, cause: Cause) -> Decision:
    """A customer has agreed to pay, and wants the payment opened, unless it is heard of already."""
    known = _find(book, cause.source, fact.keys)
    if known is None:
        if not is_currency(fact.terms.currency):
            return unknown_currency(fact.terms.currency)
        agreed = replace(_new(cause.source, fact.terms), payment_id=fact.payment_id)
        decision = _changed(None, agreed)
        if fact.payment_id is None and agreed.status in _UNPAID:
            return replace(decision, calls=(*decision.calls, _opening(fact.terms, cause)))
        return decision
    if known.terms != fact.terms:
        return quarantined("contradicts_terms", f"{fact.terms.key} is known under other terms")
    if fact.payment_id is None or not _is_news(fact.payment_id, "pending", known):
        return superseded("already_placed")
    return _changed(known, replace(known, payment_id=fact.payment_id))


def _opening(terms: Terms, cause: Cause) -> PspCall:
    return PspCall(
        "open_payment",
        terms.id,
        terms.id,
        {
            "claim": terms.key,
            "amount_minor": terms.amount_minor,
            "currency": terms.currency,
            "placed_at": cause.psp_created,
        },
        delay_s=CUSTOMER_FIRST_S,
    )


def payment_opened(fact: PaymentOpened, book: Book, cause: Cause) -> Decision:
    """The PSP has opened the payment of what was agreed, which is known by it from now on."""
    known = _find(book, cause.source, fact.keys)
    if known is None:
        return quarantined("unknown_agreement", f"{fact.claim} is not known")
    if not _is_news(fact.payment_id, "pending", known):
        return superseded("payment_known")
    return _changed(known, replace(known, payment_id=fact.payment_id))


def payment_refused(fact: PaymentRefused, book: Book, cause: Cause) -> Decision:
    """The PSP will open no payment: what was agreed has failed, unless a payment has moved meanwhile. Should
    one succeed after all, that revives it like any late success.
    """
    known = _find(book, cause.source, fact.keys)
    if known is None:
        return quarantined("unknown_agreement", f"{fact.claim} is not known")
    if known.payment_status != "pending":
        return superseded("payment_known")
    return _changed(known, replace(known, payment_status="failed"), "payment_refused")


def payment_reported(fact: PaymentReported, book: Book, cause: Cause, waited: bool) -> Decision:
    """A payment has moved: what it pays for follows."""
    known = _find(book, cause.source, fact.keys)
    if known is None and fact.terms is None:
        if fact.claim is None:
            return ignored("not_ours")
        if waited:
            return quarantined("agreement_never_came", f"{fact.claim} is still unknown")
        return parked("agreement_unknown", fact.claim, AGREEMENT_WAIT_S)
    if known is not None and fact.terms is not None and known.terms != fact.terms:
        return quarantined("contradicts_terms", f"{known.terms.key} is known under other terms")
    if known is not None and not _is_news(fact.id, fact.status, known):
        return superseded("nothing_new")
    if known is not None and known.is_paid and known.payment_id != fact.id:
        return quarantined("paid_twice", f"{known.terms.key} has been paid by another payment already")
    before = known
    if known is None:
        assert fact.terms is not None
        if not is_currency(fact.terms.currency):
            return unknown_currency(fact.terms.currency)
        known = _new(cause.source, fact.terms)
    paid = (fact.paid_minor, fact.currency)
    if fact.status == "succeeded" and None not in paid and paid != (known.amount_minor, known.currency):
        return quarantined(
            "amount_mismatch",
            f"asked for {shown(known.amount_minor, known.currency)}, "
            f"paid {shown(fact.paid_minor, fact.currency)}",
        )
    return _changed(before, replace(known, payment_id=fact.id, payment_status=fact.status))


def _is_news(payment_id: str, status: str, known: Payable) -> bool:
    """A payment climbs. Of several for one agreement the highest counts, of equals the last by id: so it is
    the same one whichever was heard of first. Another one that brings the money is always news.
    """
    if status in PAID and known.payment_id != payment_id:
        return True
    rank = PAYMENT_LADDER.index
    return (rank(status), payment_id) > (rank(known.payment_status), known.payment_id or "")


def _new(source: str, terms: Terms) -> Payable:
    if isinstance(terms, OrderTerms):
        return Order(source, terms, None, "pending", "pending")
    return PlanSubscription(source, terms, None, "pending")


def _changed(before: Payable | None, after: Payable, rule: str | None = None) -> Decision:
    if isinstance(after, Order):
        assert before is None or isinstance(before, Order)
        return orders.applied(orders.settle(before, after, rule=rule))
    assert before is None or isinstance(before, PlanSubscription)
    return _plan_changed(before, after, rule)


def _plan_changed(before: PlanSubscription | None, after: PlanSubscription, rule: str | None) -> Decision:
    """The subscription and the invoice of its payment move together, each with its own journal."""
    if before is None:
        return _billed(None, after, walk(SUBSCRIPTION, after.id, 1, None, after.status))
    after = replace(after, version=before.version + 1)
    if before.status == after.status:
        # It became known which payment will pay, or the payment says anew that it will not.
        same = (after.id, after.version, before.status, after.status, "payment_noted", None, None)
        step = Transition(SUBSCRIPTION.name, *same)
    else:
        step = walk(SUBSCRIPTION, after.id, after.version, before.status, after.status, rule)
    return _billed(before, after, step)


def _billed(before: PlanSubscription | None, after: PlanSubscription, step: Transition) -> Decision:
    """The subscription's own step, and that of its invoice where there is one and it has moved."""
    was, now = before.invoice_status if before is not None else None, after.invoice_status
    if now is None or now == was:
        return _plan_applied(after, (step,))
    after = replace(after, invoice_version=after.invoice_version + 1)
    billed = walk(INVOICE, after.id, after.invoice_version, was, now, money_after=_due(after))
    return _plan_applied(after, (step, billed))


def _due(subscription: PlanSubscription) -> dict[str, int]:
    return {"amount_due_minor": subscription.amount_minor}


def _plan_applied(after: PlanSubscription, steps: tuple[Transition, ...]) -> Decision:
    payment = () if after.payment_id is None else (payment_key(after.payment_id),)
    return Decision("applied", subjects=(after,), transitions=steps, wakes=(after.terms.key, *payment))


def _find(book: Book, source: str, keys: tuple[str, ...]) -> Payable | None:
    """What one of these keys names, the payment's own key first."""
    found = (
        subject
        for key in sorted(keys, key=lambda key: not key.startswith("payment:"))
        for subject in book.find(source, key)
        if isinstance(subject, Payable)
    )
    return next(found, None)
