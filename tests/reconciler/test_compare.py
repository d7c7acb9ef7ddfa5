"""The comparison by itself: what is news, what is newer here, and what no event can mend. Values only."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import asdict, replace

from billing.facts import (
    DisputeReported,
    Fact,
    InvoiceReported,
    InvoiceValues,
    NotForUs,
    PaymentReported,
    RefundReported,
    SubscriptionReported,
    SubscriptionValues,
    TopUpEnded,
    TopUpPaid,
    TransferReported,
    Unusable,
)
from billing.terms import OrderTerms
from db.here import Here
from reconciler.compare import Money, compare, money, pays, wanted

NOW = 1_795_000_000
VALUES = SubscriptionValues("active", "cus_1", "acc-1", "price_1", False, 1, 2, None, None, None, "in_1")
BILLED = InvoiceValues("paid", 900, 900, 1, NOW - 50)
TERMS = OrderTerms("order-1", "buyer-1", None, 1_000, "usd", 0, ())
PAID = PaymentReported("pi_1", "succeeded", 1_000, "usd", "order:order-1", TERMS)
REFUND = RefundReported("re_1", "pi_1", 100, "usd", "succeeded")
DISPUTE = DisputeReported("dp_1", "pi_1", 300, "usd", "lost", "withdrawn")
SUBSCRIPTION = SubscriptionReported("sub_1", "changed", VALUES, VALUES)
INVOICE = InvoiceReported("in_1", "changed", "sub_1", "pi_9", "usd", BILLED, None)
TRANSFER = TransferReported("tr_1", "order-1", "acct_1", 700, 200, "usd")
TOP_UP = TopUpPaid("cs_1", "checkout", "pi_1", "acc-1", 250, 289, "usd")


def order(**changes: Any) -> dict[str, Any]:
    """Our row of a pending order."""
    row = {
        "id": "order-1",
        "payment_id": "pi_1",
        "payment_status": "pending",
        "amount_minor": 1_000,
        "version": 3,
    }
    return row | {"currency": "usd"} | changes


def of_order(**changes: Any) -> Here:
    """Here with one order."""
    row = order(**changes)
    return Here(
        payables={"order-1": row}, payables_by_payment={row["payment_id"]: row} if row["payment_id"] else {}
    )


def refund(**changes: Any) -> Here:
    """Here with one refund of a paid payment."""
    row = {
        "id": "re_1",
        "psp_id": None,
        "amount_minor": 100,
        "currency": "usd",
        "status": "pending",
        "version": 2,
    }
    row |= changes
    return Here(refunds={str(row["id"]): row}, paid={("payment", "pi_1"): {}})


def dispute(**changes: Any) -> Here:
    """Here with one dispute."""
    row = {
        "amount_minor": 300,
        "currency": "usd",
        "status": "under_review",
        "status_at": NOW - 9,
        "version": 1,
    }
    funds = {"funds_withdrawn": True, "funds_reinstated": False, "funds_at": NOW - 9}
    return Here(disputes={"dp_1": row | funds | changes})


def subscription(**changes: Any) -> Here:
    """Here with one subscription."""
    row = asdict(VALUES) | {"psp_second": NOW - 9, "deleted": False, "ambiguous": False, "version": 4}
    return Here(subscriptions={"sub_1": row | changes})


def invoice(**changes: Any) -> Here:
    """Here with one invoice."""
    row = asdict(BILLED) | {"psp_second": NOW - 9, "payment_id": "pi_9", "ambiguous": False, "version": 1}
    return Here(invoices={"in_1": row | changes})


def transfer(**changes: Any) -> Here:
    """Here with one transfer."""
    row = {"amount_minor": 700, "reversed_minor": 0, "currency": "usd", "version": 1}
    return Here(transfers={"tr_1": row | changes}, paid={("order", "order-1"): {}})


def purchase(**changes: Any) -> Here:
    """Here with one purchase of credits."""
    row = {
        "id": "cs_1",
        "payment_id": "pi_1",
        "status": "open",
        "credits": 250,
        "posted": None,
        "version": 1,
    } | changes
    return Here(purchases={"cs_1": row}, purchases_by_payment={"pi_1": row})


PAID_HERE = Here(paid={("payment", "pi_1"): {}, ("order", "order-1"): {}})

CASES: list[tuple[str, Fact, Here, str | None]] = [
    ("a payment climbs", PAID, of_order(), "stale"),
    ("a payment that is as high here", PAID, of_order(payment_status="succeeded"), None),
    ("a payment never falls", replace(PAID, status="failed"), of_order(payment_status="succeeded"), None),
    ("another sum", replace(PAID, paid_minor=900), of_order(), "amount_mismatch"),
    ("another payment of a paid order", replace(PAID, id="pi_2"), of_order(payment_status="succeeded"), None),
    ("another payment that pays", replace(PAID, id="pi_2"), of_order(), "stale"),
    ("which payment pays", replace(PAID, status="pending"), of_order(payment_id=None), "stale"),
    ("an order nobody told us of", PAID, Here(), "missing_event"),
    ("a payment without an agreement", replace(PAID, terms=None), Here(), None),
    ("a top-up nobody told us of", TOP_UP, Here(), "missing_event"),
    ("a top-up that waits here", TOP_UP, purchase(), "stale"),
    ("a top-up that is paid here", TOP_UP, purchase(status="paid"), None),
    ("a top-up credited by its other name", replace(TOP_UP, id="pi_1"), purchase(status="paid"), None),
    ("a checkout that ended", TopUpEnded("cs_1", "expired"), purchase(), "stale"),
    ("a checkout that ended and was paid", TopUpEnded("cs_1", "expired"), purchase(status="paid"), None),
    ("a refund of a foreign payment", REFUND, Here(), None),
    ("a refund nobody told us of", REFUND, PAID_HERE, "missing_event"),
    ("a refund that is behind", REFUND, refund(), "stale"),
    ("a refund that is as far", REFUND, refund(status="succeeded"), None),
    ("a refund that cannot go back", replace(REFUND, status="pending"), refund(status="succeeded"), None),
    ("a refund that failed late", replace(REFUND, status="failed"), refund(status="succeeded"), "stale"),
    ("a refund of another sum", replace(REFUND, amount_minor=99), refund(), "amount_mismatch"),
    (
        "a refund refused here and failed there",
        replace(REFUND, own_id="r", status="failed"),
        refund(id="r", status="failed"),
        None,
    ),
    (
        "a refund refused here and made there",
        replace(REFUND, own_id="r"),
        refund(id="r", status="failed"),
        "stale",
    ),
    ("our refund's id at the PSP", replace(REFUND, own_id="r"), refund(id="r", status="succeeded"), "stale"),
    ("a dispute of a foreign payment", DISPUTE, Here(), None),
    ("a dispute nobody told us of", DISPUTE, PAID_HERE, "missing_event"),
    ("a dispute that moved on", replace(DISPUTE, funds=None), dispute(), "stale"),
    ("a dispute that is newer here", replace(DISPUTE, funds=None), dispute(status_at=NOW + 1), None),
    ("funds that went back", replace(DISPUTE, funds="reinstated"), dispute(status="lost"), "stale"),
    ("funds that are gone", DISPUTE, dispute(status="lost", status_at=NOW), None),
    (
        "funds that were taken again",
        DISPUTE,
        dispute(status="lost", status_at=NOW, funds_reinstated=True),
        "stale",
    ),
    (
        "funds that came back in the second we asked",
        DISPUTE,
        dispute(status="won", status_at=NOW, funds_reinstated=True, funds_at=NOW),
        None,
    ),
    ("a dispute of another sum", replace(DISPUTE, amount_minor=1), dispute(), "amount_mismatch"),
    ("a subscription nobody told us of", SUBSCRIPTION, Here(), "missing_event"),
    ("a subscription as it is", SUBSCRIPTION, subscription(), None),
    ("a subscription that differs", SUBSCRIPTION, subscription(status="past_due"), "stale"),
    ("a webhook as new as our question", SUBSCRIPTION, subscription(status="past_due", psp_second=NOW), None),
    ("a deleted subscription stays so", SUBSCRIPTION, subscription(status="canceled", deleted=True), None),
    ("a tie", SUBSCRIPTION, subscription(ambiguous=True), "stale"),
    ("an invoice nobody told us of", INVOICE, Here(), "missing_event"),
    ("an invoice as it is", INVOICE, invoice(), None),
    ("an invoice that differs", INVOICE, invoice(amount_paid_minor=0), "stale"),
    ("an invoice's payment", INVOICE, invoice(payment_id=None), "stale"),
    ("a newer webhook of an invoice", INVOICE, invoice(amount_paid_minor=0, psp_second=NOW + 1), None),
    ("a transfer of no order of ours", TRANSFER, Here(), None),
    ("a transfer nobody told us of", TRANSFER, PAID_HERE, "missing_event"),
    ("a transfer that came back in part", TRANSFER, transfer(), "stale"),
    ("a transfer that has come back further here", TRANSFER, transfer(reversed_minor=300), None),
    ("a transfer of another sum", TRANSFER, transfer(amount_minor=1), "amount_mismatch"),
    ("an object that cannot be read", Unusable("bad_metadata", "x"), Here(), "missing_event"),
    ("an object of no meaning", NotForUs("not_a_topup"), Here(), None),
]


@pytest.mark.parametrize(
    ("fact", "here", "kind"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_difference_is_what_an_event_would_change(fact: Fact, here: Here, kind: str | None) -> None:
    """Typed, and none where our rules would say nothing new or a webhook was newer than the question."""
    found = compare(fact, here, NOW)

    assert kind == (None if found is None else found.kind)


def test_an_unusable_object_is_told_once() -> None:
    """It ends in quarantine, where a person sees it; telling it again helps nobody."""
    assert compare(Unusable("bad_metadata", "x"), Here(), NOW, told_before=True) is None


def test_every_key_of_a_fact_is_looked_for() -> None:
    """What a fact is compared with is loaded before: objects, payments, parents."""
    found = wanted([PAID, TOP_UP, REFUND, DISPUTE, SUBSCRIPTION, INVOICE, TRANSFER])

    assert (found.payments, found.payables) == (["pi_1"], ["order-1", "sub_1"])
    assert (found.checkouts, found.refunds, found.disputes) == (["cs_1"], ["re_1"], ["dp_1"])
    assert (found.subscriptions, found.invoices, found.transfers) == (["sub_1"], ["in_1"], ["tr_1"])


def test_what_pays_makes_refunds_comparable() -> None:
    """In one run a payment is told of before its refunds."""
    assert pays(TOP_UP) == [("payment", "pi_1")]
    assert pays(PAID) == [("payment", "pi_1"), ("order", "order-1")]
    assert pays(INVOICE) == [("payment", "pi_9")]
    assert pays(replace(PAID, status="failed")) == []


@pytest.mark.parametrize(
    ("fact", "here", "expected"),
    [
        (TOP_UP, purchase(status="paid", posted=250), Money("topup", "credit", "cs_1", 250, 250)),
        (TOP_UP, Here(), Money("topup", "credit", "cs_1", 250, 0)),
        (REFUND, refund(status="succeeded"), Money("refund", "usd", "re_1", 100, 100)),
        (
            replace(REFUND, status="failed"),
            refund(status="succeeded"),
            Money("refund", "usd", "re_1", 0, 100),
        ),
        (REFUND, Here(), None),
        (replace(DISPUTE, funds=None), dispute(), None),
    ],
)
def test_money_of_both_sides(fact: Fact, here: Here, expected: Money | None) -> None:
    """By the PSP's object, and by what our books have moved for it."""
    assert money(fact, here) == expected
