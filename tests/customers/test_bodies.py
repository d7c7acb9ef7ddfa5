"""Request bodies: strict JSON of the route's type, bounded in size and time, refused in the one shape."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from api import bodies
from api.commands import ReplayOrder
from api.customers.checkouts import OpenSession
from api.errors import ApiError
from tests.api.house import OPS, House

GOOD = {"successUrl": "https://shop.example/", "credits": 250}


def refusal(raw: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        bodies.decode(raw, OpenSession)
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"hello",
        b"{",
        b'{"credits":1}x',
        b'{"credits":1}{"credits":1}',
        b'{"credits":NaN}',
        b'{"credits":Infinity}',
        b'{"credits":1,"credits":1000}',
        b'{"successUrl":"\\ud800"}',
        b'{"successUrl":"\xff"}',
        b"\xef\xbb\xbf{}",
        '{"credits":1}'.encode("utf-16"),
        b'{"credits":' + b"1" * 5_000 + b"}",
        b'{"a":' * 20_000,
        b"[" * 60_000,
        gzip.compress(json.dumps(GOOD).encode(), mtime=0),
    ],
)
def test_what_is_not_json_is_told_as_such(raw: bytes) -> None:
    """Not JSON, or JSON that two readers could read differently."""
    error = refusal(raw)

    assert (error.status, error.code, error.message) == (400, "INVALID_JSON", "Invalid JSON body")


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"credits": 0}, "credits", "invalid"),
        ({"credits": -1}, "credits", "invalid"),
        ({"credits": 1_000_001}, "credits", "invalid"),
        ({"credits": 2**70}, "credits", "invalid"),
        ({"credits": 12.5}, "credits", "invalid"),
        ({"credits": 12.0}, "credits", "invalid"),
        ({"credits": "250"}, "credits", "invalid"),
        ({"credits": True}, "credits", "invalid"),
        ({"credits": None}, "credits", "invalid"),
        ({"successUrl": 5}, "successUrl", "invalid"),
        ({"successUrl": "x" * 3_000}, "successUrl", "invalid"),
        ({"accountId": 5}, "accountId", "invalid"),
        ({"surprise": 1}, "surprise", "unknown"),
        ({"x" * 300: 1}, "x" * 100, "unknown"),
        ({"successurl": "https://shop.example/"}, "successurl", "unknown"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], field: str, code: str) -> None:
    """The first fault, with its field, and nothing is converted to make it fit."""
    error = refusal(json.dumps(GOOD | change).encode())

    assert (error.status, error.code) == (400, "VALIDATION_ERROR")
    assert [(detail.field, detail.code) for detail in error.details] == [(field, code)]
    assert error.message.startswith(f"{field}: ")


@pytest.mark.parametrize("missing", GOOD)
def test_a_missing_field_is_named(missing: str) -> None:
    """A field that must be there."""
    error = refusal(json.dumps({name: value for name, value in GOOD.items() if name != missing}).encode())

    assert [tuple(detail) for detail in error.details] == [(missing, "is required", "missing")]


def test_a_field_inside_of_another_is_named_with_it() -> None:
    """`filter.foo`, not the place in somebody else's grammar."""
    with pytest.raises(ApiError) as refused:
        bodies.decode(b'{"filter": {"foo": 1}}', ReplayOrder)

    assert [tuple(detail) for detail in refused.value.details] == [
        ("filter.foo", "is not a field of this request", "unknown")
    ]


@pytest.mark.parametrize("raw", [b"null", b"[]", b'"x"', b"5"])
def test_a_body_is_an_object(raw: bytes) -> None:
    """Any other JSON is of the wrong kind."""
    assert [detail.field for detail in refusal(raw).details] == ["body"]


async def test_a_body_that_is_too_large_is_refused_before_it_comes(shop: House) -> None:
    """Neither a declared length nor a chunked flood is read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(
        b"POST /api/credits/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    declared = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
    writer.close()
    flooded = await shop.ask("POST", "/api/credits/sessions", body=b" " * (bodies.BYTES_MAX + 1))

    assert declared.startswith("HTTP/1.1 413 ")
    assert (flooded.status, flooded.json["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_does_not_come_is_not_waited_for(shop: House) -> None:
    """Whoever holds the connection open is told 408."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(b"POST /api/credits/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode()
    writer.close()

    assert head.startswith("HTTP/1.1 408 ")


async def test_the_caller_comes_before_the_body_where_the_contract_does_not_say(shop: House) -> None:
    """A stranger is not told what is wrong with an operator's request."""
    path = "/api/billing/credits/topup"

    assert (await shop.ask("POST", path, body=b"hello")).status == 401
    assert (await shop.ask("POST", path, OPS, b"hello")).json["error"] == "Invalid JSON body"
