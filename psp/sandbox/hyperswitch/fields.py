"""Reads the fields of a request with types; a wrong type is a refusal, never a guess."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from psp.sandbox import limits

from .errors import HyperswitchError, invalid, missing, unreadable
from .turn import own_id_chars

_OWN_ID = re.compile(r"[A-Za-z0-9_-]+\Z")
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_digits_max = 19
"""More digits are too large for any field, and only that is told."""
at_ms_max = 2**62
"""The open end of a span of time."""


class Fields:
    """A JSON object, or the query of a GET, whose values are all text."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def text(self, name: str, chars_max: int = 255) -> str | None:
        """A text, or None where it is absent."""
        value = self.fields.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise unreadable(f"{name}: expected a string")
        if len(value) > chars_max:
            raise invalid(name, f"is longer than {chars_max} characters")
        return value

    def required(self, name: str) -> str:
        """A text that must be there."""
        value = self.text(name)
        if not value:
            raise missing(name)
        return value

    def own_id(self, name: str) -> str | None:
        """The id that a caller has chosen for an object: exactly thirty characters."""
        value = self.text(name)
        if value is not None and (len(value) != own_id_chars or not _OWN_ID.match(value)):
            raise invalid(name, f"should be exactly {own_id_chars} letters, digits, _ or -")
        return value

    def amount(self, name: str) -> int | None:
        """Minor units, at least one; None where it is absent."""
        value = self.fields.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise unreadable(f"{name}: expected an integer")
        if not 0 < value <= limits.amount_minor_max:
            raise invalid(name, f"must be between 1 and {limits.amount_minor_max}")
        return value

    def currency(self, name: str) -> str:
        """Three upper-case letters."""
        value = self.required(name)
        if not _CURRENCY.match(value):
            raise unreadable(f"{name}: unknown variant, expected an upper-case ISO code")
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is absent."""
        value = self.fields.get(name, False)
        if not isinstance(value, bool):
            raise unreadable(f"{name}: expected a boolean")
        return value

    def word(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the allowed words; the first one where it is absent."""
        value = self.fields.get(name, allowed[0])
        if value not in allowed:
            raise unreadable(f"{name}: unknown variant, expected one of {', '.join(allowed)}")
        return str(value)

    def words(self, name: str) -> list[str] | None:
        """A list of texts, or None where it is absent; in a query, texts between commas."""
        value = self.fields.get(name)
        if isinstance(value, str):
            value = value.split(",")
        if value is not None and (
            not isinstance(value, list) or not all(isinstance(each, str) for each in value)
        ):
            raise unreadable(f"{name}: expected a sequence of strings")
        return value or None

    def either(self, name: str) -> bool | None:
        """True, false, or None where it is absent; in a query their names."""
        value = self.fields.get(name)
        if value in ("true", "false"):
            return bool(value == "true")
        if value is not None and not isinstance(value, bool):
            raise unreadable(f"{name}: expected a boolean")
        return value

    def inner(self, name: str) -> Fields | None:
        """An object, or None where it is absent."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, dict):
            raise unreadable(f"{name}: expected a map")
        return Fields(value) if value is not None else None

    def metadata(self) -> dict[str, Any] | None:
        """The caller's notes."""
        inner = self.inner("metadata")
        return dict(inner.fields) if inner is not None else None

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A bounded whole number; in a query its digits."""
        value = self.fields.get(name, default)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:_digits_max])
        if not isinstance(value, int) or isinstance(value, bool):
            raise unreadable(f"{name}: expected an integer")
        if not least <= value <= most:
            raise HyperswitchError("IR_06", f"{name} should be in between {least} and {most}")
        return value

    def at_ms(self, name: str) -> int | None:
        """An ISO-8601 time in unix milliseconds; one without a zone is UTC."""
        value = self.text(name)
        if value is None:
            return None
        try:
            at = dt.datetime.fromisoformat(value)
        except ValueError:
            raise unreadable(f"{name}: expected an ISO-8601 time") from None
        zoned = at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)
        return round(zoned.timestamp() * 1000)

    def span_ms(self, name: str) -> dict[str, int]:
        """`created_min` and `created_max` of a list: `<name>`, `<name>.gt`, `.gte`, `.lt` and `.lte`."""
        exactly = self.at_ms(name)
        if exactly is not None:
            return {"created_min": exactly, "created_max": exactly}
        bounds = {each: self.at_ms(f"{name}.{each}") for each in ("gt", "gte", "lt", "lte")}
        lower = [at + (each == "gt") for each in ("gt", "gte") if (at := bounds[each]) is not None]
        upper = [at - (each == "lt") for each in ("lt", "lte") if (at := bounds[each]) is not None]
        return {"created_min": max(lower, default=0), "created_max": min(upper, default=at_ms_max)}

    def only(self, *known: str) -> None:
        """Raises HyperswitchError where a field is none of the known ones."""
        if strange := sorted(set(self.fields) - set(known)):
            raise unreadable(f"unknown field `{strange[0]}`")
