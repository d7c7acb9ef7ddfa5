"""Reads request bodies: bounded in size and time, strict JSON, then the route's own type. Decides nothing.

A route's type forbids unknown fields, and omits defaults when it is written again: an optional field that is
added to it later then changes no idempotent request of today. Its `MISSING` says more of a field than that it
is required.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from aiohttp import web

from api import errors
from api.errors import ApiError, Detail
from psp import strict_json
from runtime import limits

BYTES_MAX = 65_536
"""Largest request body; no request of this port needs more."""
BODY = web.RequestKey("body", msgspec.Struct)

_Body = TypeVar("_Body", bound=msgspec.Struct)

_FIELD = re.compile(
    r"Object (missing required|contains unknown) field `(.*?)`(?: - at `\$\.?(.*)`)?", re.DOTALL
)
_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_SHOWN_CHARACTERS_MAX = 100
"""Of a name that the sender made up."""


async def read(request: web.Request, shape: type[msgspec.Struct], may_be_empty: bool) -> None:
    """Read the body into `shape` for `of`; an absent one counts as `{}` where it may be empty. Raises
    ApiError 400, 408 or 413.
    """
    if request.content_length is not None and request.content_length > BYTES_MAX:
        raise errors.of_status(413)
    try:
        async with asyncio.timeout(limits.body_deadline_s):
            raw = await request.read()
    except TimeoutError:
        raise errors.of_status(408) from None
    request[BODY] = decode(b"{}" if may_be_empty and not raw else raw, shape)


def of(request: web.Request, shape: type[_Body]) -> _Body:
    """The body that the guard has read for this route."""
    body = request[BODY]
    assert isinstance(body, shape), "the route's table names this type"
    return body


def decode(raw: bytes, shape: type[_Body]) -> _Body:
    """`raw` as a value of `shape`, nothing converted and nothing left unread. Raises ApiError 400."""
    try:
        document = strict_json.read_object(raw)
    except strict_json.BadShapeError:
        raise errors.invalid_body(Detail("body", "must be an object", "invalid")) from None
    except strict_json.BadJsonError:
        raise ApiError(400, "INVALID_JSON", "Invalid JSON body") from None
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as fault:
        raise errors.invalid_body(_detail(str(fault), getattr(shape, "MISSING", {}))) from None


def _detail(told: str, missing: Mapping[str, str]) -> Detail:
    """msgspec's one sentence as field, message and code; `missing` has a type's own words for a field."""
    field = _FIELD.fullmatch(told)
    if field is not None:
        name = f"{field[3]}.{field[2]}" if field[3] else field[2]
        name = name[:_SHOWN_CHARACTERS_MAX]
        if field[1] == "missing required":
            return Detail(name, missing.get(name, "is required"), "missing")
        return Detail(name, "is not a field of this request", "unknown")
    placed = _PLACE.fullmatch(told)
    if placed is None:
        return Detail("body", told, "invalid")
    return Detail(placed[2] or "body", placed[1], "invalid")
