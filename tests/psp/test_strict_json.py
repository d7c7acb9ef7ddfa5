"""What is read of a body is what the standard library reads of it, quick as it is; a key that stands twice is
refused.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from psp.strict_json import BadJsonError, BadShapeError, read_object

_TEXTS = st.text(
    st.sampled_from(["a", "b", ":", '"', "\\", "é", "\n", "\u2028", "😀", "\x7f"]), max_size=3
).map(json.dumps)
_ODD = st.sampled_from(
    [
        '"\\u003a"',
        '"\\u003A:"',
        '"\\\\u003a"',
        '"\\ud800"',
        '"\\u0022:"',
        "NaN",
        "1e999",
        "-0",
        "1E5",
        "01",
        "1.",
    ]
)
_NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)).map(repr)
_KEYS = st.one_of(_TEXTS, st.sampled_from(['"a"', '"\\u0061"', '"a:"', '"a\\u003a"']))


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.tuples(_KEYS, st.sampled_from([":", " : ", "\n:\t"]), values).map("".join)
    return st.lists(members, max_size=4).map(lambda found: "{" + ", ".join(found) + "}")


_VALUES = st.recursive(
    st.one_of(_TEXTS, _ODD, _NUMBERS, st.sampled_from(["true", "false", "null", "[]", ""])),
    lambda inner: st.one_of(
        _objects(inner), st.lists(inner, max_size=3).map(lambda found: "[" + ",".join(found) + "]")
    ),
    max_leaves=8,
)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def _never(_name: str) -> None:
    raise ValueError


def _by_the_book(body: bytes) -> Any:
    try:
        document = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_never)
        json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        return BadJsonError
    return document


def _as_read(body: bytes) -> Any:
    try:
        return read_object(body)
    except BadJsonError:
        return BadJsonError


@given(_objects(_VALUES))
@example('{"a": 1, "a": 2}')
@example('{"a": 1, "a": "\\u003a"}')
@example('{"a": {"b": 1, "\\u0062": 2}}')
def test_what_is_read_is_what_the_strict_reader_reads(text: str) -> None:
    """Also where a text holds colons, quotes and escapes that make up for a key which was lost."""
    assert repr(_by_the_book(text.encode())) == repr(_as_read(text.encode()))


@given(st.binary(max_size=12))
def test_bytes_that_are_no_text_are_refused_alike(inside: bytes) -> None:
    """Broken UTF-8 and control characters, wherever they stand."""
    body = b'{"a": "' + inside + b'"}'

    assert repr(_by_the_book(body)) == repr(_as_read(body))


@pytest.mark.parametrize("body", [b'{"a":"\\ud800"}', b'{"\\udc00":1}', b'{"a":["\\ude00\\ud83d"]}'])
def test_half_of_a_surrogate_pair_is_refused(body: bytes) -> None:
    """Escapes can spell it and JSON readers differ on it; a whole pair is a character."""
    with pytest.raises(BadJsonError):
        read_object(body)
    assert read_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize("body", [b"[]", b"1", b'"a"', b"null"])
def test_what_is_no_object_is_of_another_shape(body: bytes) -> None:
    """It is JSON, and no event."""
    with pytest.raises(BadShapeError):
        read_object(body)
