"""What Hyperswitch's bodies mean to us is written down, and changes only on purpose."""

from __future__ import annotations

from psp.hyperswitch import mapping
from tests.psp import golden_hyperswitch
from tests.psp.hyperswitch_bodies import BODIES


def test_every_body_of_the_published_schema_means_what_is_written_down() -> None:
    """One sentence a body; `python -m tests.psp.golden_hyperswitch` writes them anew."""
    expected = golden_hyperswitch.GOLDEN.read_text(encoding="utf-8").splitlines()

    assert expected == golden_hyperswitch.text().splitlines()


def test_the_bodies_cover_every_type_of_payments_refunds_and_disputes() -> None:
    """Each type that the sender's code knows has a body of its own."""
    sent = {str(body["event_type"]).lower().replace(".", "_") for body in BODIES.values()}
    known = {
        "payment_succeeded",
        "payment_failed",
        "payment_processing",
        "payment_cancelled",
        "payment_cancelled_post_capture",
        "payment_authorized",
        "payment_partially_authorized",
        "payment_captured",
        "payment_expired",
        "action_required",
        "refund_succeeded",
        "refund_failed",
        "invoice_paid",
        *mapping.FUNDS_OF_DISPUTE,
    }

    assert known - sent == set()
