"""Units of money: how many digits each has after the point, and amounts as text for a person. Never a float,
never rounded.
"""

from __future__ import annotations

_BY_DIGITS = {
    0: "credit bif clp djf gnf jpy kmf krw mga pyg rwf ugx uyi vnd vuv xaf xof xpf",
    2: (
        "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob bov brl bsd btn bwp byn bzd "
        "cad cdf che chf chw cny cop cou crc cup cve czk dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs "
        "gip gmd gtq gyd hkd hnl hrk htg huf idr ils inr irr isk jmd kes kgs khr kpw kyd kzt lak lbp lkr "
        "lrd lsl mad mdl mkd mmk mnt mop mru mur mvr mwk mxn mxv myr mzn nad ngn nio nok npr nzd pab pen "
        "pgk php pkr pln qar ron rsd rub sar sbd scr sdg sek sgd shp sle sll sos srd ssp std stn svc syp "
        "szl thb tjs tmt top try ttd twd tzs uah usd usn uyu uzs ves wst xcd xcg yer zar zmw zwg"
    ),
    3: "bhd iqd jod kwd lyd omr tnd",
    4: "clf uyw",
    7: "usdc",
}
DIGITS = {unit: digits for digits, units in _BY_DIGITS.items() for unit in units.split()}
"""Every unit with its digits after the point, as PSPs count and the table `unit` holds: ariary whole, krónur
in hundredths, which ISO 4217 has otherwise.
"""
_TOKENS = frozenset({"credit", "usdc"})
_CURRENCY_DIGITS_MAX = 4
"""ISO 4217 knows no more. What has more is a token; its digits beyond the cents are shown unless they are
zeros.
"""
_DECIMALS_MIN = 2


def exponent(unit: str) -> int:
    """How many digits a unit has after the point; of one that nobody knows two are taken to be."""
    return DIGITS.get(unit, 2)


def is_currency(code: str) -> bool:
    """Whether money may be owed and booked in it: a lower-case code of ISO 4217."""
    return code in DIGITS and code not in _TOKENS


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
