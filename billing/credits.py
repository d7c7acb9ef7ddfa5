"""Decides what an event means for purchases of credits: pure, per event, no clock, no I/O.

Any order and any number of repetitions of a purchase's events ends in one state: statuses only move up a
ladder, and what is taken back is a function of the sums, not of the path.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from billing.decision import (
    Decision,
    Movement,
    Transition,
    ignored,
    move_credits,
    parked,
    quarantined,
    superseded,
)
from billing.facts import (
    Cause,
    ChargeRefunded,
    DisputeReported,
    RefundReported,
    TopUpEnded,
    TopUpPaid,
    checkout_key,
    payment_key,
    refunds_key,
)
from billing.purchase import Dispute, Purchase, Refund
from billing.purchase_states import CHECKOUT_SESSION, DISPUTE, REFUND, walk
from billing.subject import Book

PAYMENT_WAIT_S = 3 * 86_400.0
"""How long a refund or dispute waits for its payment: Stripe itself sends an event again for three days."""
REFUND_DETAILS_WAIT_S = 60.0
"""How long `charge.refunded` without its refunds waits for the `refund.*` events that are sent with it."""
FOREIGN_CURRENCY = "usd"
"""Purchases that our API did not make must be in this currency, one credit a cent (contract)."""


def top_up_paid(fact: TopUpPaid, book: Book, cause: Cause) -> Decision:
    """A purchase was paid: credit its account, once."""
    known = _purchase(book, cause.source, checkout_key(fact.id))
    if known is not None:
        if (known.account_id, known.credits) != (fact.account_id, fact.credits):
            return quarantined(
                "contradicts_purchase", "account or credits differ from what is known of this purchase"
            )
        if known.status == "paid":
            return superseded("already_credited")
        if (known.amount_minor, known.currency) != (fact.amount_minor, fact.currency):
            return quarantined(
                "amount_mismatch",
                f"asked for {known.amount_minor} {known.currency}, paid {fact.amount_minor} {fact.currency}",
            )
        paid = replace(known, status="paid", payment_id=fact.payment_id, version=known.version + 1)
        return _credit(paid, known.status)
    rival = (
        _purchase(book, cause.source, payment_key(fact.payment_id)) if fact.payment_id is not None else None
    )
    if rival is not None and rival.kind != fact.kind:
        return superseded("credited_by_checkout" if rival.kind == "checkout" else "credited_off_session")
    if fact.currency != FOREIGN_CURRENCY or fact.amount_minor < fact.credits:
        return quarantined(
            "amount_mismatch",
            f"{fact.credits} credits for {fact.amount_minor} {fact.currency} is not our price",
        )
    purchase = Purchase(
        cause.source,
        fact.id,
        fact.kind,
        fact.payment_id,
        fact.account_id,
        fact.credits,
        fact.amount_minor,
        fact.currency,
        status="paid",
    )
    return _credit(purchase, None, "off_session_paid" if fact.kind == "off_session" else None)


def _credit(purchase: Purchase, from_state: str | None, rule: str | None = None) -> Decision:
    transition = walk(
        CHECKOUT_SESSION,
        purchase.id,
        purchase.version,
        from_state,
        "paid",
        rule,
        money_after={"credits": purchase.credits, "amount_minor": purchase.amount_minor},
    )
    movement = move_credits("topup", purchase.id, purchase.account_id, purchase.credits)
    wakes = () if purchase.payment_id is None else (payment_key(purchase.payment_id),)
    return Decision(
        "applied", subjects=(purchase,), transitions=(transition,), movements=(movement,), wakes=wakes
    )


def top_up_ended(fact: TopUpEnded, book: Book, cause: Cause) -> Decision:
    """A purchase ended unpaid; a late payment still revives it."""
    known = _purchase(book, cause.source, checkout_key(fact.id))
    if known is None:
        return ignored("unknown_checkout")
    if not CHECKOUT_SESSION.rules(known.status, fact.status):
        return superseded("already_ended")
    ended = replace(known, status=fact.status, version=known.version + 1)
    transition = walk(CHECKOUT_SESSION, known.id, ended.version, known.status, ended.status)
    return Decision("applied", subjects=(ended,), transitions=(transition,))


def reverse(
    fact: RefundReported | DisputeReported | ChargeRefunded, purchase: Purchase, cause: Cause, waited: bool
) -> Decision:
    """A refund or dispute of a purchase's payment: take credits back, or give them back."""
    if purchase.status != "paid":
        return payment_unknown(fact.payment_id, waited)
    if fact.currency != purchase.currency:
        return quarantined("currency_mismatch", f"reversed in {fact.currency}, paid in {purchase.currency}")
    if isinstance(fact, DisputeReported):
        return _dispute(fact, purchase, cause)
    if isinstance(fact, RefundReported):
        return _refunds((fact,), purchase, waited)
    decision = _refunds(fact.refunds, purchase, waited)
    known_minor = sum(refund.amount_minor for refund in purchase.refunds.values())
    if fact.refunds or known_minor >= fact.amount_refunded_minor:
        return decision
    if waited:
        return quarantined(
            "refund_details_missing",
            f"{fact.amount_refunded_minor} {fact.currency} were refunded by refunds that nobody reported",
        )
    return parked("refund_details_missing", refunds_key(fact.payment_id), REFUND_DETAILS_WAIT_S)


def payment_unknown(payment_id: str, waited: bool) -> Decision:
    """Too early: wait for whatever this payment paid; after the wait it is a person's matter."""
    if waited:
        return quarantined("payment_never_came", f"payment {payment_id} is still unknown")
    return parked("payment_unknown", payment_key(payment_id), PAYMENT_WAIT_S)


def _refunds(reports: Iterable[RefundReported], purchase: Purchase, waited: bool) -> Decision:
    """Apply the reports that tell something new; each changed refund moves its own share under its own id."""
    transitions: list[Transition] = []
    movements: list[Movement] = []
    for report in reports:
        known = purchase.refunds.get(report.id)
        if not REFUND.rules(known.status if known else None, report.status):
            continue
        refund = Refund(
            report.id,
            report.payment_id,
            known.amount_minor if known else report.amount_minor,
            report.currency,
            report.status,
            known.version + 1 if known else 1,
        )
        after = replace(purchase, refunds={**purchase.refunds, refund.id: refund})
        if after.refunded_minor > after.amount_minor:
            # The PSP refuses this, so another refund must have failed, and its event is still on its way.
            if waited:
                return quarantined("refund_exceeds_payment", f"refunds of {purchase.id} exceed what was paid")
            return parked("refund_exceeds_payment", refunds_key(report.payment_id), PAYMENT_WAIT_S)
        step = walk(REFUND, refund.id, refund.version, known.status if known else None, refund.status)
        after, transition, moved = _settle(purchase, after, step, "refund")
        transitions.append(transition)
        movements += moved
        purchase = after
    if not transitions:
        return superseded("nothing_new")
    key = refunds_key(purchase.payment_id) if purchase.payment_id is not None else None
    return Decision(
        "applied",
        subjects=(purchase,),
        transitions=tuple(transitions),
        movements=tuple(movements),
        wakes=(key,) if key is not None else (),
    )


def _dispute(report: DisputeReported, purchase: Purchase, cause: Cause) -> Decision:
    known = purchase.disputes.get(report.id)
    if known is None:
        dispute = Dispute(
            report.id,
            report.payment_id,
            report.amount_minor,
            report.currency,
            report.status,
            cause.psp_created,
            report.funds == "withdrawn",
            report.funds == "reinstated",
        )
    else:
        status, status_at = max(
            (known.status, known.status_at),
            (report.status, cause.psp_created),
            key=lambda seen: (seen[1], DISPUTE.states.index(seen[0])),
        )
        dispute = replace(
            known,
            status=status,
            status_at=status_at,
            funds_withdrawn=known.funds_withdrawn or report.funds == "withdrawn",
            funds_reinstated=known.funds_reinstated or report.funds == "reinstated",
        )
        if dispute == known:
            return superseded("nothing_new")
        dispute = replace(dispute, version=known.version + 1)
    rule = f"funds_{report.funds}" if report.funds is not None else "dispute_reported"
    after, transition, movements = _settle(
        purchase,
        replace(purchase, disputes={**purchase.disputes, dispute.id: dispute}),
        walk(DISPUTE, dispute.id, dispute.version, known.status if known else None, dispute.status, rule),
        "dispute",
    )
    return Decision("applied", subjects=(after,), transitions=(transition,), movements=tuple(movements))


def _settle(
    before: Purchase, after: Purchase, transition: Transition, family: str
) -> tuple[Purchase, Transition, list[Movement]]:
    """Take or give back the difference that a changed refund or dispute makes."""
    due = after.credits_to_be_taken
    delta = due - before.credits_taken
    transition = replace(
        transition, money_before={"credits_taken": before.credits_taken}, money_after={"credits_taken": due}
    )
    if delta == 0:
        return after, transition, []
    movement = f"{family}_clawback" if delta > 0 else f"{family}_give_back"
    moved = [move_credits(movement, transition.object_id, after.account_id, -delta)]
    return replace(after, credits_taken=due), transition, moved


def _purchase(book: Book, source: str, key: str) -> Purchase | None:
    """The purchase that a key names; of several by one payment (never seen from a PSP) the first by id."""
    return next((found for found in book.find(source, key) if isinstance(found, Purchase)), None)
