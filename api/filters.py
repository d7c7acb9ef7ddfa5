"""Reads query strings into values, or says what is wrong with each field; pure, and nothing passes unread."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from api import errors
from api.errors import Detail
from db.log_ids import ID_MAX
from db.purse import TOP, Place
from db.reads import DeliveryFilter
from psp.envelope import storable

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
"""Rows of one page (contract)."""

VERDICTS = (
    "ok", "missing_sig", "malformed_sig", "bad_sig", "stale_ts", "future_ts", "oversize", "bad_encoding",
    "read_timeout", "truncated",
)  # fmt: skip
STATES = ("pending", "parked", "applied", "ignored", "superseded", "quarantined")
ORIGINS = ("psp", "reconciler", "operator", "sandbox")

_Value = TypeVar("_Value")


class _WrongValueError(ValueError):
    """One value cannot be read; the text is a sentence without the value."""


@dataclass(frozen=True, slots=True)
class Page:
    """A list's filter, time range, page size and where the page begins (ids below `before_id`)."""

    narrowed: DeliveryFilter
    since: datetime | None
    until: datetime | None
    limit: int
    before_id: int | None


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time that ends now, cut into buckets; both in seconds."""

    window_s: int
    bucket_s: int


class _Reader:
    """Takes values out of a query one by one and collects what is wrong with them."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.faults: list[Detail] = []

    def read(self, name: str, parse: Callable[[str], _Value]) -> _Value | None:
        """The value of a parameter; None when it is absent or wrong (then the fault is kept)."""
        if name not in self._query:
            return None
        try:
            return parse(self._query[name])
        except _WrongValueError as fault:
            self.faults.append(Detail(name, str(fault), "invalid"))
            return None

    def done(self) -> None:
        """Raises ApiError 400 when anything was wrong."""
        if self.faults:
            raise errors.invalid(self.faults)


PAGE_FIELDS = frozenset((
    "source", "endpoint", "origin", "verdict", "state", "type", "event_id", "object_id", "ip", "reason",
    "since", "until", "limit", "cursor",
))  # fmt: skip


def page(query: Mapping[str, str]) -> Page:
    """The page of deliveries that a query asks for. Raises ApiError 400 with every fault."""
    reader = _Reader(query)
    narrowed = DeliveryFilter(
        source=reader.read("source", _text),
        endpoint=reader.read("endpoint", _text),
        origin=reader.read("origin", _one_of(ORIGINS)),
        verdict=reader.read("verdict", _one_of(VERDICTS)),
        state=reader.read("state", _one_of(STATES)),
        event_type=reader.read("type", _text),
        event_id=reader.read("event_id", _text),
        object_id=reader.read("object_id", _text),
        ip=reader.read("ip", _network),
        reason=reader.read("reason", _text),
    )
    since, until = reader.read("since", _time), reader.read("until", _time)
    if since is not None and until is not None and since > until:
        reader.faults.append(Detail("until", "must not be before since", "invalid"))
    limit = reader.read("limit", _limit)
    before_id = reader.read("cursor", decode_cursor)
    reader.done()
    return Page(narrowed, since, until, LIMIT_DEFAULT if limit is None else limit, before_id)


@dataclass(frozen=True, slots=True)
class PostingsPage:
    """A page of an account's postings: its size, and the place below which it begins."""

    below: Place
    limit: int


POSTINGS_FIELDS = frozenset(("limit", "cursor"))


def postings_page(query: Mapping[str, str]) -> PostingsPage:
    """The page of postings that a query asks for. Raises ApiError 400 with every fault."""
    reader = _Reader(query)
    limit, below = reader.read("limit", _limit), reader.read("cursor", decode_place)
    reader.done()
    return PostingsPage(TOP if below is None else below, LIMIT_DEFAULT if limit is None else limit)


WINDOW_FIELDS = frozenset(("window", "bucket"))
WINDOW_MAX_S = 31 * 86_400
"""A longer look back belongs to the dashboards' SQL views."""
WINDOW_OF_SECONDS_MAX_S = 3_600
"""What was counted was counted by the minute: other buckets are read from the log itself."""
BUCKETS_MAX = 1_500
"""Buckets of one answer: a minute each over a day, with room."""


def window(query: Mapping[str, str]) -> Window:
    """The window of a statistic, by default a day in hours. Raises ApiError 400."""
    reader = _Reader(query)
    window_s = reader.read("window", _duration_s) or 86_400
    bucket_s = reader.read("bucket", _duration_s) or 3_600
    if window_s > WINDOW_MAX_S:
        reader.faults.append(Detail("window", "must not be longer than 31d", "invalid"))
    if bucket_s % 60 and window_s > WINDOW_OF_SECONDS_MAX_S:
        reader.faults.append(Detail("bucket", "must be whole minutes in a window above 1h", "invalid"))
    if not reader.faults and window_s > bucket_s * BUCKETS_MAX:
        reader.faults.append(Detail("bucket", f"must leave at most {BUCKETS_MAX} buckets", "invalid"))
    reader.done()
    return Window(window_s, bucket_s)


PLACE_FIELDS = frozenset(("limit", "cursor"))


def place(query: Mapping[str, str]) -> tuple[int, int | None]:
    """Page size and place of a list that has no filters. Raises ApiError 400."""
    return narrowed_place(query)[:2]


def narrowed_place(query: Mapping[str, str], *names: str) -> tuple[int, int | None, tuple[str | None, ...]]:
    """Page size and place of a list, and what it is narrowed to by each name. Raises ApiError 400."""
    reader = _Reader(query)
    limit, at = reader.read("limit", _limit), reader.read("cursor", decode_cursor)
    narrowed = tuple(reader.read(name, _text) for name in names)
    reader.done()
    return LIMIT_DEFAULT if limit is None else limit, at, narrowed


def one_source(query: Mapping[str, str]) -> str | None:
    """The `source` parameter alone. Raises ApiError 400."""
    reader = _Reader(query)
    source = reader.read("source", _text)
    reader.done()
    return source


def delivery_id(text: str) -> int:
    """A delivery's id from a path. Raises ApiError 404: what is no id names no delivery."""
    return number_in_path(text, "No such delivery")


def number_in_path(text: str, otherwise: str) -> int:
    """An id from a path. Raises ApiError 404 with these words."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not 0 < int(text) <= ID_MAX:
        raise errors.not_found(otherwise)
    return int(text)


_CURSOR_VERSION = 1
_CURSOR_BYTES = 13


def encode_cursor(before_id: int) -> str:
    """An opaque place in a list: everything below this id is still to come."""
    return _sealed(bytes([_CURSOR_VERSION]) + before_id.to_bytes(8, "big"))


def decode_cursor(text: str) -> int:
    """The inverse of `encode_cursor`. The checksum is no secret: it tells a mistyped cursor from a place."""
    raw = _unsealed(text)
    before_id = int.from_bytes(raw[1:-4], "big") if len(raw) == _CURSOR_BYTES else 0
    # Made again it must be the same text: that compares version, checksum and spelling at once.
    if not 0 < before_id <= ID_MAX or encode_cursor(before_id) != text:
        raise _WrongValueError("is not a cursor of this list")
    return before_id


_PLACE_VERSION = 2


def encode_place(transaction_id: int, unit: str) -> str:
    """A place in an account's postings, likewise."""
    return _sealed(bytes([_PLACE_VERSION]) + transaction_id.to_bytes(8, "big") + unit.encode())


def decode_place(text: str) -> Place:
    """The inverse of `encode_place`."""
    raw = _unsealed(text)
    transaction_id, unit = int.from_bytes(raw[1:9], "big"), raw[9:-4].decode("ascii", "replace")
    if not 0 < transaction_id < 2**63 or not unit.isalnum() or encode_place(transaction_id, unit) != text:
        raise _WrongValueError("is not a cursor of this list")
    return Place(transaction_id, unit)


def _sealed(content: bytes) -> str:
    return base64.urlsafe_b64encode(content + zlib.crc32(content).to_bytes(4, "big")).decode().rstrip("=")


def _unsealed(text: str) -> bytes:
    """The bytes of a cursor with its checksum, which is not compared here; empty where it is none."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return b""


def _text(value: str) -> str:
    text = storable(value)
    if text is None:
        raise _WrongValueError("must be 1 to 255 printable characters")
    return text


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise _WrongValueError(f"must be one of {', '.join(allowed)}")
        return value

    return parse


def _network(value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        network = None
    if network is None or "%" in value:  # Postgres knows no scope ids
        raise _WrongValueError("must be an IP address or a network like 10.0.0.0/8")
    return str(network)


_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_LOST_PLUS = re.compile(r"(T[0-9:.]+) ([0-9]{2}:[0-9]{2})")
"""`+00:00` in a URL that was not escaped arrives as ` 00:00`."""


def _time(value: str) -> datetime:
    """A date or time of ISO 8601; UTC where it names no offset. Years the log cannot hold are refused."""
    text = _LOST_PLUS.sub(r"\1+\2", value)
    if not text.isascii() or _TIME.fullmatch(text) is None:
        raise _WrongValueError("must be a time like 2026-01-31T12:00:00Z")
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _WrongValueError("must be a time that exists") from None
    if not 1970 <= time.year <= 9998:
        raise _WrongValueError("must be a time from 1970 to 9998")
    return time


def _limit(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 3 or not 1 <= int(value) <= LIMIT_MAX:
        raise _WrongValueError(f"must be a whole number from 1 to {LIMIT_MAX}")
    return int(value)


_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_DURATION_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _duration_s(value: str) -> int:
    match = _DURATION.fullmatch(value)
    if match is None or not value.isascii() or int(match[1]) == 0:
        raise _WrongValueError("must be a duration above zero like 30m, 24h or 7d")
    return int(match[1]) * _DURATION_SECONDS[match[2]]
