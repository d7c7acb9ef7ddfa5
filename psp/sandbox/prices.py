"""Recurring prices and how long what they buy lasts; must never change a price that exists."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

from . import limits
from .errors import StripeError, invalid, missing
from .forms import Params
from .records import Price
from .turn import Turn

INTERVALS = ("day", "week", "month", "year")


def create(turn: Turn, params: Params) -> Price:
    """`POST /v1/prices`: a recurring price of a product, new or named. No event tells of it."""
    recurring = params.inner("recurring")
    unit_amount, interval = params.integer("unit_amount"), recurring.choice("interval", INTERVALS)
    currency = params.currency("currency")
    if interval is None:
        raise StripeError("The sandbox keeps recurring prices only.", param="recurring[interval]")
    if recurring.integer("interval_count") not in {None, 1}:
        raise invalid("recurring[interval_count]", "the sandbox counts to 1")
    if unit_amount is None:
        raise missing("unit_amount")
    if not 0 <= unit_amount <= limits.amount_minor_max:
        raise invalid("unit_amount", f"must be between 0 and {limits.amount_minor_max}")
    product = params.text("product")
    if product is None:
        params.inner("product_data").required("name")
    price = Price(
        id=turn.mint.id("price"),
        created=turn.now_s,
        currency=currency,
        unit_amount=unit_amount,
        interval=interval,
        product=product or turn.mint.id("prod"),
        nickname=params.text("nickname"),
        metadata=params.metadata(),
    )
    turn.store.insert(price)
    return price


def period_end(start_s: int, interval: str) -> int:
    """Where a period that begins at `start_s` (unix seconds) ends; months and years by the calendar, in UTC,
    shortened to the last day where a month has no such day.
    """
    start = datetime.fromtimestamp(start_s, UTC)
    if interval in {"day", "week"}:
        return int((start + timedelta(days=1 if interval == "day" else 7)).timestamp())
    months = start.year * 12 + start.month - 1 + (1 if interval == "month" else 12)
    year, month = divmod(months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())
