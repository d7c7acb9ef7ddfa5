"""The fee by fractions: never a cent too little, never one too much."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.fees import Fee

STRIPE = Fee(Fraction("2.9"), 30)


@pytest.mark.parametrize(
    ("bought", "total"),
    [(1, 32), (50, 83), (250, 289), (300, 340), (1_000, 1_061), (10_000, 10_330), (1_000_000, 1_029_898)],
)
def test_the_known_prices(bought: int, total: int) -> None:
    """What the fee of 2.9 % and 30 cents makes of known purchases; 250 credits cost 39 cents more."""
    assert STRIPE.total_cents(bought) == total
    assert STRIPE.fee_cents(bought) == total - bought


def test_every_price_of_the_contract_is_the_ceiling() -> None:
    """For all purchases that there are: the integer formula of the contract, and a net that covers them."""
    for bought in range(1, 1_000_001):
        total = STRIPE.total_cents(bought)

        assert -((bought + 30) * 1000 // -971) == total
        # After a fee of 2.9 % and 30 cents, in thousandths of a cent, at least the credits are left.
        assert total * 971 - 30_000 >= bought * 1000


@given(
    st.integers(1, 1_000_000),
    st.integers(0, 999_999).map(lambda parts: Fraction(parts, 10_000)),
    st.integers(0, 1_000),
)
def test_any_fee_is_covered_by_the_smallest_total(bought: int, percent: Fraction, fixed: int) -> None:
    """Whatever the settings say, the total pays the fee, and one cent less would not."""
    fee = Fee(percent, fixed)
    total = fee.total_cents(bought)

    def left(charged: int) -> Fraction:
        return charged - charged * percent / 100 - fixed

    assert left(total) >= bought
    assert left(total - 1) < bought
    assert bought + fee.fee_cents(bought) == total
    assert math.ceil((bought + fixed) / (1 - percent / 100)) == total


def test_without_a_fee_a_credit_is_a_cent() -> None:
    """A merchant who pays the fee charges none."""
    assert Fee(Fraction(0), 0).total_cents(250) == 250


@pytest.mark.parametrize("bought", [0, -5])
def test_nothing_has_no_price(bought: int) -> None:
    """A purchase of nothing is a bug of the caller."""
    with pytest.raises(AssertionError):
        STRIPE.total_cents(bought)


@pytest.mark.parametrize(("percent", "fixed"), [(100, 0), (250, 0), (-1, 0), (0, -1)])
def test_an_impossible_fee_is_refused(percent: int, fixed: int) -> None:
    """No price pays a fee of everything."""
    with pytest.raises(AssertionError):
        Fee(Fraction(percent), fixed)
