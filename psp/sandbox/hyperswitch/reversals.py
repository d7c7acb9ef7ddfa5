"""Sends money back: refunds and disputes; must never refund more than was captured.

Hyperswitch has no events of a dispute's funds: they are taken when it is lost, accepted or expired, and given
back when one that was lost is won.
"""

from __future__ import annotations

from psp.sandbox.ids import random_text

from .errors import HyperswitchError, invalid, unexpected
from .fields import Fields
from .records import Dispute, Payment, Refund
from .turn import Work, new_id

ANSWERS = ("succeeded", "pending", "review", "failed")
"""How the processor may answer a refund at once; it succeeds unless the control desk says otherwise."""
_REFUNDABLE = ("succeeded", "partially_captured")
TAKES = frozenset({"dispute_lost", "dispute_accepted", "dispute_expired"})
_BEFORE = {
    "dispute_challenged": ("dispute_opened",),
    "dispute_accepted": ("dispute_opened",),
    "dispute_expired": ("dispute_opened",),
    "dispute_cancelled": ("dispute_opened", "dispute_challenged"),
    "dispute_lost": ("dispute_opened", "dispute_challenged"),
    "dispute_won": ("dispute_opened", "dispute_challenged", "dispute_lost"),
}
"""What each status of a dispute may follow."""


def create_refund(work: Work, fields: Fields, answer: str) -> Refund:
    """`POST /refunds`: `amount`, or all that was captured. `answer` is one of ANSWERS."""
    fields.only("payment_id", "refund_id", "merchant_id", "amount", "reason", "refund_type", "metadata")
    payment_id, own_id = fields.required("payment_id"), fields.own_id("refund_id")
    amount, reason = fields.amount("amount"), fields.text("reason")
    fields.word("refund_type", ("instant", "scheduled"))
    metadata = fields.metadata()
    if fields.text("merchant_id") not in {None, work.merchant.id}:
        raise invalid("merchant_id", "is another merchant's")
    payment = work.shelf.the(Payment, payment_id)
    if own_id is not None and work.shelf.find(Refund, own_id) is not None:
        raise HyperswitchError(
            "HE_01", "Duplicate refund request. Refund already attempted with the refund ID"
        )
    if payment.status not in _REFUNDABLE:
        raise unexpected("refunded", "payment.status", payment.status, "succeeded, partially_captured")
    amount = payment.amount_captured if amount is None else amount
    if amount > payment.amount_captured - _under_way(work, payment):
        raise HyperswitchError("IR_13", "The refund amount exceeds the amount captured")
    refund = Refund(
        id=own_id or new_id("ref"),
        created_ms=work.now_ms,
        modified_ms=work.now_ms,
        payment_id=payment.id,
        amount=amount,
        currency=payment.currency,
        status="pending",
        metadata=metadata,
        reason=reason,
    )
    work.shelf.insert(refund)
    if answer != "pending":
        become(work, refund, answer)
    return refund


def _under_way(work: Work, payment: Payment) -> int:
    """What is refunded of a payment, or may yet be."""
    refunds = work.shelf.many(Refund, "hyperswitch_refunds_of", payment_id=payment.id)
    return sum(refund.amount for refund in refunds if refund.status != "failed")


def become(work: Work, refund: Refund, status: str) -> Refund:
    """The processor decides about an open refund: `succeeded`, `failed`, or `review` by a person."""
    if refund.status not in {"pending", "review"} or refund.status == status:
        raise HyperswitchError("IR_16", f"This refund is {refund.status} and cannot become {status}")
    refund.status = status
    if status == "failed":
        refund.error_code, refund.error_message = "refund_failed", "The bank has refused the refund."
    work.change(refund)
    if status == "succeeded":
        work.move("refund", refund.id, refund.amount, refund.currency)
    work.tell(refund)
    return refund


def open_dispute(work: Work, payment: Payment, amount: int | None, reason: str) -> Dispute:
    """A customer's bank asks for a captured amount, or a part of it, back."""
    if payment.amount_captured == 0:
        raise unexpected("disputed", "payment.status", payment.status, "succeeded, partially_captured")
    if amount is not None and amount > payment.amount_captured:
        raise invalid("amount", "is more than was captured")
    others = work.shelf.many(Dispute, "hyperswitch_disputes_of", payment_id=payment.id)
    if any(each.status not in {"dispute_won", "dispute_cancelled"} for each in others):
        raise invalid("payment_id", "is disputed already")
    dispute = Dispute(
        id=new_id("dp"),
        created_ms=work.now_ms,
        modified_ms=work.now_ms,
        payment_id=payment.id,
        amount=amount or payment.amount_captured,
        currency=payment.currency,
        status="dispute_opened",
        reason=reason,
        connector_dispute_id=f"du_{random_text(24)}",
    )
    work.shelf.insert(dispute)
    work.tell(dispute)
    return dispute


def move_dispute(work: Work, dispute: Dispute, status: str) -> Dispute:
    """The dispute goes on; money moves where it is decided."""
    before = dispute.status
    if before not in _BEFORE[status]:
        raise HyperswitchError("IR_16", f"This dispute is {before} and cannot become {status}")
    dispute.status = status
    work.change(dispute)
    if status in TAKES:
        work.move("dispute", dispute.id, dispute.amount, dispute.currency)
    elif before in TAKES:
        work.move("dispute_reversal", dispute.id, dispute.amount, dispute.currency)
    work.tell(dispute)
    return dispute
