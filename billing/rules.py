"""Which rule decides which fact: the one table from what an event says to the machine that knows what it
means. Pure.
"""

from __future__ import annotations

from billing import credits, mirror
from billing.decision import Decision, ignored, quarantined
from billing.facts import (
    Cause,
    ChargeRefunded,
    DisputeReported,
    Fact,
    InvoiceReported,
    NotForUs,
    RefundReported,
    SubscriptionReported,
    TopUpEnded,
    TopUpPaid,
    Unusable,
    payment_key,
)
from billing.purchase import Purchase
from billing.subject import Book
from billing.subscription import Invoice


def decide(fact: Fact, book: Book, cause: Cause, waited: bool = False) -> Decision:
    """What `fact` means, given what the book knows. `waited`: it was parked and what it waited for never
    came.
    """
    match fact:
        case NotForUs():
            return ignored(fact.reason)
        case Unusable():
            return quarantined(fact.reason, fact.detail)
        case TopUpPaid():
            return credits.top_up_paid(fact, book, cause)
        case TopUpEnded():
            return credits.top_up_ended(fact, book, cause)
        case RefundReported() | DisputeReported() | ChargeRefunded():
            return _reverse(fact, book, cause, waited)
        case SubscriptionReported():
            return mirror.subscription_reported(fact, book, cause)
        case InvoiceReported():
            return mirror.invoice_reported(fact, book, cause, waited)


def _reverse(
    fact: RefundReported | DisputeReported | ChargeRefunded, book: Book, cause: Cause, waited: bool
) -> Decision:
    """Whatever the payment paid decides what its refund or dispute takes back."""
    for subject in book.find(cause.source, payment_key(fact.payment_id)):
        if isinstance(subject, Purchase):
            return credits.reverse(fact, subject, cause, waited)
        if isinstance(subject, Invoice):
            # The subscription's own events tell what that means for access; no balance of ours moves.
            return ignored("subscription_payment")
    return credits.payment_unknown(fact.payment_id, waited)
