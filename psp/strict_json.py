"""Reads a signed body as JSON, more strictly than Python does: what two readers could read differently is
refused.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

from psp.envelope import storable

INTEGER_MAX = 2**53 - 1
"""Largest amount taken: beyond it other JSON readers round, so nobody could agree on the sum."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")

UNIX_S_MAX = 253_402_300_799
"""End of year 9999: larger numbers are milliseconds or nonsense."""


class BadJsonError(Exception):
    """The body is not JSON that every reader reads alike; the message holds no part of it."""


class BadShapeError(Exception):
    """A field that decides about money is missing or of another kind; `field` names it, its value is not
    shown. `reason` is the short code under which the event is held back.
    """

    def __init__(self, field: str, problem: str, reason: str = "bad_schema") -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.reason = reason


class UnknownValueError(BadShapeError):
    """A field that takes one of few words holds another: the PSP has learnt a word and we have not."""

    def __init__(self, field: str, reason: str = "bad_schema") -> None:
        super().__init__(field, "is none that we know", reason)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJsonError("an object holds one key twice")
    return found


def _no_constants(_name: str) -> NoReturn:
    raise BadJsonError("NaN and Infinity are not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constants)


_quick_decoder, _quick_encoder = msgspec.json.Decoder(), msgspec.json.Encoder()


def _read_quickly(body: bytes) -> dict[str, Any] | None:
    """The object where nothing about it is doubtful, at half the cost; None: ask the strict reader.

    This decoder refuses all that the strict one refuses, except a key that stands twice: it keeps the last.
    So what it found is written again, and the colons are counted. One ends each key, and texts hold some; an
    escaped one in a text could make up for one that was lost, so a body that may hold any is not for here.
    Then no colon is lost exactly when no key is.
    """
    if b"\\" in body and b"\\u003" in body:
        return None
    try:
        document = _quick_decoder.decode(body)
        if isinstance(document, dict) and body.count(b":") == _quick_encoder.encode(document).count(b":"):
            return document
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises BadJsonError or, for another kind of value, BadShapeError."""
    quickly = _read_quickly(body)
    if quickly is not None:
        return quickly
    try:
        document = _decoder.decode(body.decode("utf-8"))
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise BadJsonError("the body is not UTF-8") from None
    except UnicodeEncodeError:
        # Escapes can spell it, but no text holds it: neither Postgres nor an answer could.
        raise BadJsonError("a text holds half of a surrogate pair") from None
    except (ValueError, RecursionError):
        raise BadJsonError("the body is not JSON") from None
    if not isinstance(document, dict):
        raise BadShapeError("body", "is not an object")
    return document


def same_document(first: bytes, second: bytes) -> bool:
    """Whether two bodies tell the same: the order of keys and white space tell nothing. Never raises."""
    try:
        return read_object(first) == read_object(second)
    except (BadJsonError, BadShapeError):
        return first == second


class Fields:
    """Typed access to a decoded object: each reader returns the value or raises BadShapeError naming the
    path.
    """

    __slots__ = ("_path", "_values")

    def __init__(self, values: dict[str, Any], path: str) -> None:
        self._values = values
        self._path = path

    def path(self, name: str) -> str:
        """Where the field of this name stands in the document."""
        return f"{self._path}.{name}" if self._path else name

    def nothing_but(self, *names: str) -> None:
        """Raise BadShapeError when there is any other field."""
        if not self._values.keys() <= set(names):
            raise BadShapeError(self._path or "body", "holds fields that we do not know")

    def _fail(self, name: str, problem: str) -> NoReturn:
        raise BadShapeError(self.path(name), problem)

    def raw(self, name: str) -> Any:
        """The value as decoded; None when it is missing or null."""
        return self._values.get(name)

    def object(self, name: str) -> Fields:
        """A nested object that must be there."""
        value = self._values.get(name)
        if not isinstance(value, dict):
            self._fail(name, "is not an object")
        return Fields(value, self.path(name))

    def objects(self, name: str) -> list[Fields]:
        """A list of objects; an empty list when it is missing or null."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._fail(name, "is not a list of objects")
        return [Fields(item, f"{self._path}.{name}[]") for item in value]

    def text(self, name: str) -> str:
        """A short, storable text that must be there."""
        value = storable(self._values.get(name))
        if value is None:
            self._fail(name, "is not a short text")
        return value

    def text_or_none(self, name: str) -> str | None:
        """A short, storable text, or None when it is missing or null."""
        return None if self._values.get(name) is None else self.text(name)

    def texts(self, name: str) -> list[str]:
        """A list of short, storable texts that must be there."""
        value = self._values.get(name)
        if not isinstance(value, list) or not all(storable(item) is not None for item in value):
            self._fail(name, "is not a list of short texts")
        return value

    def reference(self, name: str) -> str | None:
        """The id of another object, which a PSP sends as a string or as the whole object; None when
        absent.
        """
        value = self._values.get(name)
        return self.object(name).text("id") if isinstance(value, dict) else self.text_or_none(name)

    def amount(self, name: str) -> int:
        """An integer of minor units, zero or above, that must be there; never a float, a string or a
        boolean.
        """
        value = self._values.get(name)
        if type(value) is not int or not 0 <= value <= INTEGER_MAX:
            self._fail(name, "is not an amount in minor units")
        return value

    def amount_or_none(self, name: str) -> int | None:
        """An amount, or None when it is missing or null."""
        return None if self._values.get(name) is None else self.amount(name)

    def amount_of_text(self, name: str) -> int:
        """An amount that is written as decimal text, or as an integer; no sign, point or leading zero."""
        value = self._values.get(name)
        if not isinstance(value, str):
            return self.amount(name)
        if _DECIMAL.fullmatch(value) is None or int(value) > INTEGER_MAX:
            self._fail(name, "is not an amount in minor units")
        return int(value)

    def flag(self, name: str) -> bool:
        """A boolean that must be there."""
        value = self._values.get(name)
        if not isinstance(value, bool):
            self._fail(name, "is neither true nor false")
        return value

    def time(self, name: str) -> int:
        """A time in unix seconds that must be there."""
        value = self._values.get(name)
        if type(value) is not int or not 0 <= value <= UNIX_S_MAX:
            self._fail(name, "is not a time in unix seconds")
        return value

    def time_or_none(self, name: str) -> int | None:
        """A time in unix seconds, or None when it is missing or null."""
        return None if self._values.get(name) is None else self.time(name)

    def currency(self, name: str) -> str:
        """An ISO 4217 code as PSPs write it, in lower case."""
        value = self.text(name).lower()
        if len(value) != 3 or not value.isascii() or not value.isalpha():
            self._fail(name, "is not a currency")
        return value
