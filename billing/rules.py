"""Which rule decides which fact: the one table from what an event says to the machine that knows what it
means. Pure.
"""

from __future__ import annotations

from billing import credits, mirror, orders, payments, reversal
from billing.commands import (
    CheckoutOpened,
    CheckoutRefused,
    CheckoutRequested,
    Command,
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
from billing.decision import Decision, ignored, quarantined
from billing.facts import (
    Cause,
    ChargeRefunded,
    DisputeReported,
    Fact,
    InvoiceReported,
    NotForUs,
    PaymentReported,
    RefundReported,
    SubscriptionReported,
    TopUpEnded,
    TopUpPaid,
    TransferReported,
    Unusable,
)
from billing.subject import Book


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
            return reversal.reverse(fact, book, cause, waited)
        case SubscriptionReported():
            return mirror.subscription_reported(fact, book, cause)
        case InvoiceReported():
            return mirror.invoice_reported(fact, book, cause, waited)
        case PaymentReported():
            return payments.payment_reported(fact, book, cause, waited)
        case TransferReported():
            return orders.transfer_reported(fact, book, cause, waited)
        case _:
            return _command(fact, book, cause)


def _command(fact: Command, book: Book, cause: Cause) -> Decision:
    match fact:
        case OrderPlaced() | PlanSubscribed():
            return payments.placed(fact, book, cause)
        case PaymentOpened():
            return payments.payment_opened(fact, book, cause)
        case PaymentRefused():
            return payments.payment_refused(fact, book, cause)
        case CheckoutRequested():
            return credits.checkout_requested(fact, cause)
        case CheckoutOpened():
            return credits.checkout_opened(fact, book, cause)
        case CheckoutRefused():
            return ignored("checkout_refused")
        case CreditsSpent():
            return credits.spent(fact)
        case SpendReversed():
            return credits.spend_reversed(fact)
        case RefundRequested():
            return orders.refund_requested(fact, book, cause)
        case RefundCallEnded():
            return reversal.refund_call_ended(fact, book, cause)
        case ReversalEnded():
            return orders.reversal_ended(fact, book, cause)
