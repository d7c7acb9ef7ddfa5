"""A currency that nobody knows is named by the decision, before the database would refuse its row."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from billing.commands import CheckoutOpened, OrderPlaced, PlanSubscribed
from billing.facts import Fact, PaymentReported, TransferReported
from billing.terms import OrderTerms, PlanTerms
from tests.support.mirrored import LOOKS, happen, invoice, sub

ORDER = OrderTerms("o_1", "buyer_1", "seller_1", 1000, "zzz", 801, ("font",))
PLAN = PlanTerms("sub_own", "cust_1", "plan_1", 1000, "zzz")
KNOWN = replace(ORDER, currency="usd")
TRANSFER = TransferReported("tr_1", "o_1", "acct_1", 700, 0, "zzz")

WRITES: dict[str, tuple[Fact, ...]] = {
    "an_order": (OrderPlaced("stripe", None, ORDER),),
    "an_order_by_its_payment": (PaymentReported("pi_1", "succeeded", 1000, "zzz", ORDER.key, ORDER),),
    "an_order_that_waits_for_its_payment": (
        PaymentReported("pi_1", "pending", None, None, ORDER.key, ORDER),
    ),
    "a_plan": (PlanSubscribed("stripe", None, PLAN),),
    "a_plan_by_its_payment": (PaymentReported("pi_1", "succeeded", 1000, "zzz", PLAN.key, PLAN),),
    "a_transfer": (OrderPlaced("stripe", None, KNOWN), TRANSFER),
    "a_transfer_that_waited": (TRANSFER, OrderPlaced("stripe", None, KNOWN)),
    "an_invoice": (sub(LOOKS), replace(invoice("paid", 6), currency="zzz")),
    "a_checkout_of_ours": (CheckoutOpened("stripe", "cs_1", "cust_1", 100, 133, "zzz"),),
}


@pytest.mark.parametrize("facts", WRITES.values(), ids=WRITES.keys())
def test_what_would_be_written_in_an_unknown_currency_is_quarantined(facts: tuple[Fact, ...]) -> None:
    """With a reason of its own; nothing else of the story is touched."""
    end = happen(*enumerate(facts), splits=range(len(facts)))

    assert ("quarantined", "unknown_currency") in end.outcomes
    assert [subject for subject in end.subjects.values() if getattr(subject, "currency", None) == "zzz"] == []


def test_a_payment_of_somebody_else_may_be_in_any_currency() -> None:
    """What is not ours is ignored, as it is in a currency that we know."""
    end = happen((5, PaymentReported("pi_9", "succeeded", 1000, "zzz")))

    assert end.last_outcome == ("ignored", "not_ours")


def test_what_contradicts_a_known_currency_keeps_its_reason() -> None:
    """A known order paid in a currency that nobody knows is a wrong amount, as in any other currency."""
    paid = PaymentReported("pi_1", "succeeded", 1000, "zzz", KNOWN.key, KNOWN)
    end = happen((5, OrderPlaced("stripe", None, KNOWN)), (6, paid))

    assert end.last_outcome == ("quarantined", "amount_mismatch")
