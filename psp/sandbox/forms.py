"""Reads Stripe's bracketed form encoding into typed values; it must never guess at a malformed field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias
from urllib.parse import parse_qsl

from . import limits
from .errors import StripeError, invalid, missing

Node: TypeAlias = "str | dict[str, Node]"
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
_INTEGER = re.compile(r"-?[0-9]{1,15}\Z")


def decode(body: str) -> Params:
    """`a=1&b[c]=2&d[0][e]=3&f[]=4` as nested maps; list indices stay keys until someone asks for a list."""
    try:
        pairs = parse_qsl(
            body,
            keep_blank_values=True,
            max_num_fields=limits.form_fields_max,
            encoding="utf-8",
            errors="strict",
        )
    except ValueError:
        raise StripeError("Invalid request: the body is not a form") from None
    return Params(nest(pairs))


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Node]:
    """Pairs of bracketed name and value as nested maps; raises StripeError where two names clash."""
    root: dict[str, Node] = {}
    for name, value in pairs:
        match = _NAME.match(name)
        if match is None:
            raise invalid(name[:80], "malformed parameter name")
        steps = [match[1], *match[2][1:-1].split("][")] if match[2] else [match[1]]
        if len(steps) > limits.form_depth_max:
            raise invalid(steps[0], "nested too deeply")
        here = root
        for step in steps[:-1]:
            inner = here.setdefault(step or str(len(here)), {})
            if isinstance(inner, str):
                raise invalid(steps[0], "both a value and a map")
            here = inner
        last = steps[-1] or str(len(here))
        if isinstance(here.get(last), dict):
            raise invalid(steps[0], "both a value and a map")
        here[last] = value
    return root


class Params:
    """Typed access to one level of parameters. An empty string means "unset", as at Stripe."""

    def __init__(self, fields: dict[str, Node], path: str = "") -> None:
        self.fields = fields
        self.path = path

    def name(self, key: str) -> str:
        """The full bracketed name of a key, for errors."""
        return f"{self.path}[{key}]" if self.path else key

    def text(self, key: str) -> str | None:
        """A string, or None where it is absent or empty."""
        value = self.fields.get(key)
        if isinstance(value, dict):
            raise invalid(self.name(key), "must be a string")
        return value or None

    def required(self, key: str) -> str:
        """A string that must be there."""
        value = self.text(key)
        if value is None:
            raise missing(self.name(key))
        return value

    def integer(self, key: str) -> int | None:
        """A whole number, or None where it is absent."""
        value = self.text(key)
        if value is None:
            return None
        if not _INTEGER.match(value):
            raise StripeError(
                f"Invalid integer: {value[:40]}", code="parameter_invalid_integer", param=self.name(key)
            )
        return int(value)

    def amount(self, key: str) -> int:
        """A required positive amount in minor units."""
        value = self.integer(key)
        if value is None:
            raise missing(self.name(key))
        if not 0 < value <= limits.amount_minor_max:
            raise invalid(self.name(key), f"must be between 1 and {limits.amount_minor_max}")
        return value

    def flag(self, key: str, *, default: bool | None = None) -> bool | None:
        """`true` or `false`, or the default where it is absent."""
        value = self.text(key)
        if value is None:
            return default
        if value not in {"true", "false"}:
            raise invalid(self.name(key), "must be true or false")
        return value == "true"

    def choice(self, key: str, allowed: Iterable[str]) -> str | None:
        """One of the allowed words, or None where it is absent."""
        value = self.text(key)
        if value is not None and value not in (words := sorted(allowed)):
            raise invalid(self.name(key), f"must be one of {', '.join(words)}")
        return value

    def currency(self, key: str) -> str:
        """A required three-letter currency, lower case."""
        value = self.required(key).lower()
        if len(value) != 3 or not value.isascii() or not value.isalpha():
            raise StripeError(f"Invalid currency: {value[:10]}", param=self.name(key))
        return value

    def inner(self, key: str) -> Params:
        """The map below a key; an empty one where it is absent."""
        value = self.fields.get(key)
        if isinstance(value, str) and value:
            raise invalid(self.name(key), "must be a map")
        return Params(value if isinstance(value, dict) else {}, self.name(key))

    def each(self, key: str) -> Iterator[Params]:
        """The maps of a list, in order of their indices."""
        inner = self.inner(key)
        for index in sorted(inner.fields, key=_index(inner)):
            yield inner.inner(index)

    def texts(self, key: str) -> list[str]:
        """The strings of a list (`types[]=a` or `types[0]=a`), or one bare string."""
        if isinstance(self.fields.get(key), str):
            return [self.required(key)]
        inner = self.inner(key)
        return [inner.required(index) for index in sorted(inner.fields, key=_index(inner))]

    def metadata(self, key: str = "metadata") -> dict[str, str]:
        """Metadata within Stripe's bounds; a key with an empty value is left out."""
        found: dict[str, str] = {}
        for name, value in self.inner(key).fields.items():
            if isinstance(value, dict) or len(value) > limits.metadata_value_chars_max:
                raise invalid(
                    f"{key}[{name[:40]}]", f"must be a string of at most {limits.metadata_value_chars_max}"
                )
            if len(name) > limits.metadata_key_chars_max:
                raise invalid(key, f"keys hold at most {limits.metadata_key_chars_max} characters")
            if value:
                found[name] = value
        if len(found) > limits.metadata_pairs_max:
            raise invalid(key, f"holds at most {limits.metadata_pairs_max} keys")
        return found

    def metadata_onto(self, kept: dict[str, str]) -> dict[str, str]:
        """Kept metadata with what is given put over it; an empty value takes its key away."""
        given = self.metadata()
        return {
            name: value for name, value in kept.items() if name not in self.inner("metadata").fields
        } | given


def _index(list_of: Params) -> type[int]:
    """The sort key of list indices; raises StripeError where a key is not one."""
    if not all(key.isascii() and key.isdigit() and len(key) < 6 for key in list_of.fields):
        raise invalid(list_of.path, "must be a list")
    return int
