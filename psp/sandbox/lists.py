"""Stripe's lists: page size, cursor and filters in, one page of the books out; it must never write."""

from __future__ import annotations

import json
from typing import Any

from . import limits
from .errors import StripeError, invalid, unknown
from .forms import Params
from .records import Event, Record
from .view import NOUNS, View, everything, listed

_WORDS = ("charge", "payment_intent", "customer", "subscription", "destination", "transfer_group", "status")
"""Filters that are one word; each list reads those it knows."""


def page(
    view: View, kind: type[Record], url: str, params: Params, now_s: int, *, of: dict[str, str] | None = None
) -> dict[str, Any]:
    """One page of a list, newest first, in Stripe's shape; `of` names the parent where a list has one."""
    limit = params.integer("limit")
    if limit is not None and not 1 <= limit <= limits.list_rows_max:
        raise invalid("limit", f"must be between 1 and {limits.list_rows_max}")
    after, before = params.text("starting_after"), params.text("ending_before")
    if after is not None and before is not None:
        raise StripeError("You cannot use both starting_after and ending_before.", param="ending_before")
    filters = everything | _created(params)
    for name in _WORDS:
        filters[name] = params.text(name)
    filters |= of or {}
    if kind is Event:
        filters |= _of_events(params)
        filters["created_min"] = max(_whole(filters["created_min"]), now_s - limits.event_kept_s)
    found, more = view.store.page(
        kind,
        rows=limit or limits.list_rows_default,
        after=_place(view, kind, after, "starting_after"),
        before=_place(view, kind, before, "ending_before"),
        filters=filters,
    )
    return listed(url, map(view.show, found), more=more)


def _place(view: View, kind: type[Record], object_id: str | None, param: str) -> int | None:
    if object_id is None:
        return None
    place = view.store.place(kind, object_id)
    if place is None:
        raise unknown(NOUNS[kind], object_id, param)
    return place


def _created(params: Params) -> dict[str, object]:
    """`created=t`, or any of `created[gt|gte|lt|lte]=t`, as inclusive bounds in unix seconds."""
    if isinstance(params.fields.get("created"), str):
        exactly = params.integer("created")
        return {} if exactly is None else {"created_min": exactly, "created_max": exactly}
    inner = params.inner("created")
    if strange := set(inner.fields) - {"gt", "gte", "lt", "lte"}:
        raise invalid(inner.name(min(strange)), "must be gt, gte, lt or lte")
    bounds = {name: inner.integer(name) for name in ("gt", "gte", "lt", "lte")}
    lower = [bound + (name == "gt") for name in ("gt", "gte") if (bound := bounds[name]) is not None]
    upper = [bound - (name == "lt") for name in ("lt", "lte") if (bound := bounds[name]) is not None]
    found: dict[str, object] = {}
    if lower:
        found["created_min"] = max(lower)
    if upper:
        found["created_max"] = min(upper)
    return found


def _of_events(params: Params) -> dict[str, object]:
    """The filters that only events have: `type`, `types[]` and `delivery_success`."""
    kind, kinds = params.text("type"), params.texts("types")
    if kind is not None and kinds:
        raise StripeError("You cannot use both type and types.", param="types")
    wanted = [kind] if kind is not None else kinds
    return {
        "types": json.dumps(wanted) if wanted else None,
        "delivered": params.flag("delivery_success"),
    }


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value
