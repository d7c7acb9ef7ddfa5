"""What Stripe's subscription and invoice bodies mean to us, in every place where their fields ever stood."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.facts import (
    Fact,
    InvoiceReported,
    InvoiceValues,
    NotForUs,
    SubscriptionReported,
    SubscriptionValues,
    Unusable,
)
from psp.reading import Expected
from psp.stripe.mapping import read
from psp.stripe.mapping_subscriptions import SUBSCRIPTION_MAPPINGS, SUBSCRIPTION_STATUS
from tests.support import stripe_events as made
from tests.support.payloads import stripe_fixtures, stripe_payloads

MONTH = 2_592_000


def reported(
    kind: str, subject: dict[str, Any], previous: dict[str, Any] | None = None
) -> SubscriptionReported:
    """The fact of a subscription event."""
    fact = told(kind, subject, previous)
    assert isinstance(fact, SubscriptionReported)
    return fact


def billed(kind: str, subject: dict[str, Any], previous: dict[str, Any] | None = None) -> InvoiceReported:
    """The fact of an invoice event."""
    fact = told(kind, subject, previous)
    assert isinstance(fact, InvoiceReported)
    return fact


def told(kind: str, subject: dict[str, Any], previous: dict[str, Any] | None = None) -> Fact:
    """Whatever an event says."""
    event = made.event(kind, subject) if previous is None else made.update(kind, subject, previous)
    return read(made.encode(event), Expected()).fact


def real(file: str) -> Fact:
    """The fact in a real body."""
    return read(stripe_payloads()[file].encode(), Expected()).fact


def test_a_subscription_in_the_newest_shape() -> None:
    """The period stands in the item; ids are plain."""
    body = made.subscription(latest_invoice="in_1", trial_end=5)

    assert reported("customer.subscription.created", body) == SubscriptionReported(
        body["id"],
        "created",
        SubscriptionValues(
            "active",
            body["customer"],
            "cust_1",
            "price_1",
            False,
            made.CREATED,
            made.CREATED + MONTH,
            5,
            None,
            None,
            "in_1",
        ),
        None,
    )


def test_a_subscription_in_the_oldest_shape_says_the_same() -> None:
    """The period stands on the subscription, a plan instead of a price, and objects instead of ids."""
    new = made.subscription(latest_invoice="in_1")
    old = new | {
        "current_period_start": made.CREATED,
        "current_period_end": made.CREATED + MONTH,
        "customer": {"id": new["customer"], "object": "customer"},
        "latest_invoice": {"id": "in_1", "object": "invoice"},
        "items": {"object": "list", "data": [{"id": "si_1", "plan": {"id": "price_1", "object": "plan"}}]},
    }
    without_items = {name: value for name, value in old.items() if name != "items"} | {
        "plan": {"id": "price_1"}
    }

    for body in (old, without_items):
        assert reported("customer.subscription.created", body) == reported(
            "customer.subscription.created", new
        )


@pytest.mark.parametrize("status", [*SUBSCRIPTION_STATUS, "dormant"])
def test_every_status_has_its_state_and_an_unknown_one_goes_to_a_person(status: str) -> None:
    """A status that Stripe adds is never taken for another."""
    fact = told("customer.subscription.created", made.subscription(status))

    if status == "dormant":
        assert isinstance(fact, Unusable)
        assert fact.reason == "unknown_subscription_status"
    else:
        assert isinstance(fact, SubscriptionReported)
        assert fact.values.status == SUBSCRIPTION_STATUS[status]


def test_a_deleted_subscription_is_canceled_unless_it_had_expired() -> None:
    """Whatever its object still says."""
    for status, state in (
        ("active", "canceled"),
        ("canceled", "canceled"),
        ("incomplete_expired", "expired"),
    ):
        fact = reported("customer.subscription.deleted", made.subscription(status))

        assert (fact.kind, fact.values.status) == ("deleted", state)


def test_previous_attributes_are_put_back() -> None:
    """Plain fields, metadata and items: the object as it was before the event."""
    body = made.subscription()
    items = json.loads(json.dumps(body["items"]))
    items["data"][0]["current_period_end"] = 7
    previous = {"status": "incomplete", "metadata": {"accountId": "old"}, "items": {"data": items["data"]}}
    before = reported("customer.subscription.updated", body, previous).before

    assert before is not None
    assert (before.status, before.account_id, before.current_period_end) == ("pending_payment", "old", 7)
    assert before.current_period_start == made.CREATED


def test_an_event_that_names_no_change_was_preceded_by_what_it_shows() -> None:
    """trial_will_end and its like are snapshots; a creation has nothing before it."""
    body = made.subscription("trialing")

    for kind in ("customer.subscription.trial_will_end", "customer.subscription.updated"):
        fact = reported(kind, body)
        assert fact.before == fact.values
    assert reported("customer.subscription.created", body).before is None


def test_an_unreadable_past_is_unknown_and_harms_nothing() -> None:
    """It only helps to order events."""
    fact = reported("customer.subscription.updated", made.subscription(), {"status": "dormant"})

    assert (fact.values.status, fact.before) == ("active", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"customer": None},
        {"items": None},
        {"items": {"data": []}},
        {"items": {"data": [{"id": "si_1", "current_period_start": 1, "current_period_end": 2}]}},
        {"items": {"data": [{"id": "si_1", "price": {"id": "p"}, "current_period_start": 1}]}},
        {"cancel_at_period_end": None},
        {"trial_end": "soon"},
        {"metadata": {"accountId": ""}},
        {"metadata": {"accountId": 7}},
        {"metadata": {"accountId": "system:credits_issued"}},
        {"status": None},
        {"id": None},
    ],
)
def test_a_lost_field_of_a_subscription_goes_to_a_person(changes: dict[str, Any]) -> None:
    """Nothing becomes null silently."""
    fact = told("customer.subscription.created", made.subscription(**changes))

    assert isinstance(fact, Unusable)
    assert fact.reason == "bad_schema"


def test_the_account_may_be_named_in_two_ways_or_not_at_all() -> None:
    """Both names are ours; a foreign subscription has neither."""
    for metadata, account in (
        ({"accountId": "a"}, "a"),
        ({"userId": "u"}, "u"),
        ({"accountId": "a", "userId": "u"}, "a"),
        ({}, None),
        (None, None),
    ):
        fact = reported("customer.subscription.created", made.subscription(metadata=metadata))

        assert fact.values.account_id == account


def test_an_invoice_in_the_newest_shape() -> None:
    """Its subscription stands in `parent`, its payment in `payments` if at all."""
    body = made.invoice("sub_1") | {
        "payments": {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]}
    }

    assert billed("invoice.paid", body) == InvoiceReported(
        body["id"],
        "changed",
        "sub_1",
        "pi_1",
        "usd",
        InvoiceValues("paid", 2000, 2000, 1, made.CREATED + 60),
        InvoiceValues("paid", 2000, 2000, 1, made.CREATED + 60),
    )


def test_an_invoice_in_the_oldest_shape_says_the_same() -> None:
    """Subscription and payment stand on the invoice, plain or expanded."""
    new = made.invoice("sub_1") | {"payments": {"data": [{"payment": {"payment_intent": {"id": "pi_1"}}}]}}
    old = {name: value for name, value in new.items() if name not in ("parent", "payments")}

    for names in (
        {"subscription": "sub_1", "payment_intent": "pi_1"},
        {"subscription": {"id": "sub_1"}, "payment_intent": {"id": "pi_1"}},
        {"subscription": "sub_1", "payment_intent": "pi_1", "parent": None, "payments": None},
    ):
        assert billed("invoice.paid", old | names) == billed("invoice.paid", new)


def test_an_invoice_without_a_subscription_is_not_ours() -> None:
    """Of a quote, by hand, or of nothing."""
    for parent in (None, {"type": "quote_details", "subscription_details": None}):
        body = made.invoice("sub_1") | {"parent": parent}

        assert told("invoice.paid", body) == NotForUs("not_a_subscription_invoice")
        assert told("invoice.deleted", body | {"status": "deleted"}) == NotForUs("not_a_subscription_invoice")
    assert told("invoice_payment.paid", {"id": "inpay_1"}) == NotForUs("told_by_its_invoice")


def test_an_invoice_is_paid_when_the_psp_says_so() -> None:
    """The time of payment is the PSP's, and only that of a payment that stands."""
    open_body = made.invoice("sub_1", "open") | {"status_transitions": {"paid_at": 5}}

    assert billed("invoice.finalized", open_body).values.paid_at is None
    assert billed("invoice.paid", made.invoice("sub_1")).values.paid_at == made.CREATED + 60


def test_a_deleted_draft_is_void() -> None:
    """Only drafts can be deleted; nothing brings them back."""
    fact = billed("invoice.deleted", made.invoice("sub_1", "draft") | {"status": "deleted"})

    assert (fact.kind, fact.values.status) == ("deleted", "void")


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("invoice.updated", {"status": "teleported"}, "unknown_invoice_status"),
        ("invoice.updated", {"status": None}, "bad_schema"),
        ("invoice.paid", {"status": "open"}, "bad_schema"),
        ("invoice.voided", {"status": "paid"}, "bad_schema"),
        ("invoice.paid", {"status_transitions": {"paid_at": None}}, "bad_schema"),
        ("invoice.paid", {"status_transitions": None}, "bad_schema"),
        ("invoice.paid", {"amount_paid": None}, "bad_schema"),
        ("invoice.paid", {"amount_due": 10.5}, "bad_schema"),
        ("invoice.paid", {"attempt_count": None}, "bad_schema"),
        ("invoice.paid", {"currency": None}, "bad_schema"),
        ("invoice.paid", {"parent": {"subscription_details": {"subscription": 7}}}, "bad_schema"),
    ],
)
def test_a_lost_field_of_an_invoice_goes_to_a_person(kind: str, changes: dict[str, Any], reason: str) -> None:
    """Nothing becomes null silently."""
    fact = told(kind, made.invoice("sub_1", **changes))

    assert isinstance(fact, Unusable)
    assert fact.reason == reason


def test_an_invoices_past_is_put_back() -> None:
    """An update from open to paid tells both."""
    fact = billed("invoice.updated", made.invoice("sub_1"), {"status": "open", "amount_paid": 0})

    assert fact.before == InvoiceValues("open", 2000, 0, 1, None)


def test_an_upcoming_invoice_has_no_id_and_is_ignored() -> None:
    """It is a forecast."""
    assert "invoice.upcoming" not in SUBSCRIPTION_MAPPINGS
    assert told("invoice.upcoming", {"object": "invoice"}) == NotForUs("unhandled_type")


def test_real_subscriptions_of_older_versions_are_read() -> None:
    """Created, deleted and updated as Stripe sent them."""
    created = real("subscription_created.json")
    deleted = real("subscription_deleted.json")
    updated = real("subscription_updated.json")

    assert isinstance(created, SubscriptionReported)
    assert isinstance(deleted, SubscriptionReported)
    assert isinstance(updated, SubscriptionReported)
    assert (created.id, created.kind, created.values.status) == ("sub_JdIzvfy6o5GZRd", "created", "active")
    assert created.values.current_period_end == 1_625_740_918
    assert (deleted.id, deleted.values.status, deleted.values.ended_at) == (
        created.id,
        "canceled",
        1_623_149_102,
    )
    assert updated.before == updated.values


def test_real_invoices_of_older_versions_are_read() -> None:
    """Each with its subscription, or not ours."""
    for file, state in (("finalized", "open"), ("paid", "paid"), ("updated", "draft"), ("voided", "void")):
        fact = real(f"invoice_{file}.json")

        assert isinstance(fact, InvoiceReported)
        assert fact.values.status == state
    assert real("invoice_deleted.json") == NotForUs("not_a_subscription_invoice")
    assert real("invoice_payment_paid.json") == NotForUs("told_by_its_invoice")


def test_stripes_own_examples_of_the_newest_version_are_read() -> None:
    """The objects that Stripe publishes with its newest schema."""
    examples = stripe_fixtures()
    subscription = reported("customer.subscription.updated", examples["subscription"])
    invoice = billed("invoice.created", examples["invoice"])

    assert subscription.values.price_id == "price_1PgafmB7WZ01zgkW6dKueIc5"
    assert subscription.values.current_period_end == 976_287_773
    assert (invoice.subscription_id, invoice.values.status, invoice.values.amount_due_minor) == (
        "subscription",
        "draft",
        1000,
    )
