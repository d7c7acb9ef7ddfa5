"""Units of money: how many digits each has after the point, and amounts as text for a person. Never a float,
never rounded.
"""

from __future__ import annotations

_BY_DIGITS = {
    0: "credit bif clp djf gnf jpy kmf krw mga pyg rwf ugx uyi vnd vuv xaf xof xpf",
    3: "bhd iqd jod kwd lyd omr tnd",
    4: "clf uyw",
    7: "usdc",
}
_EXPONENTS = {unit: digits for digits, units in _BY_DIGITS.items() for unit in units.split()}
"""Digits after the point, as PSPs count and the table `unit` holds: ariary whole, krónur in hundredths, which
ISO 4217 has otherwise; every other currency has two.
"""
_CURRENCY_DIGITS_MAX = 4
"""ISO 4217 knows no more. What has more is a token; its digits beyond the cents are shown unless they are
zeros.
"""
_DECIMALS_MIN = 2


def exponent(unit: str) -> int:
    """How many digits a unit has after the point."""
    return _EXPONENTS.get(unit, 2)


def decimal_text(amount: int, exponent: int) -> str:
    """`amount` minor units with `exponent` digits after the point: all of a currency's, and of a token's at
    least two.
    """
    digits = str(abs(amount)).rjust(exponent + 1, "0")
    sign = "-" if amount < 0 else ""
    if exponent == 0:
        return sign + digits
    whole, fraction = digits[:-exponent], digits[-exponent:]
    if exponent > _CURRENCY_DIGITS_MAX:
        fraction = fraction.rstrip("0").ljust(_DECIMALS_MIN, "0")
    return f"{sign}{whole}.{fraction}"


def name(unit: str) -> str:
    """A unit as people write it."""
    return "credits" if unit == "credit" else unit.upper()


def shown(amount: int | None, unit: str | None) -> str:
    """Minor units of a unit for a person: `12.50 USD`; what is not told is said to be unknown."""
    if amount is None or not unit:
        return "an unknown amount"
    return f"{decimal_text(amount, exponent(unit))} {name(unit)}"
