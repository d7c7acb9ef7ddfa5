"""What Stripe's bodies mean to us, and how exactly each unusable one is refused."""

from __future__ import annotations

from typing import Any

import pytest

from billing.facts import (
    ChargeRefunded,
    DisputeReported,
    NotForUs,
    RefundReported,
    TopUpEnded,
    TopUpPaid,
    Unusable,
)
from psp.reading import Expected
from psp.stripe.mapping import read, same_event
from tests.support import stripe_events as made


def test_a_paid_topup_checkout_is_a_topup() -> None:
    """Session, payment, account, credits and amount are read; a payment may be expanded."""
    session = made.checkout(payment_intent={"id": "pi_x", "object": "payment_intent"})

    fact = read(made.encode(made.event("checkout.session.completed", session)), Expected()).fact

    assert fact == TopUpPaid(session["id"], "checkout", "pi_x", "cust_1", 250, 289, "usd")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mode": "subscription"}, "not_a_payment_checkout"),
        ({"metadata": {}}, "not_a_topup"),
        ({"metadata": None}, "not_a_topup"),
        ({"metadata": {"purpose": "donation"}}, "not_a_topup"),
        ({"payment_status": "unpaid"}, "not_paid"),
        ({"payment_status": "no_payment_required"}, "not_paid"),
    ],
)
def test_checkouts_that_are_not_paid_topups_are_ignored(changes: dict[str, Any], reason: str) -> None:
    """Other shops' checkouts and unpaid ones move nothing, and say why."""
    body = made.encode(made.event("checkout.session.completed", made.checkout(**changes)))

    assert read(body, Expected()).fact == NotForUs(reason)


@pytest.mark.parametrize(
    "credits", ["", "0", "-5", "12.5", "1e3", "ten", "٣", "1" * 13, " 5", "+5", "0x10", None]
)
def test_credits_must_be_a_positive_whole_number(credits: object) -> None:
    """Anything else is bad metadata, for a person and not for an endless retry."""
    session = made.checkout()
    session["metadata"]["credits"] = credits
    fact = read(made.encode(made.event("checkout.session.completed", session)), Expected()).fact

    assert isinstance(fact, Unusable)
    assert fact.reason == "bad_metadata"


@pytest.mark.parametrize(
    "account", [None, "", 7, "a" * 256, "system:credits_issued", " x", "a\u0000b", ["a"]]
)
def test_the_account_must_be_one_that_can_be_credited(account: object) -> None:
    """No account, an unstorable one, or the house's own: bad metadata."""
    session = made.checkout(account=account)
    fact = read(made.encode(made.event("checkout.session.completed", session)), Expected()).fact

    assert isinstance(fact, Unusable)
    assert fact.reason == "bad_metadata"


@pytest.mark.parametrize("amount", [10.5, "1000", True, None, -1, 2**53, 1e3])
def test_amounts_are_integers_of_minor_units(amount: object) -> None:
    """Floats, strings, booleans and sums that readers would round are refused."""
    session = made.checkout() | {"amount_total": amount}
    fact = read(made.encode(made.event("checkout.session.completed", session)), Expected()).fact

    assert isinstance(fact, Unusable)
    assert fact.reason == "bad_schema"
    assert "amount_total" in fact.detail


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad_json"),
        (b"   ", "bad_json"),
        (b"hello", "bad_json"),
        (b"null", "bad_schema"),
        (b'"x"', "bad_schema"),
        (b"[1]", "bad_schema"),
        (b'{"id":"a","id":"b"}', "bad_json"),
        (b'{"id":"a","type":"x","n":NaN}', "bad_json"),
        (b'{"id":"a","type":"x","n":-Infinity}', "bad_json"),
        (b'{"id":"a","n":' + b"9" * 5000 + b"}", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b"\xef\xbb\xbf{}", "bad_json"),
        ('{"id":"a"}'.encode("utf-16"), "bad_json"),
        (b'{"id":"\xff"}', "bad_json"),
        (b'{"id":"\xed\xa0\x80"}', "bad_json"),
        (b'{"id":"a"}{}', "bad_json"),
        (b'{"id":"a",}', "bad_json"),
        (b'{"type":"x"}', "bad_schema"),
        (b'{"id":"","type":"x"}', "bad_schema"),
        (b'{"id":"' + b"a" * 9000 + b'","type":"x"}', "bad_schema"),
        (b'{"id":"\\u0000","type":"x"}', "bad_schema"),
        (b'{"id":"\\ud800","type":"x"}', "bad_json"),
        (b'{"id":"a","type":"x","note":"\\ud800"}', "bad_json"),
        (b'{"id":"a","type":"refund.created","created":-1,"data":{"object":{}}}', "bad_schema"),
        (b'{"id":"a","type":"refund.created","created":1,"data":[]}', "bad_schema"),
    ],
)
def test_unusable_bodies_are_named_and_never_raise(body: bytes, reason: str) -> None:
    """A signed body that cannot be used becomes a fact with a reason, whatever is in it."""
    fact = read(body, Expected()).fact

    assert isinstance(fact, Unusable)
    assert fact.reason == reason


def test_unknown_types_and_thin_events_are_ignored() -> None:
    """A provider will add types; that must not break anything."""
    assert read(made.encode(made.event("gift_card.created", {"id": "g"})), Expected()).fact == NotForUs(
        "unhandled_type"
    )
    thin = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": "v2.core.account.updated",
        "created": "2026-01-01T00:00:00Z",
    }
    assert read(made.encode(thin), Expected()).fact == NotForUs("thin_event")


def test_off_session_payments_credit_only_when_marked() -> None:
    """The payment of a hosted checkout carries the same metadata and must not credit again."""
    marked = made.payment()
    unmarked = made.payment()
    del unmarked["metadata"]["paymentMethod"]

    assert read(made.encode(made.event("payment_intent.succeeded", marked)), Expected()).fact == TopUpPaid(
        marked["id"], "off_session", marked["id"], "cust_1", 250, 289, "usd"
    )
    assert read(made.encode(made.event("payment_intent.succeeded", unmarked)), Expected()).fact == NotForUs(
        "credited_by_checkout"
    )


def test_refund_events_report_the_refund() -> None:
    """All four types carry a refund; refund.failed means failed, whatever the object still says."""
    body = made.refund({"id": "pi_1"}, 100)
    for kind, status in (
        ("refund.created", "succeeded"),
        ("refund.updated", "succeeded"),
        ("charge.refund.updated", "succeeded"),
        ("refund.failed", "failed"),
    ):
        fact = read(made.encode(made.event(kind, body)), Expected()).fact

        assert fact == RefundReported(body["id"], "pi_1", 100, "usd", status)
    without = read(made.encode(made.event("refund.created", made.refund(None, 100))), Expected()).fact
    unknown = read(
        made.encode(made.event("refund.created", made.refund("pi_1", 100, "teleported"))), Expected()
    ).fact
    assert without == NotForUs("no_payment_intent")
    assert isinstance(unknown, Unusable)


def test_charge_refunded_reads_the_list_where_there_is_one() -> None:
    """Old versions list the refunds, new ones do not."""
    listed = made.refund("pi_1", 40)
    old = read(made.encode(made.event("charge.refunded", made.charge("pi_1", 40, [listed]))), Expected()).fact
    new = read(made.encode(made.event("charge.refunded", made.charge("pi_1", 40, None))), Expected()).fact

    assert old == ChargeRefunded(
        "pi_1", 40, "usd", (RefundReported(listed["id"], "pi_1", 40, "usd", "succeeded"),)
    )
    assert new == ChargeRefunded("pi_1", 40, "usd", ())


def test_disputes_carry_their_funds() -> None:
    """Only the funds events say that money moved."""
    subject = made.dispute("pi_1", 289)
    for kind, funds in (
        ("charge.dispute.created", None),
        ("charge.dispute.closed", None),
        ("charge.dispute.funds_withdrawn", "withdrawn"),
        ("charge.dispute.funds_reinstated", "reinstated"),
    ):
        fact = read(made.encode(made.event(kind, subject)), Expected()).fact

        assert fact == DisputeReported(subject["id"], "pi_1", 289, "usd", "needs_response", funds)


def test_an_ended_topup_checkout_is_reported() -> None:
    """Expiry and a failed delayed payment end a purchase that we know."""
    session = made.checkout(payment_status="unpaid")

    assert read(made.encode(made.event("checkout.session.expired", session)), Expected()).fact == TopUpEnded(
        session["id"], "expired"
    )
    assert read(
        made.encode(made.event("checkout.session.async_payment_failed", session)), Expected()
    ).fact == TopUpEnded(session["id"], "failed")


def test_livemode_must_fit_the_endpoint() -> None:
    """Play money never reaches a live ledger, nor the other way round."""
    live = made.encode(made.event("checkout.session.completed", made.checkout(), livemode=True))

    assert isinstance(read(live, Expected("live")).fact, TopUpPaid)
    assert isinstance(read(live, Expected()).fact, TopUpPaid)
    refused = read(live, Expected("test")).fact
    assert isinstance(refused, Unusable)
    assert refused.reason == "wrong_mode"


def test_same_event_ignores_what_changes_between_deliveries() -> None:
    """Stripe counts pending_webhooks down and may order keys anew; anything else is another event."""
    first = made.event("checkout.session.completed", made.checkout())
    again = dict(reversed(first.items())) | {"pending_webhooks": 0}
    edited = first | {"created": first["created"] + 1}

    assert same_event(made.encode(first), made.encode(again))
    assert not same_event(made.encode(first), made.encode(edited))
    assert same_event(b"not json", b"not json")
    assert not same_event(b"not json", b"nor this")
