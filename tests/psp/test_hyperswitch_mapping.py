"""What Hyperswitch's bodies mean to us, rule by rule, and how exactly each unusable one is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.decision import Alert
from billing.facts import DisputeReported, Fact, NotForUs, PaymentReported, RefundReported, Unusable
from billing.purchase_states import DISPUTE, REFUND
from billing.terms import OrderTerms, PlanTerms
from psp.envelope import Envelope
from psp.hyperswitch import envelope, mapping
from psp.hyperswitch.mapping import read, same_event
from psp.reading import Expected
from tests.psp import hyperswitch_bodies as made


def fact(body: dict[str, Any], account: str | None = None) -> Fact:
    """What a body says."""
    return read(made.encode(body), Expected(None, account)).fact


def of_payment(**changes: Any) -> Fact:
    """What a payment's body says."""
    return fact(made.event("payment_succeeded", "payment_details", made.payment(**changes)))


@pytest.mark.parametrize("status", [*mapping.PAYMENT_STATUS, "conflicted", "teleported"])
def test_every_status_of_a_payment_has_its_meaning_and_another_goes_to_a_person(status: str) -> None:
    """The object's status decides, whatever the type; one without a meaning is alarmed under its field."""
    reading = read(
        made.encode(
            made.event("payment_processing", "payment_details", made.payment(status, amount_received=3000))
        ),
        Expected(),
    )

    if status in mapping.PAYMENT_STATUS:
        assert reading.fact == PaymentReported("pay_1", mapping.PAYMENT_STATUS[status], 3000, "usd")
        assert reading.alerts == ()
    else:
        assert isinstance(reading.fact, Unusable)
        assert [alert.subject for alert in reading.alerts] == ["hyperswitch:payment.status"]


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("payment.succeeded", "succeeded"),
        ("payment_failed", "failed"),
        ("PAYMENT.CANCELLED", "canceled"),
        ("payment_expired", "canceled"),
        ("payment_cancelled_post_capture", "reversed"),
        ("payment_processing", "pending"),
        ("payment_authorized", "pending"),
        ("payment_partially_authorized", "pending"),
        ("payment.requires_customer_action", "pending"),
        ("action_required", "pending"),
        ("payment_captured", "succeeded"),
    ],
)
def test_a_body_without_a_status_has_that_of_its_type(event_type: str, status: str) -> None:
    """Dotted or underscored, in any case of letters; what it does not tell of money stays unknown."""
    assert fact(made.flat(event_type, payment_id="pay_1")) == PaymentReported("pay_1", status, None, None)


def test_what_was_received_counts_and_not_what_was_asked_for() -> None:
    """The amount stands in where nothing else is told, but never for a part of it."""
    partly = {"status": "partially_captured", "amount_received": None}

    assert of_payment(amount_received=4999) == PaymentReported("pay_1", "succeeded", 4999, "usd")
    assert of_payment(amount_received=None) == PaymentReported("pay_1", "succeeded", 5000, "usd")
    assert of_payment(**partly) == Unusable(
        "bad_schema", "content.object.amount_received is missing where only a part was captured"
    )
    assert isinstance(of_payment(currency=None), Unusable)


def test_an_order_and_a_plan_are_read_from_the_metadata_of_their_payment() -> None:
    """The claim is the key of what is paid for; the terms are the whole agreement."""
    order = OrderTerms("order_1", "buyer_1", "seller_1", 5000, "usd", 4000, ("font", "font-italic"))
    plan = PlanTerms("plan_1", "buyer_1", "pro", 5000, "usd")

    assert of_payment(metadata=made.ORDER) == PaymentReported(
        "pay_1", "succeeded", 5000, "usd", "order:order_1", order
    )
    assert of_payment(metadata=made.PLAN) == PaymentReported(
        "pay_1", "succeeded", 5000, "usd", "subscription:plan_1", plan
    )
    assert of_payment(metadata={"purpose": "donation"}) == PaymentReported("pay_1", "succeeded", 5000, "usd")


def test_ids_are_read_from_the_content_then_the_object_then_the_top() -> None:
    """Old bodies have them elsewhere; the best place wins."""
    nested = made.event("refund_succeeded", "refund_details", made.refund(), refund_id="stray")
    beside = made.flat("refund_succeeded", object=made.refund(), refund_id="stray")
    above = made.event("refund_succeeded", "refund_details", made.refund(refund_id=None), refund_id="ref_1")

    for body in (nested, beside, above):
        assert fact(body) == RefundReported("ref_1", "pay_1", 2000, "usd", "succeeded")


def test_stray_ids_classify_nothing() -> None:
    """A payment may embed refunds and name one; a refund's family without a refund's id is unusable."""
    embedding = made.payment(refunds=[made.refund()], refund_id="ref_1", dispute_id="dp_1")

    assert isinstance(fact(made.event("payment_succeeded", "payment_details", embedding)), PaymentReported)
    assert isinstance(fact(made.flat("payment.succeeded", payment_id="p", refund_id="r")), PaymentReported)
    unusable = fact(made.event("refund_succeeded", "refund_details", made.payment()))
    assert unusable == Unusable("bad_schema", "content.object.refund_id is missing")


@pytest.mark.parametrize("family", ["refund_details", "Refund_Details", "refund.details"])
def test_a_family_is_matched_like_an_event_type(family: str) -> None:
    """Case and dots make no other family, for the worker as for the log."""
    body = made.event("Refund.Succeeded", family, made.refund())

    assert isinstance(fact(body), RefundReported)
    assert envelope.read(made.encode(body)).object_id == "ref_1"


def test_an_event_about_money_of_an_unknown_family_is_held_back() -> None:
    """It is not ignored: the PSP has learnt a word, and we have not."""
    told = fact(made.event("payment_succeeded", "payment_details_v2", made.payment("succeeded")))

    assert told == Unusable("bad_schema", "content.type is none that we know")


def test_a_type_that_contradicts_its_family_is_unusable() -> None:
    """Either of them is wrong about money, and nobody can tell which."""
    assert fact(made.event("refund_succeeded", "payment_details", made.payment())) == Unusable(
        "bad_schema", "content.type contradicts the event's type"
    )


def test_a_dispute_keeps_the_words_of_the_psp_and_its_last_one_moves_the_money() -> None:
    """There are no events of funds; the status comes from the object or else from the type."""
    for status, funds in mapping.FUNDS_OF_DISPUTE.items():
        body = made.event(status, "dispute_details", made.dispute(status))
        by_type = made.event(status.replace("_", "."), "dispute_details", made.dispute(dispute_status=None))
        expected = DisputeReported("dp_1", "pay_1", 5000, "usd", status, funds)

        assert (fact(body), fact(by_type)) == (expected, expected)


@pytest.mark.parametrize("amount", ["", "-1", "+1", "1.5", "01", " 1", "1e3", "٣", "9" * 20, 1.5, True, None])
def test_the_amount_of_a_dispute_is_a_whole_number_of_minor_units(amount: object) -> None:
    """As text or as a number, in one way of writing it."""
    refused = fact(made.event("dispute_opened", "dispute_details", made.dispute(amount=amount)))

    assert refused == Unusable("bad_schema", "content.object.amount is not an amount in minor units")
    told = fact(made.event("dispute_opened", "dispute_details", made.dispute(amount=5000)))
    assert isinstance(told, DisputeReported)


@pytest.mark.parametrize("amount", ["2000", 2000.0, True, -1, 2**53])
def test_other_amounts_are_integers(amount: object) -> None:
    """Hyperswitch writes amounts as text in disputes only."""
    body = made.event("refund_succeeded", "refund_details", made.refund(amount=amount))

    assert isinstance(fact(body), Unusable)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (made.event("mandate_revoked", "mandate_details", {"mandate_id": "m"}), "mandate"),
        (made.event("payout_success", "payout_details", {"payout_id": "p"}), "payout"),
        (made.event("invoice_paid", "subscription_details", {"id": "s"}), "psp_subscription"),
        (made.event("gift_sent", "gift_details", {}), "unhandled_type"),
        (made.flat("payout_failed", payout_id="p"), "payout"),
        (made.flat("invoice_paid", id="s"), "psp_subscription"),
        (made.flat("gift_sent", refund_id="ref_1"), "unhandled_type"),
        (made.flat("payment_adjusted", payment_id="pay_1", status="succeeded"), "unhandled_type"),
        (made.event("payment_adjusted", "payment_details", {"payment_id": "pay_1"}), "unhandled_type"),
    ],
)
def test_what_moves_nothing_of_ours_says_why(body: dict[str, Any], reason: str) -> None:
    """Other families and types that nobody has read are ignored, whatever ids they hold."""
    assert fact(body) == NotForUs(reason)


def test_another_merchants_event_is_held_back_where_the_endpoint_names_one() -> None:
    """By merchant or by profile; a body that names neither cannot be told apart."""
    body = made.event("payment_succeeded", "payment_details", made.payment())

    assert isinstance(fact(body, made.MERCHANT), PaymentReported)
    assert isinstance(fact(body, "pro_1"), PaymentReported)
    assert isinstance(fact(made.flat("payment_failed", payment_id="p"), "pro_1"), PaymentReported)
    refused = fact(body, "merchant_of_others")
    assert isinstance(refused, Unusable)
    assert refused.reason == "wrong_account"


def test_every_status_is_a_state_of_its_machine() -> None:
    """A fact whose status no machine knows would fail in the worker instead of here."""
    assert set(mapping.REFUND_STATUS.values()) <= set(REFUND.states)
    assert set(mapping.FUNDS_OF_DISPUTE) <= set(DISPUTE.states)
    assert set(mapping.PAYMENT_STATUS.values()) == {"pending", "failed", "canceled", "succeeded", "reversed"}


def test_a_word_that_is_new_raises_one_alert_for_all_its_events() -> None:
    """The subject names the field, and neither subject nor detail shows the value."""
    body = made.event("refund_succeeded", "refund_details", made.refund("secretly"))

    assert read(made.encode(body), Expected()).alerts == (
        Alert("unknown_value", "hyperswitch:refund.status", "refund.status is none that we know"),
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(made.BODIES)), st.data())
def test_a_field_of_any_kind_anywhere_never_raises(name: str, data: st.DataObject) -> None:
    """Whatever a field holds: a fact, and for the log an envelope with the event's id."""
    body = json.loads(json.dumps(made.BODIES[name]))
    holders = [body, *([body["content"], body["content"]["object"]] if "content" in body else [])]
    holder = data.draw(st.sampled_from(holders))
    field = data.draw(st.sampled_from(sorted(set(holder) - {"event_id"})))
    holder[field] = data.draw(JSON)

    read(made.encode(body), Expected(None, "account"))
    assert envelope.read(made.encode(body)).event_id in ("evt_1", None)


def test_the_envelope_keeps_the_id_of_a_body_of_another_shape_and_orders_by_the_objects_change() -> None:
    """An event whose inner shape is new must still be found by its id."""
    body = made.event("payment_succeeded", "payment_details", made.payment())
    changed = Envelope("evt_1", "payment_succeeded", "pay_1", 1_794_995_999)

    assert envelope.read(made.encode(body)) == changed
    del body["content"]["object"]["updated"]
    assert envelope.read(made.encode(body)) == changed._replace(psp_created=1_794_996_000)
    body["content"]["object"]["payment_id"] = 7
    assert envelope.read(made.encode(body)) == Envelope("evt_1", "payment_succeeded")


def test_the_log_names_the_object_of_old_bodies_too() -> None:
    """By the family of the type, wherever the id stands; never by a stray one."""
    for body, object_id in (
        (made.flat("refund.succeeded", refund_id="ref_1", payment_id="pay_1"), "ref_1"),
        (made.flat("Refund.Succeeded", object={"refund_id": "ref_1"}), "ref_1"),
        (made.flat("dispute_won", dispute_id="dp_1", payment_id="pay_1"), "dp_1"),
        (made.flat("payment.succeeded", payment_id="pay_1", refund_id="ref_1"), "pay_1"),
        (made.flat("payment.succeeded", refund_id="ref_1"), None),
    ):
        assert envelope.read(made.encode(body)).object_id == object_id


def test_the_same_event_may_be_rendered_anew() -> None:
    """Retries send the stored bytes; a proxy that orders the keys anew changes nothing."""
    body = made.event("payment_succeeded", "payment_details", made.payment())
    turned = dict(reversed(body.items()))

    assert same_event(made.encode(body), made.encode(turned))
    assert not same_event(made.encode(body), made.encode(body | {"timestamp": "2026-11-18T10:00:01.000Z"}))
    assert same_event(b"x", b"x")
    assert not same_event(b"x", b"y")
