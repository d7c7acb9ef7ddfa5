"""What each kind of event does to a purchase of credits, one rule a test."""

from __future__ import annotations

from billing.commands import CreditsSpent
from billing.decision import Decision
from billing.facts import (
    Cause,
    ChargeRefunded,
    DisputeReported,
    Fact,
    NotForUs,
    RefundReported,
    TopUpEnded,
    TopUpPaid,
    Unusable,
)
from billing.purchase import Purchase
from billing.rules import decide
from billing.subject import Book

CAUSE = Cause("stripe", "evt_1", 1, 1_795_000_000)
PAID = TopUpPaid("cs_1", "checkout", "pi_1", "cust_1", 250, 289, "usd")


def settled(*facts: Fact, book: Book | None = None) -> tuple[Book, list[Decision]]:
    """Decide facts in order, each seeing what the earlier ones did."""
    book = book or Book()
    decisions = []
    for fact in facts:
        decision = decide(fact, book, CAUSE)
        for subject in decision.subjects:
            book.put(subject)
        decisions.append(decision)
    return book, decisions


def only_purchase(book: Book) -> Purchase | None:
    """The purchase cs_1 as the book knows it."""
    return next(
        (found for found in book.find("stripe", "checkout:cs_1") if isinstance(found, Purchase)), None
    )


def customer_amounts(decision: Decision) -> list[tuple[str, str, int]]:
    """Movement, money object and the customer's amount of each movement."""
    return [(moved.movement, moved.money_object, moved.legs[0].amount) for moved in decision.movements]


def refund(refund_id: str, amount: int, status: str = "succeeded") -> RefundReported:
    return RefundReported(refund_id, "pi_1", amount, "usd", status)


def dispute(funds: str | None, status: str = "needs_response") -> DisputeReported:
    return DisputeReported("dp_1", "pi_1", 289, "usd", status, funds)


def test_paid_checkout_credits_its_account() -> None:
    """A paid checkout posts its credits once, under the checkout's id."""
    _, (decision,) = settled(PAID)

    assert decision.state == "applied"
    assert customer_amounts(decision) == [("topup", "cs_1", 250)]
    assert decision.wakes == ("payment:pi_1",)


def test_second_event_of_a_checkout_says_nothing_new() -> None:
    """completed and async_payment_succeeded of one session credit once."""
    _, decisions = settled(PAID, PAID)

    assert [d.state for d in decisions] == ["applied", "superseded"]
    assert decisions[1].movements == ()


def test_one_crediting_path_per_payment() -> None:
    """A payment credited through its checkout is not credited again as an off-session payment, nor the other
    way.
    """
    alone = TopUpPaid("pi_1", "off_session", "pi_1", "cust_1", 250, 289, "usd")

    assert settled(PAID, alone)[1][1].reason == "credited_by_checkout"
    assert settled(alone, PAID)[1][1].reason == "credited_off_session"


def test_price_is_one_credit_a_cent_in_usd() -> None:
    """A checkout that we did not make must be in usd and pay at least a cent a credit."""
    for amount, currency in ((249, "usd"), (289, "eur"), (0, "usd")):
        fact = TopUpPaid("cs_1", "checkout", "pi_1", "cust_1", 250, amount, currency)

        assert settled(fact)[1][0].reason == "amount_mismatch"
    assert settled(TopUpPaid("cs_1", "checkout", "pi_1", "cust_1", 250, 250, "usd"))[1][0].state == "applied"


def test_our_own_checkout_must_match_to_the_cent() -> None:
    """A checkout of our API is credited for exactly the amount and currency that we asked for."""
    ours = Purchase("stripe", "cs_1", "checkout", None, "cust_1", 250, 289, "usd", "open", "ours")
    for amount, currency, expected in (
        (289, "usd", "applied"),
        (290, "usd", "quarantined"),
        (289, "eur", "quarantined"),
    ):
        fact = TopUpPaid("cs_1", "checkout", "pi_1", "cust_1", 250, amount, currency)

        assert settled(fact, book=Book([ours]))[1][0].state == expected


def test_an_expired_checkout_that_is_paid_after_all_credits() -> None:
    """Late success after failure is in the table."""
    ours = Purchase("stripe", "cs_1", "checkout", None, "cust_1", 250, 289, "usd", "open", "ours")
    _, decisions = settled(
        TopUpEnded("cs_1", "expired"), PAID, TopUpEnded("cs_1", "failed"), book=Book([ours])
    )

    assert [d.state for d in decisions] == ["applied", "applied", "superseded"]
    assert decisions[1].transitions[0].rule == "late_payment"


def test_another_account_under_a_credited_checkout_is_quarantined() -> None:
    """A credited purchase does not change hands because of a later event."""
    other = TopUpPaid("cs_1", "checkout", "pi_1", "cust_2", 250, 289, "usd")

    assert settled(PAID, other)[1][1].reason == "contradicts_purchase"


def test_partial_refunds_take_exactly_all_credits_together() -> None:
    """Rounding happens once over the sum: three thirds are a whole."""
    _, decisions = settled(PAID, refund("re_1", 96), refund("re_2", 96), refund("re_3", 97))

    assert [customer_amounts(d) for d in decisions[1:]] == [
        [("refund_clawback", "re_1", -83)],
        [("refund_clawback", "re_2", -83)],
        [("refund_clawback", "re_3", -84)],
    ]


def test_a_refund_that_fails_later_gives_its_credits_back() -> None:
    """succeeded is not final at Stripe."""
    book, decisions = settled(PAID, refund("re_1", 289), refund("re_1", 289, "failed"), refund("re_1", 289))

    assert customer_amounts(decisions[2]) == [("refund_give_back", "re_1", 250)]
    assert decisions[2].transitions[0].rule == "late_failure"
    assert decisions[3].state == "superseded"
    purchase = only_purchase(book)
    assert purchase is not None
    assert purchase.credits_taken == 0


def test_a_pending_refund_moves_nothing() -> None:
    """Credits go when the money has gone."""
    _, decisions = settled(PAID, refund("re_1", 289, "pending"), refund("re_1", 289))

    assert [customer_amounts(d) for d in decisions[1:]] == [[], [("refund_clawback", "re_1", -250)]]


def test_refunds_beyond_the_payment_wait_for_the_one_that_failed() -> None:
    """The PSP refuses refunds beyond a payment, so the failure of an earlier one must still be on its way."""
    book, decisions = settled(PAID, refund("re_1", 200), refund("re_2", 90))
    beyond = refund("re_2", 90)

    assert decisions[2].awaits == "refunds:pi_1"
    assert decide(beyond, book, CAUSE, waited=True).reason == "refund_exceeds_payment"
    assert "refunds:pi_1" in settled(refund("re_1", 200, "failed"), book=book)[1][0].wakes
    assert decide(beyond, book, CAUSE).state == "applied"


def test_dispute_moves_credits_on_funds_events_only() -> None:
    """An opened dispute takes nothing; withdrawn funds do; reinstated funds give back."""
    _, decisions = settled(
        PAID, dispute(None), dispute("withdrawn"), dispute(None, "won"), dispute("reinstated", "won")
    )

    assert [customer_amounts(d) for d in decisions[1:]] == [
        [],
        [("dispute_clawback", "dp_1", -250)],
        [],
        [("dispute_give_back", "dp_1", 250)],
    ]


def test_refund_and_dispute_each_take_their_share_even_below_zero() -> None:
    """A payment that was refunded and disputed away cost its money twice: the account owes it, unclamped."""
    book, decisions = settled(PAID, refund("re_1", 289), dispute("withdrawn"))

    assert customer_amounts(decisions[2]) == [("dispute_clawback", "dp_1", -250)]
    purchase = only_purchase(book)
    assert purchase is not None
    assert purchase.credits_taken == 500


def test_an_event_before_its_payment_is_parked_under_the_payment() -> None:
    """Too early is a state, not a loss; after the wait it is a person's matter."""
    fact = refund("re_1", 100)

    assert decide(fact, Book(), CAUSE).awaits == "payment:pi_1"
    assert decide(fact, Book(), CAUSE, waited=True).reason == "payment_never_came"


def test_a_refund_in_another_currency_is_quarantined() -> None:
    """Money of two currencies is never added."""
    fact = RefundReported("re_1", "pi_1", 100, "eur", "succeeded")

    assert settled(PAID, fact)[1][1].reason == "currency_mismatch"


def test_charge_refunded_posts_each_listed_refund_once() -> None:
    """Older API versions list the refunds; together with refund.* events each posts once."""
    both = ChargeRefunded("pi_1", 289, "usd", (refund("re_1", 100), refund("re_2", 189)))
    _, decisions = settled(PAID, refund("re_1", 100), both, refund("re_2", 189))

    assert [moved.money_object for d in decisions[1:] for moved in d.movements] == ["re_1", "re_2"]
    assert decisions[3].state == "superseded"


def test_charge_refunded_without_its_refunds_waits_for_them() -> None:
    """Newer API versions leave the list out: its refund.* events bring the details."""
    bare = ChargeRefunded("pi_1", 289, "usd", ())
    book, decisions = settled(PAID, bare, refund("re_1", 289))

    assert decisions[1].awaits == "refunds:pi_1"
    assert "refunds:pi_1" in decisions[2].wakes
    assert decide(bare, book, CAUSE).state == "superseded"
    assert decide(bare, settled(PAID)[0], CAUSE, waited=True).reason == "refund_details_missing"


def test_what_was_spent_is_posted_whatever_else_is_known() -> None:
    """Whether there was enough was decided when it was said: a rebuild must not decide it anew."""
    decision = decide(CreditsSpent("sluice", "sp_1", "cust_1", 40, "a render"), Book(), CAUSE)
    (movement,) = decision.movements

    assert (decision.state, decision.subjects, decision.transitions) == ("applied", (), ())
    assert (movement.movement, movement.money_object) == ("spend", "sp_1")
    assert [(leg.account_id, leg.unit, leg.amount) for leg in movement.legs] == [
        ("cust_1", "credit", -40), ("system:credits_spent", "credit", 40),
    ]  # fmt: skip


def test_foreign_and_unusable_events_move_nothing() -> None:
    """Authentic events that are not ours are ignored with a reason; unreadable ones go to a person."""
    assert decide(NotForUs("unhandled_type"), Book(), CAUSE) == Decision("ignored", "unhandled_type")
    assert decide(Unusable("bad_json", "x"), Book(), CAUSE).state == "quarantined"
    assert decide(TopUpEnded("cs_9", "expired"), Book(), CAUSE).state == "ignored"
