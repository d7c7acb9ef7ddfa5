"""What every real Stripe body means to us is written down, and changes only on purpose."""

from __future__ import annotations

from billing.facts import NotForUs, RefundReported
from tests.psp import golden_newest, golden_stripe


def test_every_real_body_means_what_is_written_down() -> None:
    """One sentence a file; `python -m tests.psp.golden_stripe` writes them anew."""
    expected = golden_stripe.GOLDEN.read_text(encoding="utf-8").splitlines()

    assert golden_stripe.text().splitlines() == expected


def test_the_newest_shape_of_every_body_means_what_is_written_down() -> None:
    """Built from Stripe's own example objects; `python -m tests.psp.golden_newest` writes them anew."""
    expected = golden_newest.GOLDEN.read_text(encoding="utf-8").splitlines()

    assert golden_newest.text().splitlines() == expected


def test_no_real_body_is_unusable() -> None:
    """Whatever Stripe has really sent is either understood or not for us, in every API version."""
    unusable = [line for line in golden_stripe.text().splitlines() if "Unusable" in line]

    assert unusable == []


def test_no_real_body_and_no_example_is_of_a_version_that_was_never_read() -> None:
    """The table of versions begins before the oldest of them and ends with the newest."""
    alarmed = [line for line in golden_stripe.text().splitlines() if "unseen_api_version" in line]
    alarmed += [line for line in golden_newest.text().splitlines() if "unseen_api_version" in line]

    assert alarmed == []


def test_a_sentence_tells_all_that_a_fact_says() -> None:
    """Two facts that differ have sentences that differ."""
    refund = RefundReported("re_1", "pi_1", 100, "usd", "failed")

    assert golden_stripe.sentence(refund) == (
        "Refund reported: id re_1, payment id pi_1, amount minor 100, currency usd, status failed, "
        "own id none"
    )
    assert "amount minor as sent" in golden_stripe.sentence(refund, frozenset({100}))
    assert golden_stripe.sentence(NotForUs("thin_event")) == "Not for us: reason thin_event"
