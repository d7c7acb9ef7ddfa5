"""Sends money back: refunds, disputes and their events; must never refund more than was captured."""

from __future__ import annotations

from . import limits
from .errors import StripeError, invalid, missing, state, unknown
from .forms import Params
from .records import Charge, Dispute, Movement, PaymentIntent, Refund
from .turn import Turn

REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
REFUND_FAILURES = ("expired_or_canceled_card", "lost_or_stolen_card", "unknown", "declined")
DISPUTE_REASONS = ("fraudulent", "general", "product_not_received", "duplicate", "subscription_canceled")


def charge_of(turn: Turn, params: Params) -> Charge:
    """The charge that parameters name by itself or by its payment; raises StripeError where there is none."""
    charge_id, intent_id = params.text("charge"), params.text("payment_intent")
    if charge_id is None and intent_id is None:
        raise missing("payment_intent")
    if charge_id is None and intent_id is not None:
        intent = turn.store.get(PaymentIntent, intent_id)
        if intent is None:
            raise unknown("payment_intent", intent_id, "payment_intent")
        charge_id = intent.latest_charge
    charge = turn.store.get(Charge, charge_id or "")
    if charge is None:
        raise unknown("charge", charge_id or "", "charge")
    return charge


def create_refund(turn: Turn, params: Params) -> Refund:
    """`POST /v1/refunds`: what is left, or `amount` of it. A card is refunded at once, a debit later."""
    charge = charge_of(turn, params)
    reason = params.choice("reason", REFUND_REASONS)
    amount = params.integer("amount")
    metadata = params.metadata()
    if amount is not None and amount <= 0:
        raise invalid("amount", "must be at least 1")
    if charge.status != "succeeded":
        raise state(f"Charge {charge.id} has not been paid.", "charge_not_refundable")
    if charge.disputed and not _refundable_while_disputed(turn, charge):
        raise state(f"Charge {charge.id} has been charged back; cannot issue a refund.", "charge_disputed")
    left = charge.amount - int(turn.store.rows("refunds_unfailed", charge=charge.id)[0]["total"])
    if left == 0:
        raise state(f"Charge {charge.id} has already been refunded.", "charge_already_refunded")
    if amount is not None and amount > left:
        raise StripeError(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
            executed=True,
        )
    refund = Refund(
        id=turn.mint.id("re"),
        created=turn.now_s,
        charge=charge.id,
        payment_intent=charge.payment_intent,
        amount=left if amount is None else amount,
        currency=charge.currency,
        status="pending",
        metadata=metadata,
        reason=reason,
    )
    turn.store.insert(refund)
    if charge.payment_method_type == "card":
        _pay_back(turn, refund, charge)
        turn.emit("refund.created", refund)
        _tell_refunded(turn, refund, charge)
        refund.reference_status = "available"
        turn.store.update(refund)
        _tell_updated(turn, refund, {"destination_details": {"card": {"reference_status": "pending"}}})
    else:
        turn.emit("refund.created", refund)
    return refund


def _refundable_while_disputed(turn: Turn, charge: Charge) -> bool:
    """An inquiry, and a dispute that was won, leave the charge refundable."""
    disputes = turn.store.many(
        Dispute,
        "list_dispute",
        charge=charge.id,
        payment_intent=None,
        created_min=0,
        created_max=2**62,
        seq_above=0,
        seq_below=2**62,
        rows=limits.list_rows_max,
    )
    return not any(dispute.funds_withdrawn and not dispute.funds_reinstated for dispute in disputes)


def _pay_back(turn: Turn, refund: Refund, charge: Charge) -> None:
    refund.status = "succeeded"
    turn.store.update(refund)
    turn.move("refund", refund.id, refund.amount, refund.currency)
    charge.amount_refunded += refund.amount
    turn.store.update(charge)


def _tell_refunded(turn: Turn, refund: Refund, charge: Charge) -> None:
    before: dict[str, object] = {"amount_refunded": charge.amount_refunded - refund.amount}
    if charge.amount_refunded == charge.amount:
        before["refunded"] = False
    turn.emit("charge.refunded", charge, before)


def _tell_updated(turn: Turn, refund: Refund, before: dict[str, object]) -> None:
    """One change, two events with ids of their own: the newer name and the older one."""
    turn.emit("refund.updated", refund, before)
    turn.emit("charge.refund.updated", refund, before)


def succeed_refund(turn: Turn, refund: Refund) -> Refund:
    """The bank pays a pending refund out."""
    charge = turn.store.get(Charge, refund.charge)
    if charge is None or refund.status != "pending":
        raise state(f"This refund is {refund.status}, not pending.", "refund_not_pending")
    _pay_back(turn, refund, charge)
    _tell_refunded(turn, refund, charge)
    _tell_updated(turn, refund, {"status": "pending"})
    return refund


def fail_refund(turn: Turn, refund: Refund, reason: str) -> Refund:
    """The bank sends a refund back, even one that had succeeded: the money is the merchant's again."""
    charge = turn.store.get(Charge, refund.charge)
    if charge is None or refund.status not in {"pending", "succeeded"}:
        raise state(f"This refund is {refund.status} and cannot fail.", "refund_not_failable")
    before = refund.status
    if before == "succeeded":
        turn.move("refund_failure", refund.id, refund.amount, refund.currency)
        charge.amount_refunded -= refund.amount
        turn.store.update(charge)
    refund.status, refund.failure_reason = "failed", reason
    turn.store.update(refund)
    turn.emit("refund.failed", refund, {"status": before})
    _tell_updated(turn, refund, {"status": before})
    return refund


def open_dispute(turn: Turn, charge: Charge, *, amount: int | None, reason: str, inquiry: bool) -> Dispute:
    """The bank takes the money back, or with `inquiry` only asks. Refunds do not shield a charge."""
    if charge.status != "succeeded":
        raise state(f"Charge {charge.id} has not been paid.", "charge_not_disputable")
    if charge.disputed:
        raise state(f"Charge {charge.id} is disputed already.", "charge_already_disputed")
    if amount is not None and not 0 < amount <= charge.amount:
        raise invalid("amount", "must be between 1 and the amount of the charge")
    dispute = Dispute(
        id=turn.mint.id("dp"),
        created=turn.now_s,
        charge=charge.id,
        payment_intent=charge.payment_intent,
        amount=charge.amount if amount is None else amount,
        currency=charge.currency,
        status="warning_needs_response" if inquiry else "needs_response",
        reason=reason,
    )
    turn.store.insert(dispute)
    charge.disputed = True
    turn.store.update(charge)
    turn.emit("charge.dispute.created", dispute)
    if not inquiry:
        dispute.funds_withdrawn = True
        turn.store.update(dispute)
        turn.move("dispute", dispute.id, dispute.amount, dispute.currency)
        turn.emit("charge.dispute.funds_withdrawn", dispute, {"balance_transactions": []})
    return dispute


def answer_dispute(turn: Turn, dispute: Dispute) -> Dispute:
    """The merchant hands evidence in."""
    answers = {"needs_response": "under_review", "warning_needs_response": "warning_under_review"}
    before = dispute.status
    if before not in answers:
        raise state(f"This dispute is {before} and takes no evidence.", "dispute_not_open")
    dispute.status, dispute.evidence_submitted = answers[before], True
    turn.store.update(dispute)
    turn.emit(
        "charge.dispute.updated",
        dispute,
        {"status": before, "evidence_details": {"has_evidence": False, "submission_count": 0}},
    )
    return dispute


def close_dispute(turn: Turn, dispute: Dispute, *, won: bool) -> Dispute:
    """The bank decides. A dispute that is won gives the money back; an inquiry just closes."""
    before = dispute.status
    if before in {"won", "lost", "warning_closed"}:
        raise state(f"This dispute is {before} already.", "dispute_closed")
    inquiry = before.startswith("warning")
    dispute.status = "warning_closed" if inquiry else "won" if won else "lost"
    turn.store.update(dispute)
    turn.emit("charge.dispute.closed", dispute, {"status": before})
    if won and dispute.funds_withdrawn:
        dispute.funds_reinstated = True
        turn.store.update(dispute)
        turn.move("dispute_reversal", dispute.id, dispute.amount, dispute.currency)
        turn.emit("charge.dispute.funds_reinstated", dispute, {"balance_transactions": []})
    return dispute


def take_again(turn: Turn, dispute: Dispute) -> Dispute:
    """The bank judges a dispute anew that the merchant had won: its money goes once more. Never within the
    second of the last movement, because its events would say nothing about their order.
    """
    if not dispute.funds_reinstated:
        raise state(f"This dispute is {dispute.status}; its money is not back.", "dispute_not_won")
    moved = turn.store.many(Movement, "list_movement", source=dispute.id)
    if turn.now_s <= moved[-1].created:
        raise state("The bank has given the money back within this second.", "dispute_just_won")
    before = dispute.status
    dispute.status, dispute.funds_reinstated = "lost", False
    turn.store.update(dispute)
    turn.move("dispute", dispute.id, dispute.amount, dispute.currency)
    turn.emit("charge.dispute.updated", dispute, {"status": before})
    turn.emit("charge.dispute.funds_withdrawn", dispute, {"balance_transactions": []})
    return dispute
