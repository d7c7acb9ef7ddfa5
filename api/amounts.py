"""Shows amounts: integers in minor units become decimal text. Never a float, never rounded."""

from __future__ import annotations

from datetime import UTC, datetime

DECIMALS_MIN = 2
"""Digits after the point that are shown even when they are zero, where the unit has them."""


def decimal_text(amount: int, exponent: int) -> str:
    """`amount` minor units with `exponent` digits after the point; zeros beyond the second are cut off."""
    digits = str(abs(amount)).rjust(exponent + 1, "0")
    sign = "-" if amount < 0 else ""
    if exponent == 0:
        return sign + digits
    whole, fraction = digits[:-exponent], digits[-exponent:]
    return f"{sign}{whole}.{fraction.rstrip('0').ljust(min(DECIMALS_MIN, exponent), '0')}"


def iso_ms(at: datetime) -> str:
    """A time as customers' clients expect it: UTC, milliseconds, `Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
