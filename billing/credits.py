"""Decides what an event means for purchases of credits: pure, per event, no clock, no I/O.

Any order and any number of repetitions of a purchase's events ends in one state: statuses only move up a
ladder, and what is taken back is a function of the sums, not of the path.
"""

from __future__ import annotations

from msgspec.structs import replace

from billing.commands import CheckoutOpened, CheckoutRequested, CreditsSpent, SpendReversed
from billing.decision import (
    CREDITS_SPENT,
    CUSTOMER_FIRST_S,
    Decision,
    PspCall,
    Settled,
    Transition,
    ignored,
    move_credits,
    quarantined,
    superseded,
    unknown_currency,
)
from billing.facts import Cause, TopUpEnded, TopUpPaid
from billing.keys import checkout_key, payment_key
from billing.purchase import Purchase
from billing.purchase_states import CHECKOUT_SESSION, walk
from billing.subject import Book
from billing.units import is_currency, shown

FOREIGN_CURRENCY = "usd"
"""Purchases that our API did not make must be in this currency, one credit a cent (contract)."""


def checkout_call(fact: CheckoutRequested, placed_at: int) -> PspCall:
    """The call that opens a page for this purchase, wanted at `placed_at` (unix seconds)."""
    return PspCall(
        "open_checkout",
        fact.checkout_id,
        fact.checkout_id,
        {
            "account_id": fact.account_id,
            "credits": fact.credits,
            "amount_minor": fact.amount_minor,
            "currency": fact.currency,
            "success_url": fact.success_url,
            "placed_at": placed_at,
        },
        delay_s=CUSTOMER_FIRST_S,
    )


def checkout_requested(fact: CheckoutRequested, cause: Cause) -> Decision:
    """A customer wants to buy credits: a page for that is to be opened. Nothing is bought yet."""
    return Decision("applied", calls=(checkout_call(fact, cause.psp_created),))


def checkout_opened(fact: CheckoutOpened, book: Book, cause: Cause) -> Decision:
    """The page is there: a purchase of ours, whose payment must match its price to the cent."""
    if _purchase(book, cause.source, checkout_key(fact.session_id)) is not None:
        return superseded("already_known")
    if not is_currency(fact.currency):
        return unknown_currency(fact.currency)
    purchase = Purchase(
        cause.source,
        fact.session_id,
        "checkout",
        None,
        fact.account_id,
        fact.credits,
        fact.amount_minor,
        fact.currency,
        status="open",
        origin="ours",
    )
    money = {"credits": fact.credits, "amount_minor": fact.amount_minor}
    step = walk(CHECKOUT_SESSION, purchase.id, purchase.version, None, "open", money_after=money)
    return Decision("applied", subjects=(purchase,), transitions=(step,))


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
                f"asked for {shown(known.amount_minor, known.currency)}, "
                f"paid {shown(fact.amount_minor, fact.currency)}",
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
            f"{fact.credits} credits for {shown(fact.amount_minor, fact.currency)} is not our price",
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


def spent(fact: CreditsSpent) -> Decision:
    """Credits were used up: post them. Whether there were enough was decided when this was said."""
    movement = move_credits("spend", fact.spend_id, fact.account_id, -fact.credits, against=CREDITS_SPENT)
    return Decision("applied", movements=(movement,))


def spend_reversed(fact: SpendReversed) -> Decision:
    """What was used up is given back. That it had been spent, and not been given back yet, was decided when
    this was said; the ledger takes the reversal of one spend once.
    """
    movement = move_credits(
        "spend_reversal", fact.spend_id, fact.account_id, fact.credits, against=CREDITS_SPENT
    )
    return Decision("applied", movements=(movement,))


def settle(
    before: Purchase, after: Purchase, step: Transition, what: str, moved_at: int
) -> Settled[Purchase]:
    """Take or give back the difference that a changed refund or dispute makes; `step` is its own entry and
    `moved_at` as of `Movement`.
    """
    due = after.credits_to_be_taken
    delta = due - before.credits_taken
    step = replace(
        step, money_before={"credits_taken": before.credits_taken}, money_after={"credits_taken": due}
    )
    if delta == 0:
        return Settled(after, (step,))
    movement = f"{what}_clawback" if delta > 0 else f"{what}_give_back"
    moved = move_credits(movement, step.object_id, after.account_id, -delta, moved_at)
    return Settled(replace(after, credits_taken=due), (step,), (moved,))


def _purchase(book: Book, source: str, key: str) -> Purchase | None:
    """The purchase that a key names; of several by one payment (never seen from a PSP) the first by id."""
    return next((found for found in book.find(source, key) if isinstance(found, Purchase)), None)
