"""Reads amounts that are written as decimal text, and shows times. Never a float, never rounded."""

from __future__ import annotations

from datetime import UTC, datetime


def minor_units(text: str, exponent: int) -> int:
    """Plain decimal text of at most `exponent` digits after the point, in minor units. Raises ValueError for
    anything else, a sign too.
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
