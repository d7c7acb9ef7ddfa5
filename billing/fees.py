"""What a customer pays for credits: the price plus the PSP's fee, by exact fractions; never a float."""

from __future__ import annotations

from fractions import Fraction

from msgspec import Struct


class Fee(Struct, frozen=True):
    """What the PSP keeps of a payment: `percent` of it (exact, below 100) and `fixed_cents`."""

    percent: Fraction
    fixed_cents: int

    def __post_init__(self) -> None:
        """A fee of everything, or below nothing, has no price that pays it."""
        assert 0 <= self.percent < 100, "a percentage below 100"
        assert self.fixed_cents >= 0, "a fixed fee is not negative"

    def total_cents(self, credits_bought: int) -> int:
        """Cents to charge so that after the fee at least one cent per credit is left.

        The smallest such whole number of cents: ceil((credits + fixed) / (1 - percent/100)).
        """
        assert credits_bought > 0, "something is bought"
        left = 100 - self.percent
        dividend = (credits_bought + self.fixed_cents) * 100 * left.denominator
        return -(-dividend // left.numerator)

    def fee_cents(self, credits_bought: int) -> int:
        """The part of the total that is beyond the credits' own price."""
        return self.total_cents(credits_bought) - credits_bought
