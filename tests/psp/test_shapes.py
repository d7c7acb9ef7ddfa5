"""Which watched fields an event has: every shape that was ever sent has them all, one that a version drops is
missed.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from psp.hyperswitch import mapping as hyperswitch
from psp.reading import Expected
from psp.stripe.mapping import read
from tests.psp import hyperswitch_bodies
from tests.psp.golden_newest import bodies
from tests.support import stripe_events as made
from tests.support.payloads import stripe_payloads

PAID = made.invoice("sub_1", payment_intent="pi_1")
RENEWED = made.subscription(current_period_start=made.CREATED)
ITEM = {"price": "price_1"}


def absent(body: bytes) -> tuple[str, ...]:
    """The watched fields that a Stripe event has not got; nothing where nothing is watched."""
    shape = read(body, Expected()).shape
    return () if shape is None else shape.absent


def without(subject: dict[str, Any], *names: str, **changes: Any) -> dict[str, Any]:
    """An object that lacks some fields."""
    return {name: value for name, value in (subject | changes).items() if name not in names}


def test_no_real_body_lacks_a_watched_field() -> None:
    """Of 2020 and of the newest version: an alert for either would be a false one."""
    real = {name: absent(body.encode()) for name, body in stripe_payloads().items()}
    newest = {name: absent(made.encode(event)) for name, (event, _) in bodies().items()}

    assert {name for name, lacks in (real | newest).items() if lacks} == set()
    watched = [read(body.encode(), Expected()).shape for body in stripe_payloads().values()]
    assert sum(shape is not None for shape in watched) > 20


@pytest.mark.parametrize(
    ("event_type", "subject", "expected"),
    [
        ("invoice.paid", PAID, ()),
        ("invoice.paid", without(PAID, "parent", subscription="sub_1"), ()),
        ("invoice.paid", without(PAID, subscription=None, parent=None), ()),
        ("invoice.paid", without(PAID, parent=None), ()),
        ("invoice.paid", without(PAID, "parent", "payment_intent"), ("subscription",)),
        ("invoice.paid", without(PAID, parent={"type": "moved_again"}), ("subscription",)),
        ("customer.subscription.updated", RENEWED, ()),
        (
            "customer.subscription.updated",
            without(RENEWED, "trial_end", items={"data": [ITEM]}),
            ("current_period_end", "trial_end"),
        ),
        (
            "customer.subscription.updated",
            without(RENEWED, items={"data": [ITEM]}, current_period_end=made.CREATED),
            (),
        ),
        ("customer.subscription.updated", without(RENEWED, items={"data": []}), ()),
        ("refund.updated", without(made.refund("pi_1", 5), "payment_intent"), ("payment_intent",)),
        ("charge.refund.updated", without(made.refund(None, 5), "metadata"), ("metadata",)),
        ("customer.updated", {"id": "cus_1"}, ()),
    ],
)
def test_a_field_is_missed_where_no_version_has_kept_it(
    event_type: str, subject: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """Null is there; what has moved to a place that is read is there; what is gone is named."""
    assert absent(made.encode(made.event(event_type, subject))) == expected


def test_a_version_that_is_none_is_not_kept() -> None:
    """Nobody fills our table or our alerts with texts of their own."""
    told = [None, "2024-06-20", "2026-10-28.endive; some_beta=v1", "<script>", "x" * 200, 7]
    events = [made.event("refund.updated", made.refund("pi_1", 5), api_version=each) for each in told]
    shapes = [read(made.encode(event), Expected()).shape for event in events]

    assert [shape.version for shape in shapes if shape is not None] == [
        "2024-06-20",
        "2026-10-28.endive; some_beta=v1",
        "unreadable",
        "unreadable",
        "unreadable",
    ]


def test_hyperswitch_bodies_are_watched_where_they_are_wrapped() -> None:
    """Its bodies tell no version; flat ones of old integrations hold too little."""
    paid = hyperswitch_bodies.payment()
    lacking = hyperswitch_bodies.event("payment_succeeded", "payment_details", without(paid, "metadata"))
    flat = hyperswitch_bodies.flat("payment_succeeded", payment_id="pay_1")
    shapes = [hyperswitch.read(json.dumps(body).encode(), Expected()).shape for body in (lacking, flat)]

    assert shapes[0] is not None
    assert (shapes[0].event_type, shapes[0].version) == ("payment_succeeded", "")
    assert shapes[0].absent == ("metadata",)
    assert shapes[1] is None
