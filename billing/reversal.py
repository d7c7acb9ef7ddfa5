"""What gives money back: refunds and disputes of a payment, whatever it paid for. Pure, no clock, no I/O.

Statuses only move up a ladder, and what is taken back is a function of the sums, not of the path: any order
and any number of repetitions ends in one state.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from billing import credits, orders
from billing.commands import RefundCallEnded
from billing.decision import Decision, PspCall, Settled, Transition, parked, quarantined, superseded
from billing.facts import Cause, ChargeRefunded, DisputeReported, RefundReported
from billing.keys import payment_key, refund_key, refunds_key
from billing.order import Order
from billing.plan import PlanSubscription
from billing.purchase import Purchase
from billing.purchase_states import DISPUTE, REFUND, walk
from billing.refunds import Dispute, Refund, refund_keys, refunded_minor
from billing.subject import Book
from billing.subscription import Invoice
from billing.units import shown

PAYMENT_WAIT_S = 3 * 86_400.0
"""How long a refund or dispute waits for its payment: Stripe itself sends an event again for three days."""
REFUND_DETAILS_WAIT_S = 600.0
"""How long `charge.refunded` without its refunds waits for them."""
REFUND_DETAILS_READ_S = 30.0
"""When the PSP is asked for them: the `refund.*` events that are sent with it have had their time."""
_ENDED = frozenset({"failed", "canceled"})
"""A refund of ours that the PSP has never named is in these only because our call was refused."""

Owner = Purchase | Order | PlanSubscription | Invoice
"""What a payment can have paid for."""


def reverse(
    fact: RefundReported | DisputeReported | ChargeRefunded, book: Book, cause: Cause, waited: bool
) -> Decision:
    """A refund or dispute: whatever the payment paid for decides what it takes back."""
    owner = _owner(fact, book, cause)
    if owner is None or not owner.is_paid:
        return _too_early(fact, waited)
    if isinstance(fact, DisputeReported):
        if fact.currency != owner.currency:
            return _currency_mismatch(fact.currency, owner)
        return _dispute(fact, owner, cause)
    if isinstance(fact, RefundReported):
        return _refunds((fact,), owner, waited)
    if fact.currency != owner.currency:
        return _currency_mismatch(fact.currency, owner)
    decision = _refunds(fact.refunds, owner, waited)
    known_minor = sum(refund.amount_minor for refund in owner.refunds.values())
    if fact.refunds or known_minor >= fact.amount_refunded_minor:
        return decision
    if waited:
        return quarantined(
            "refund_details_missing",
            f"refunds of {shown(fact.amount_refunded_minor, fact.currency)} that nobody reported",
        )
    read = PspCall(
        "read_refunds",
        fact.payment_id,
        f"refunds:{fact.payment_id}:{fact.amount_refunded_minor}",
        delay_s=REFUND_DETAILS_READ_S,
    )
    waiting = parked("refund_details_missing", refunds_key(fact.payment_id), REFUND_DETAILS_WAIT_S)
    return replace(waiting, calls=(read,))


def refund_call_ended(fact: RefundCallEnded, book: Book, cause: Cause) -> Decision:
    """The PSP has taken our refund on, or has refused it; that money moved, only its own events say."""
    owner = _owners(book, cause.source, refund_key(fact.refund_id))
    if owner is None:
        return quarantined("unknown_refund", "no refund of ours has this id")
    refund = owner.refunds[fact.refund_id]
    refused = fact.psp_refund_id is None
    if refused and (refund.status != "pending" or refund.psp_id is not None):
        return superseded("nothing_new")
    report = RefundReported(
        fact.psp_refund_id or fact.refund_id,
        refund.payment_id,
        refund.amount_minor,
        refund.currency,
        "failed" if refused else refund.status,
        fact.refund_id,
    )
    return _refunds((report,), owner, waited=False)


def _owner(fact: RefundReported | DisputeReported | ChargeRefunded, book: Book, cause: Cause) -> Owner | None:
    if fact.payment_id is not None:
        return _owners(book, cause.source, payment_key(fact.payment_id))
    return _owners(book, cause.source, fact.keys[0])


def _owners(book: Book, source: str, key: str) -> Owner | None:
    """What this key names; of several (never seen from a PSP) the first that is paid, else the first."""
    found = [subject for subject in book.find(source, key) if isinstance(subject, Owner)]
    return next((owner for owner in found if owner.is_paid), found[0] if found else None)


def _too_early(fact: RefundReported | DisputeReported | ChargeRefunded, waited: bool) -> Decision:
    """Waits for whatever this payment paid; after the wait it is a person's matter."""
    if fact.payment_id is None:
        if waited:
            return quarantined("refund_never_came", f"refund {fact.keys[0]} is still unknown")
        return parked("refund_unknown", fact.keys[0], PAYMENT_WAIT_S)
    if waited:
        return quarantined("payment_never_came", f"payment {fact.payment_id} is still unknown")
    return parked("payment_unknown", payment_key(fact.payment_id), PAYMENT_WAIT_S)


def _currency_mismatch(currency: str, owner: Owner) -> Decision:
    return quarantined("currency_mismatch", f"reversed in {currency}, paid in {owner.currency}")


def _refunds(reports: Iterable[RefundReported], owner: Owner, waited: bool) -> Decision:
    """Apply the reports that tell something new; each changed refund moves its own share under its own id."""
    settled: list[Settled[Owner]] = []
    for report in reports:
        if report.currency not in (None, owner.currency):
            return _currency_mismatch(report.currency or "", owner)
        known = _known_refund(owner, report)
        if known is None and report.amount_minor is None:
            return _too_early(replace(report, payment_id=None), waited)
        if known is not None and known.id != report.id and known.psp_id is None and known.status in _ENDED:
            if report.status in _ENDED:
                continue
            return quarantined(
                "contradicts_refusal", f"refund {known.id} was refused, and is {report.status}"
            )
        refund = _refund_after(known, report, owner)
        if refund is None:
            continue
        after = replace(owner, refunds={**owner.refunds, refund.id: refund})
        if refunded_minor(after.refunds) > after.amount_minor:
            # The PSP refuses this, so another refund must have failed, and its event is still on its way.
            if waited:
                return quarantined("refund_exceeds_payment", f"refunds of {owner.id} exceed what was paid")
            return parked("refund_exceeds_payment", refunds_key(refund.payment_id), PAYMENT_WAIT_S)
        step = walk(REFUND, refund.id, refund.version, known.status if known else None, refund.status)
        settled.append(_settle(owner, after, step, "refund"))
        owner = settled[-1].subject
    return _applied(settled) if settled else superseded("nothing_new")


def _known_refund(owner: Owner, report: RefundReported) -> Refund | None:
    """The refund by the PSP's id, or else one of ours that the PSP has yet to name.

    Our id alone is no name: metadata are copied from one refund to the next, and two are never one.
    """
    for refund in owner.refunds.values():
        if report.id in (refund.id, refund.psp_id):
            return refund
    ours = owner.refunds.get(report.own_id or "")
    return ours if ours is not None and ours.psp_id is None else None


def _refund_after(known: Refund | None, report: RefundReported, owner: Owner) -> Refund | None:
    """The refund once the report is known; None when it tells nothing new."""
    if known is None:
        assert report.amount_minor is not None
        return Refund(
            report.id,
            report.payment_id or owner.payment_id or "",
            report.amount_minor,
            report.currency or owner.currency,
            report.status,
        )
    psp_id = known.psp_id or (report.id if report.id != known.id else None)
    steps = known.status != report.status and bool(REFUND.rules(known.status, report.status))
    if not steps and psp_id == known.psp_id:
        return None
    status = report.status if steps else known.status
    return replace(known, status=status, psp_id=psp_id, version=known.version + 1)


def _dispute(report: DisputeReported, owner: Owner, cause: Cause) -> Decision:
    known = owner.disputes.get(report.id)
    at = cause.psp_created
    if known is None:
        dispute = Dispute(
            report.id, report.payment_id, report.amount_minor, report.currency, report.status, at
        )
    else:
        status, status_at = max(
            (known.status, known.status_at),
            (report.status, at),
            key=lambda seen: (seen[1], DISPUTE.states.index(seen[0])),
        )
        dispute = replace(known, status=status, status_at=status_at)
    if report.funds is not None:
        dispute = _with_funds(dispute, report.funds == "reinstated", at)
    if dispute == known:
        return superseded("nothing_new")
    if known is not None:
        dispute = replace(dispute, version=known.version + 1)
    rule = f"funds_{report.funds}" if report.funds is not None else "dispute_reported"
    step = walk(DISPUTE, dispute.id, dispute.version, known.status if known else None, dispute.status, rule)
    after = replace(owner, disputes={**owner.disputes, dispute.id: dispute})
    return _applied([_settle(owner, after, step, "dispute", dispute.funds_at)])


def _with_funds(dispute: Dispute, reinstated: bool, at: int) -> Dispute:
    """The dispute once its PSP has moved its money: the last movement counts, in whatever order we hear of
    them. Of two in one second the money came back last: a PSP gives back what it has taken.
    """
    withdrawn = dispute.funds_withdrawn or not reinstated
    last_at, last_reinstated = max((dispute.funds_at, dispute.funds_reinstated), (at, reinstated))
    return replace(dispute, funds_withdrawn=withdrawn, funds_reinstated=last_reinstated, funds_at=last_at)


def _settle(before: Owner, after: Owner, step: Transition, what: str, moved_at: int = 0) -> Settled[Owner]:
    """What a changed refund or dispute does to what the payment paid for; `step` is its own journal entry."""
    if isinstance(before, Purchase) and isinstance(after, Purchase):
        return credits.settle(before, after, step, what, moved_at)
    if isinstance(before, Order) and isinstance(after, Order):
        return orders.settle(before, after, step, what, moved_at)
    # A subscription's own events tell what that means for access; no balance of ours moves.
    return Settled(after, (step,))


def _applied(settled: list[Settled[Owner]]) -> Decision:
    owner = settled[-1].subject
    payment = () if owner.payment_id is None else (refunds_key(owner.payment_id),)
    return Decision(
        "applied",
        subjects=(owner,),
        transitions=tuple(step for one in settled for step in one.transitions),
        movements=tuple(movement for one in settled for movement in one.movements),
        wakes=(*payment, *refund_keys(owner.refunds)),
        calls=tuple(call for one in settled for call in one.calls),
    )
