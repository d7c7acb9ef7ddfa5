"""What Stripe's payments, transfers, accounts and API versions mean to us, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.decision import Alert
from billing.facts import Fact, NotForUs, PaymentReported, RefundReported, TransferReported, Unusable
from billing.purchase_states import DISPUTE, REFUND
from billing.terms import OrderTerms
from psp.reading import Expected, Reading
from psp.stripe import mapping, versions
from psp.stripe.mapping import read
from tests.support import stripe_events as made

ORDER = {"purpose": "order", "orderId": "order_1", "buyerId": "buyer_1", "sellerId": "seller_1"}
TERMS = OrderTerms("order_1", "buyer_1", "seller_1", 1000, "usd", 1000, ())


def payment(status: str, metadata: object = ORDER, **changes: Any) -> dict[str, Any]:
    """A payment of an order."""
    received = 1000 if status == "succeeded" else 0
    subject = made.payment(amount=1000, id="pi_1", status=status, metadata=metadata)
    return subject | {"amount_received": received} | changes


def reading(kind: str, subject: dict[str, Any], expected: Expected | None = None, **changes: Any) -> Reading:
    """What an event says, to an endpoint for anything unless it is told otherwise."""
    return read(made.encode(made.event(kind, subject, **changes)), expected or Expected())


def fact(kind: str, subject: dict[str, Any]) -> Fact:
    """The fact of an event."""
    return reading(kind, subject).fact


@pytest.mark.parametrize(
    ("kind", "status", "told"),
    [
        ("payment_intent.created", "requires_payment_method", "pending"),
        ("payment_intent.created", "requires_confirmation", "pending"),
        ("payment_intent.created", "requires_source", "pending"),
        ("payment_intent.requires_action", "requires_action", "pending"),
        ("payment_intent.requires_action", "requires_source_action", "pending"),
        ("payment_intent.processing", "processing", "pending"),
        ("payment_intent.amount_capturable_updated", "requires_capture", "pending"),
        ("payment_intent.payment_failed", "requires_payment_method", "failed"),
        ("payment_intent.payment_failed", "requires_source", "failed"),
        ("payment_intent.canceled", "canceled", "canceled"),
        ("payment_intent.succeeded", "succeeded", "succeeded"),
    ],
)
def test_a_payment_of_ours_is_reported_with_what_it_pays_for(kind: str, status: str, told: str) -> None:
    """Whatever becomes of it; a refused one may still be paid, so only its event says that it failed."""
    paid = 1000 if told == "succeeded" else 0

    assert fact(kind, payment(status)) == PaymentReported("pi_1", told, paid, "usd", "order:order_1", TERMS)


def test_a_plans_payment_claims_its_subscription() -> None:
    """Metadata without the account still name what is paid for."""
    plan = {"purpose": "subscription", "subscriptionId": "plan_1"}

    assert fact("payment_intent.succeeded", payment("succeeded", plan)) == PaymentReported(
        "pi_1", "succeeded", 1000, "usd", "subscription:plan_1"
    )


@pytest.mark.parametrize("metadata", [None, {}, {"purpose": "donation"}, {"purpose": ["order"]}])
def test_payments_without_our_metadata_are_ignored(metadata: object) -> None:
    """They may be an invoice's, which tells of its payment itself, or another shop's."""
    assert fact("payment_intent.canceled", payment("canceled", metadata)) == NotForUs("unhandled_type")
    assert fact("payment_intent.succeeded", payment("succeeded", metadata)) == NotForUs("not_a_topup")


@pytest.mark.parametrize(
    ("kind", "status", "changes", "reason"),
    [
        ("payment_intent.succeeded", "processing", {}, "bad_schema"),
        ("payment_intent.canceled", "succeeded", {}, "bad_schema"),
        ("payment_intent.succeeded", "succeeded", {"amount_received": None}, "bad_schema"),
        ("payment_intent.succeeded", "succeeded", {"currency": None}, "bad_schema"),
        ("payment_intent.succeeded", "succeeded", {"metadata": ORDER | {"orderId": ""}}, "bad_metadata"),
        (
            "payment_intent.succeeded",
            "succeeded",
            {"metadata": ORDER | {"sellerAmount": "1001"}},
            "bad_metadata",
        ),
        ("payment_intent.processing", "teleported", {}, "unknown_payment_status"),
    ],
)
def test_a_payment_of_ours_that_cannot_be_believed_is_held_back(
    kind: str, status: str, changes: dict[str, Any], reason: str
) -> None:
    """A lost field, a contradiction and nonsense each have their reason; nothing becomes null silently."""
    told = fact(kind, payment(status, **changes))

    assert isinstance(told, Unusable)
    assert told.reason == reason


def transfer(**changes: Any) -> dict[str, Any]:
    """A transfer to a seller."""
    subject = {
        "id": "tr_1",
        "object": "transfer",
        "amount": 900,
        "amount_reversed": 0,
        "currency": "usd",
        "destination": "acct_9",
        "metadata": {},
        "transfer_group": None,
    }
    return subject | changes


@pytest.mark.parametrize(
    ("changes", "order_id"),
    [
        ({"metadata": {"orderId": "order_1"}}, "order_1"),
        ({"metadata": {"orderId": "order_1"}, "transfer_group": "another"}, "order_1"),
        ({"transfer_group": "order_1"}, "order_1"),
        ({"metadata": None, "transfer_group": "order_1"}, "order_1"),
        ({"transfer_group": "group_ch_1"}, None),
        ({"transfer_group": ""}, None),
        ({}, None),
    ],
)
def test_a_transfer_names_its_order_in_its_metadata_or_its_group(
    changes: dict[str, Any], order_id: str | None
) -> None:
    """A group that Stripe made up by itself is no order of ours."""
    for kind in ("transfer.created", "transfer.updated", "transfer.reversed"):
        assert fact(kind, transfer(**changes)) == TransferReported("tr_1", order_id, "acct_9", 900, 0, "usd")


def test_a_transfer_tells_how_much_was_taken_back() -> None:
    """A destination may be expanded; more than all cannot be taken back, and a transfer goes somewhere."""
    expanded = transfer(destination={"id": "acct_9", "object": "account"}, amount_reversed=400)

    assert fact("transfer.reversed", expanded) == TransferReported("tr_1", None, "acct_9", 900, 400, "usd")
    for broken in ({"amount_reversed": 901}, {"amount_reversed": None}, {"destination": None}):
        assert isinstance(fact("transfer.reversed", transfer(**broken)), Unusable)


def test_a_refund_that_we_asked_for_carries_our_id() -> None:
    """So that it is found even before its own id is known."""
    refund = made.refund("pi_1", 100, id="re_1", metadata={"refundId": "own_1"})

    assert fact("refund.created", refund) == RefundReported("re_1", "pi_1", 100, "usd", "succeeded", "own_1")


def test_events_of_connected_accounts_move_nothing() -> None:
    """Their owners write their metadata and get their money; only the account of the endpoint counts."""
    paid = payment("succeeded")
    connected = NotForUs("connected_account")

    for expected, account, believed in (
        (Expected(), "acct_1", False),
        (Expected(None, "acct_2"), "acct_1", False),
        (Expected(), ["acct_1"], False),
        (Expected(None, "acct_1"), "acct_1", True),
        (Expected(None, "acct_1"), None, True),
        (Expected(), None, True),
    ):
        told = reading("payment_intent.succeeded", paid, expected, account=account).fact
        assert isinstance(told, PaymentReported) is believed
        assert believed or told == connected
    assert reading("gift.sent", {}, account="acct_1").fact == connected
    assert reading("customer.subscription.created", {}, account="acct_1").fact == connected


def test_a_notice_of_an_event_that_was_never_made_is_told_apart() -> None:
    """Other thin events are stored and ignored too, under another reason."""
    thin = {"id": "evt_1", "object": "v2.core.event", "created": "2026-01-01T00:00:00Z"}
    for event_type, reason in (
        ("v2.core.health.event_generation_failure.resolved", "generation_failure"),
        ("v2.core.account.updated", "thin_event"),
    ):
        assert read(made.encode(thin | {"type": event_type}), Expected()) == Reading(NotForUs(reason))


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        (None, None),
        ("2019-12-03", None),
        ("2020-08-27", None),
        ("2022-11-15", None),
        ("2025-03-31.basil", None),
        (f"{versions.NEWEST}.endive", None),
        ("2018-11-08", "2018-11-08"),
        ("2026-10-29.endive", "2026-10-29.endive"),
        ("2027-03-31.fennel", "2027-03-31.fennel"),
        ("2026-10-28.preview", "2026-10-28.preview"),
        ("2026-10-28.endive; some_beta=v1", "2026-10-28.endive; some_beta=v1"),
        ("soon", "soon"),
        ("", "unreadable"),
        ("v" * 61, "unreadable"),
        ("2026\n", "unreadable"),
        (20261028, "unreadable"),
    ],
)
def test_a_version_that_was_never_read_is_alarmed_and_its_event_mapped_all_the_same(
    version: object, shown: str | None
) -> None:
    """The fields decide whether it can be used; a person looks at what else has moved."""
    told = reading("payment_intent.succeeded", payment("succeeded"), api_version=version)
    alerts = [] if shown is None else [("unseen_api_version", f"stripe:{shown}")]

    assert isinstance(told.fact, PaymentReported)
    assert [(alert.name, alert.subject) for alert in told.alerts] == alerts


@pytest.mark.parametrize(
    ("kind", "subject", "field"),
    [
        ("refund.created", made.refund("pi_1", 100, "teleported"), "refund.status"),
        ("charge.dispute.created", made.dispute("pi_1", 100, "teleported"), "dispute.status"),
        ("customer.subscription.updated", made.subscription("teleported"), "subscription.status"),
        ("invoice.updated", made.invoice("sub_1", "teleported"), "invoice.status"),
        ("payment_intent.created", payment("teleported"), "payment_intent.status"),
        (
            "checkout.session.completed",
            made.checkout(payment_status="teleported"),
            "checkout.session.payment_status",
        ),
    ],
)
def test_a_new_word_is_alarmed_under_its_field(kind: str, subject: dict[str, Any], field: str) -> None:
    """And holds back only the event that it stands in; a version that is new beside it is alarmed too."""
    told = reading(kind, subject, api_version="2027-03-31.fennel")

    assert isinstance(told.fact, Unusable)
    assert [(alert.name, alert.subject) for alert in told.alerts] == [
        ("unseen_api_version", "stripe:2027-03-31.fennel"),
        ("unknown_value", f"stripe:{field}"),
    ]
    assert all("teleported" not in alert.detail for alert in told.alerts)


def test_a_lost_field_is_held_back_under_its_place() -> None:
    """And raises no alert of its own beside the quarantine's."""
    lost = {name: value for name, value in payment("succeeded").items() if name != "amount_received"}

    read = reading("payment_intent.succeeded", lost)

    assert read.fact == Unusable("bad_schema", "data.object.amount_received is not an amount in minor units")
    assert read.alerts == ()


def test_every_status_is_a_state_of_its_machine() -> None:
    """A fact whose status no machine knows would fail in the worker instead of here."""
    assert set(mapping.REFUND_STATUSES) <= set(REFUND.states)
    assert set(mapping.DISPUTE_STATUSES) <= set(DISPUTE.states)
    assert {"pending", "succeeded", "canceled"} == set(mapping.PAYMENT_STATUS.values())


JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.none(), max_size=1)


@given(st.data())
def test_a_field_of_any_kind_anywhere_never_raises(data: st.DataObject) -> None:
    """Whatever a field holds: a fact."""
    kind, subject = data.draw(
        st.sampled_from(
            [("payment_intent.succeeded", payment("succeeded")), ("transfer.created", transfer())]
        )
    )
    event = made.event(kind, dict(subject), account=None)
    holder = data.draw(st.sampled_from([event, event["data"], event["data"]["object"]]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)

    assert isinstance(read(made.encode(event), Expected("test", "acct_1")), Reading)


def test_an_alert_is_one_that_the_runbook_knows() -> None:
    """Its name is checked where it is made."""
    with pytest.raises(AssertionError):
        Alert("something_else", "stripe:x", "")
