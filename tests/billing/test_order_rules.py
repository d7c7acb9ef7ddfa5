"""The rules of orders and of what hangs on their payment, one sentence each."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from billing.commands import OrderPlaced, RefundCallEnded, RefundRequested, ReversalEnded
from billing.decision import PLATFORM_FEES, PSP_CLEARING, Decision
from billing.facts import (
    Cause,
    ChargeRefunded,
    DisputeReported,
    Fact,
    PaymentReported,
    RefundReported,
    TransferReported,
)
from billing.order import Order
from billing.rules import decide
from billing.subject import Book
from billing.terms import OrderTerms
from tests.support.mirrored import End, happen

TERMS = OrderTerms("o_1", "buyer_1", "seller_1", 1000, "usd", 801, ("font",))
PAID = PaymentReported("pi_1", "succeeded", 1000, "usd", TERMS.key, TERMS)
ASKED = RefundRequested("stripe", "o_1", "own_1", None)
SENT = TransferReported("tr_1", "o_1", "acct_1", 700, 0, "usd")
OPEN = {"seller_1": 801, PLATFORM_FEES: 199, PSP_CLEARING: -1000}


def refund(
    status: str, amount: int = 1000, refund_id: str = "re_1", own: str | None = None
) -> RefundReported:
    """What the PSP says of a refund."""
    return RefundReported(refund_id, "pi_1", amount, "usd", status, own)


def dispute(status: str, funds: str | None = None, amount: int = 1000) -> DisputeReported:
    """What the PSP says of a dispute."""
    return DisputeReported("dp_1", "pi_1", amount, "usd", status, funds)


def tell(*facts: Fact) -> End:
    """These facts, each in a batch of its own, a second apart."""
    return happen(*enumerate(facts), splits=range(len(facts)))


def order(end: End) -> Order:
    """The order of a story."""
    (found,) = end.subjects.values()
    assert isinstance(found, Order)
    return found


def books(end: End) -> dict[str, int]:
    """What the ledger holds, zero as absent."""
    held: dict[str, int] = {}
    for effect in end.effects:
        for leg in effect.movement.legs if effect.movement is not None else ():
            held[leg.account_id] = held.get(leg.account_id, 0) + leg.amount
    return {account_id: amount for account_id, amount in held.items() if amount}


def calls(end: End) -> list[tuple[str, str]]:
    """What the PSP is to be asked for: kind and idempotency key."""
    return [
        (effect.call.kind, effect.call.idempotency_key) for effect in end.effects if effect.call is not None
    ]


def after_waiting(fact: Fact, *known: Order) -> Decision:
    """What becomes of a fact whose wait is over."""
    return decide(fact, Book(known), Cause("stripe", "evt_9", 9, 9), waited=True)


def test_a_paid_order_is_completed_with_licences_and_the_sellers_part() -> None:
    """One sale, posted under the order's id."""
    end = tell(PAID)

    assert (order(end).status, order(end).licence_status, books(end)) == ("completed", "active", OPEN)


def test_a_payment_that_fails_and_succeeds_late_completes_the_order() -> None:
    """And a failure that comes after the success says nothing."""
    failed = replace(PAID, status="failed", paid_minor=None)
    end = tell(failed, PAID, failed)

    assert (order(end).status, books(end)) == ("completed", OPEN)
    assert end.rules == ["payment_failed", "late_success", "granted"]
    assert end.last_outcome == ("superseded", "nothing_new")


def test_a_payment_that_is_voided_after_its_capture_takes_everything_back() -> None:
    """Late failure: licences revoked, the sale reversed, the transfer wanted back."""
    end = tell(PAID, SENT, replace(PAID, status="reversed", paid_minor=None))

    assert (order(end).status, order(end).licence_status) == ("cancelled", "revoked")
    assert books(end) == {"seller_1": -700, PSP_CLEARING: 700}
    assert calls(end) == [("reverse_transfer", "reversal:tr_1:2")]


def test_an_order_that_is_paid_twice_is_a_persons_matter() -> None:
    """The second payment moves nothing, whichever is the second."""
    end = tell(PAID, replace(PAID, id="pi_2"))

    assert end.last_outcome == ("quarantined", "paid_twice")
    assert (order(end).payment_id, books(end)) == ("pi_1", OPEN)


def test_of_several_payments_that_fail_the_furthest_counts_whatever_came_first() -> None:
    """Two attempts under two payments: the same order in both orders of arrival."""
    story = [
        (number, replace(PAID, id=payment_id, status=status, paid_minor=None))
        for number, (payment_id, status) in enumerate(
            [("pi_1", "pending"), ("pi_1", "canceled"), ("pi_2", "pending"), ("pi_2", "failed")]
        )
    ]
    ends = [order(happen(*story, order=told)) for told in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1])]

    assert {(end.status, end.payment_id) for end in ends} == {("cancelled", "pi_1")}


@pytest.mark.parametrize(("paid", "currency"), [(999, "usd"), (1001, "usd"), (1000, "eur")])
def test_a_payment_of_another_amount_than_agreed_completes_nothing(paid: int, currency: str) -> None:
    """It is held back, and the order stays as it is."""
    end = tell(OrderPlaced("stripe", None, TERMS), replace(PAID, paid_minor=paid, currency=currency))

    assert end.last_outcome == ("quarantined", "amount_mismatch")
    assert (order(end).status, books(end)) == ("pending", {})


def test_terms_that_contradict_what_was_agreed_are_held_back() -> None:
    """Whether a payment brings them or our own command."""
    other = replace(TERMS, seller_amount_minor=800)

    assert tell(PAID, OrderPlaced("stripe", None, other)).last_outcome == ("quarantined", "contradicts_terms")
    assert tell(PAID, replace(PAID, status="reversed", terms=other)).last_outcome == (
        "quarantined",
        "contradicts_terms",
    )


def test_a_payment_waits_for_the_agreement_that_it_names() -> None:
    """Our command wakes it; if that never comes, a person must look; without a name it is not ours."""
    named = replace(PAID, terms=None)
    end = tell(named, OrderPlaced("stripe", None, TERMS))

    assert end.outcomes == [("parked", "agreement_unknown"), ("applied", None), ("applied", None)]
    assert (order(end).status, books(end)) == ("completed", OPEN)
    assert after_waiting(named).reason == "agreement_never_came"
    assert tell(replace(named, claim=None)).last_outcome == ("ignored", "not_ours")


def test_a_refund_before_its_order_waits_for_the_payment() -> None:
    """Also while the order is known and unpaid."""
    end = tell(OrderPlaced("stripe", "pi_1", TERMS), refund("succeeded"), PAID)

    assert end.outcomes[1] == ("parked", "payment_unknown")
    assert (order(end).status, order(end).licence_status, books(end)) == ("refunded", "revoked", {})
    assert after_waiting(refund("succeeded")).reason == "payment_never_came"


def test_a_refund_is_requested_once_at_a_time() -> None:
    """A second request is refused while one is open; the same one again tells nothing new."""
    end = tell(PAID, ASKED, replace(ASKED, refund_id="own_2"), ASKED)

    assert end.outcomes[2:] == [("ignored", "refund_already_requested"), ("superseded", "nothing_new")]
    assert calls(end) == [("create_refund", "own_1")]
    assert (order(end).status, books(end)) == ("refund_pending", OPEN)


@pytest.mark.parametrize(
    "before",
    [
        [OrderPlaced("stripe", "pi_1", TERMS)],
        [PAID, refund("succeeded")],
        [PAID, dispute("lost", "withdrawn")],
        [PAID, replace(PAID, status="reversed")],
    ],
)
def test_what_has_nothing_left_is_not_refunded(before: list[Fact]) -> None:
    """Unpaid, refunded, disputed away or voided: the request is refused and no PSP is called."""
    end = tell(*before, ASKED)

    assert end.last_outcome == ("ignored", "order_not_refundable")
    assert calls(end) == []


def test_a_request_never_takes_more_than_is_left() -> None:
    """What disputes hold and refunds took is not there to be given back; None means all the rest."""
    held: list[Fact] = [PAID, refund("succeeded", 300), dispute("needs_response", "withdrawn", 200)]

    assert tell(*held, replace(ASKED, amount_minor=501)).last_outcome == ("ignored", "order_not_refundable")
    assert order(tell(*held, ASKED)).refunds["own_1"].amount_minor == 500
    assert tell(ASKED).last_outcome == ("ignored", "order_unknown")


def test_a_refund_of_ours_stays_pending_until_the_psp_says_more() -> None:
    """The answer to our call brings its id, and nothing else."""
    end = tell(PAID, ASKED, RefundCallEnded("stripe", "own_1", "re_psp"))

    assert (order(end).refunds["own_1"].status, order(end).refunds["own_1"].psp_id) == ("pending", "re_psp")
    assert end.rules[-1] == "refund_accepted"
    assert (order(end).status, books(end)) == ("refund_pending", OPEN)


def test_a_refund_call_that_is_refused_frees_the_order() -> None:
    """The refund has failed, and another may be asked for."""
    end = tell(PAID, ASKED, RefundCallEnded("stripe", "own_1", None), replace(ASKED, refund_id="own_2"))

    assert [one.status for one in order(end).refunds.values()] == ["failed", "pending"]
    assert calls(end) == [("create_refund", "own_1"), ("create_refund", "own_2")]


def test_a_refused_refund_that_the_psp_has_made_all_the_same_is_a_persons_matter() -> None:
    """Money has moved that nobody expects: never silently superseded. That it has failed is no news."""
    refused: list[Fact] = [PAID, ASKED, RefundCallEnded("stripe", "own_1", None)]

    assert tell(*refused, refund("succeeded", own="own_1")).last_outcome == (
        "quarantined",
        "contradicts_refusal",
    )
    assert tell(*refused, refund("failed", own="own_1")).last_outcome == ("superseded", "nothing_new")


def test_a_refusal_of_what_the_psp_has_named_tells_nothing() -> None:
    """The PSP's own events are nearer to the truth than the answer to a call."""
    end = tell(PAID, ASKED, refund("pending", own="own_1"), RefundCallEnded("stripe", "own_1", None))

    assert end.last_outcome == ("superseded", "nothing_new")
    assert order(end).refunds["own_1"].status == "pending"
    assert tell(RefundCallEnded("stripe", "own_1", "re_1")).last_outcome == ("quarantined", "unknown_refund")


def test_a_webhook_before_the_answer_to_our_call_finds_our_refund_by_its_metadata() -> None:
    """One refund, which from then on has the PSP's id."""
    end = tell(PAID, ASKED, refund("succeeded", own="own_1"), RefundCallEnded("stripe", "own_1", "re_1"))

    assert {one.id: (one.psp_id, one.status) for one in order(end).refunds.values()} == {
        "own_1": ("re_1", "succeeded")
    }
    assert (order(end).status, books(end)) == ("refunded", {})


def test_our_id_in_the_metadata_of_another_refund_makes_it_no_less_another() -> None:
    """Metadata are copied; two refunds of the PSP take their money twice."""
    asked = replace(ASKED, amount_minor=400)
    end = tell(PAID, asked, refund("succeeded", 400, own="own_1"), refund("succeeded", 600, "re_2", "own_1"))

    assert {one.id: one.amount_minor for one in order(end).refunds.values()} == {"own_1": 400, "re_2": 600}
    assert (order(end).status, books(end)) == ("refunded", {})


def test_a_refund_that_names_no_payment_is_found_by_its_own_id_and_waits_for_that() -> None:
    """As older integrations tell of it."""
    bare = RefundReported("re_psp", None, None, None, "succeeded")
    end = tell(PAID, ASKED, bare, RefundCallEnded("stripe", "own_1", "re_psp"))

    assert end.outcomes[2] == ("parked", "refund_unknown")
    assert order(end).status == "refunded"
    assert after_waiting(bare).reason == "refund_never_came"


def test_partial_refunds_leave_the_order_until_all_is_refunded() -> None:
    """The seller's part is rounded once over the sum, so that all parts take exactly all."""
    parts = [refund("succeeded", part, f"re_{part}") for part in (1, 333, 666)]
    ends = [tell(PAID, *parts[:count]) for count in range(1, 4)]

    assert [order(end).status for end in ends] == ["completed", "completed", "refunded"]
    assert [books(end).get("seller_1") for end in ends] == [801, 801 - 801 * 334 // 1000, None]
    assert [order(end).licence_status for end in ends] == ["active", "active", "revoked"]


def test_refunds_beyond_the_payment_wait_for_another_to_fail() -> None:
    """Applied once it has; a person's matter if it never does."""
    end = tell(PAID, refund("succeeded"), refund("succeeded", 600, "re_2"), refund("failed"))

    assert end.outcomes[2] == ("parked", "refund_exceeds_payment")
    assert {one.id: one.status for one in order(end).refunds.values()} == {
        "re_1": "failed",
        "re_2": "succeeded",
    }
    stuck = order(tell(PAID, refund("succeeded")))
    assert after_waiting(refund("succeeded", 1, "re_2"), stuck).reason == "refund_exceeds_payment"


def test_a_refund_that_succeeds_and_fails_late_gives_everything_back() -> None:
    """One clawback, one give-back; a success that is told again says nothing."""
    end = tell(PAID, refund("succeeded"), refund("failed"), refund("succeeded"))

    assert (order(end).status, order(end).licence_status, books(end)) == ("completed", "active", OPEN)
    moved = [effect.movement.movement for effect in end.effects if effect.movement is not None]
    assert moved == ["sale", "refund_clawback", "refund_give_back"]


def test_a_charge_without_its_refunds_waits_for_them_and_has_them_read() -> None:
    """It tells the sum alone; what nobody reports in the end is a person's matter."""
    charge = ChargeRefunded("pi_1", 400, "usd", ())
    end = tell(PAID, charge, refund("succeeded", 400))

    assert end.outcomes[1] == ("parked", "refund_details_missing")
    assert calls(end) == [("read_refunds", "refunds:pi_1:400")]
    assert end.last_outcome == ("superseded", "nothing_new")
    assert after_waiting(charge, order(tell(PAID))).reason == "refund_details_missing"


def test_a_dispute_that_is_won_after_its_funds_went_gives_them_back() -> None:
    """Money moves on funds events alone, and the order stays as it is."""
    lost = tell(PAID, dispute("needs_response"), dispute("needs_response", "withdrawn"))
    won = tell(PAID, dispute("needs_response", "withdrawn"), dispute("won", "reinstated"))

    assert (order(lost).status, books(lost)) == ("completed", {})
    assert (order(won).status, books(won)) == ("completed", OPEN)


def test_a_payment_refunded_and_disputed_away_costs_its_money_twice() -> None:
    """The seller's debt stays visible."""
    end = tell(PAID, refund("succeeded"), dispute("lost", "withdrawn"))

    assert books(end) == {"seller_1": -801, PLATFORM_FEES: -199, PSP_CLEARING: 1000}


def test_what_is_told_in_another_currency_is_held_back() -> None:
    """Refund, dispute and charge alike."""
    for fact in (
        replace(refund("succeeded"), currency="eur"),
        replace(dispute("lost", "withdrawn"), currency="eur"),
        ChargeRefunded("pi_1", 400, "eur", ()),
    ):
        assert tell(PAID, fact).last_outcome == ("quarantined", "currency_mismatch")


def test_a_transfer_after_the_refund_is_sent_for_at_once() -> None:
    """Posted to the seller, wanted back, and called for under a key of its own."""
    end = tell(PAID, refund("succeeded"), SENT)

    assert order(end).transfers["tr_1"].status == "reversal_pending"
    assert books(end) == {"seller_1": -700, PSP_CLEARING: 700}
    assert calls(end) == [("reverse_transfer", "reversal:tr_1:1")]


def test_a_reversal_is_withdrawn_when_the_refund_fails_and_called_for_anew_after() -> None:
    """The second call is another intent, with another key."""
    end = tell(PAID, SENT, refund("succeeded"), refund("failed"), refund("succeeded", refund_id="re_2"))

    assert calls(end) == [("reverse_transfer", "reversal:tr_1:2"), ("reverse_transfer", "reversal:tr_1:4")]
    assert order(end).transfers["tr_1"].status == "reversal_pending"


def test_a_reversal_that_was_given_up_and_is_made_after_all_is_believed() -> None:
    """Permanently failed, until the PSP says that it came back; parts of it are booked as they come."""
    given_up: list[Fact] = [
        PAID,
        SENT,
        refund("succeeded"),
        ReversalEnded("stripe", "tr_1", "permanently_failed"),
    ]
    part = tell(*given_up, replace(SENT, reversed_minor=100))
    whole = tell(*given_up, replace(SENT, reversed_minor=100), replace(SENT, reversed_minor=700))

    assert (order(part).transfers["tr_1"].status, books(part)["seller_1"]) == ("permanently_failed", -600)
    assert (order(whole).transfers["tr_1"].status, books(whole)) == ("reversed", {})
    assert whole.rules[-1] == "late_success"


def test_our_reversal_and_the_psps_word_of_it_are_booked_once() -> None:
    """Whichever is first."""
    ended, said = ReversalEnded("stripe", "tr_1", "reversed"), replace(SENT, reversed_minor=700)
    for pair in ((ended, said), (said, ended)):
        end = tell(PAID, SENT, refund("succeeded"), *pair)

        assert (order(end).transfers["tr_1"].status, books(end)) == ("reversed", {})
        assert end.last_outcome == ("superseded", "nothing_new")


def test_transfers_that_fit_no_order_are_not_booked() -> None:
    """Of an order that never came or has no seller, contradicting what is known, or of nothing of ours."""
    house = replace(TERMS, seller_id=None, seller_amount_minor=0)

    assert tell(SENT).last_outcome == ("parked", "order_unknown")
    assert after_waiting(SENT).reason == "order_never_came"
    assert tell(replace(SENT, order_id=None)).last_outcome == ("ignored", "not_ours")
    assert tell(replace(PAID, terms=house), SENT).last_outcome == ("quarantined", "order_without_seller")
    assert tell(PAID, SENT, replace(SENT, amount_minor=1)).last_outcome == (
        "quarantined",
        "contradicts_transfer",
    )
    assert tell(ReversalEnded("stripe", "tr_1", "reversed")).last_outcome == (
        "quarantined",
        "unknown_transfer",
    )
