"""Units of money: the table and the code know the same, and that is ISO 4217."""

from __future__ import annotations

import asyncpg
import pytest

from billing import units


async def test_the_table_has_the_digits_that_are_shown(dsn: str) -> None:
    """Of every unit in which anything may be posted: the decision knows the same ones as the database."""
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT code, exponent FROM unit")
    await connection.close()

    assert len(rows) > 160
    assert {row["code"]: row["exponent"] for row in rows} == units.DIGITS
    assert {row["code"] for row in rows if not units.is_currency(row["code"])} == {"credit", "usdc"}


@pytest.mark.parametrize(
    ("amount", "unit", "expected"),
    [
        (1500, "jpy", "1500 JPY"),
        (1500, "usd", "15.00 USD"),
        (1500, "kwd", "1.500 KWD"),
        (1500, "clf", "0.1500 CLF"),
        (-5, "bhd", "-0.005 BHD"),
        (250, "credit", "250 credits"),
        (12_340_000, "usdc", "1.234 USDC"),
        (15_000_000, "usdc", "1.50 USDC"),
        (None, "usd", "an unknown amount"),
        (5, None, "an unknown amount"),
    ],
)
def test_an_amount_is_shown_in_its_unit(amount: int | None, unit: str | None, expected: str) -> None:
    """With all digits that ISO 4217 gives the currency."""
    assert units.shown(amount, unit) == expected
