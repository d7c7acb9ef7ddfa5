"""Shows and reads amounts: minor units as decimal text and back. Never a float, never rounded."""

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


def minor_units(text: str, exponent: int) -> int:
    """The inverse for amounts that are not negative: plain decimal text, at most `exponent` digits after the
    point. Raises ValueError for anything else.
    """
    whole, point, fraction = text.partition(".")
    digits = whole + fraction
    if not digits.isascii() or not digits.isdigit() or not whole or bool(point) != bool(fraction):
        raise ValueError("is not a plain decimal number")
    if len(fraction) > exponent:
        raise ValueError(f"has more than {exponent} digits after the point")
    return int(whole + fraction.ljust(exponent, "0"))


def iso_ms(at: datetime) -> str:
    """A time as customers' clients expect it: UTC, milliseconds, `Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
