"""What a body of `POST /api/credits/sessions` must look like: each fault named, and none of them reaches the
PSP.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.house import House, customer, gateway
from tests.customers.test_checkouts import GOOD, PATH, opened
from tests.sandbox.worlds import World

A_UUID = "7f1c2a52-57e5-4c1e-9d1b-2f6f0f1f3a10"
MISSING = object()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("successUrl", MISSING),
        ("successUrl", ""),
        ("successUrl", "not-a-url"),
        ("successUrl", 5),
        ("successUrl", None),
        ("credits", MISSING),
        ("credits", None),
        ("credits", 0),
        ("credits", -5),
        ("credits", 12.5),
        ("credits", "250"),
        ("credits", True),
        ("credits", [250]),
        ("credits", 1_000_001),
        ("accountId", ""),
        ("accountId", 7),
        ("accountId", "system:grants"),
        ("accountId", "a\u0000b"),
        ("accountId", "a" * 256),
        ("surprise", 1),
    ],
)
async def test_a_wrong_field_is_named_before_anybody_is_asked_who_they_are(
    shop: House, stripe: World, field: str, value: object
) -> None:
    """The first fault with its field, whether somebody is known or not; nothing is converted to make it fit.

    An account may be any id that an account can have, not a UUID only as in the system before this one.
    """
    body = {name: kept for name, kept in {**GOOD, field: value}.items() if kept is not MISSING}
    answers = [await shop.post(PATH, headers, body) for headers in (None, customer("acc-1"))]

    for answer in answers:
        assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")
        assert [detail["field"] for detail in answer.json["details"]] == [field]
        assert answer.json["error"] == answer.json["message"] != ""
    assert await opened(stripe) == []


@pytest.mark.parametrize("changes", [{}, {"credits": 1}, {"credits": 1_000_000}, {"accountId": A_UUID}])
async def test_a_good_body_opens_a_session(shop: House, stripe: World, changes: dict[str, Any]) -> None:
    """The least and the most that can be bought, and a UUID for the account."""
    asker = gateway("boss", **{"x-user-role": "admin"})
    answer = await shop.post(PATH, asker, {**GOOD, **changes})
    (session,) = await opened(stripe)

    assert (answer.status, answer.json) == (200, {"id": session.id, "url": session.url})
    assert session.client_reference_id == changes.get("accountId", "boss")
    assert session.metadata is not None
    assert session.metadata["credits"] == str(changes.get("credits", 250))


@pytest.mark.parametrize(
    "body", [b"", b"hello", b'{"credits":1', b"\xff", b'{"credits":1,"credits":2}', b"[]", b"null", b"NaN"]
)
async def test_what_is_no_json_object_is_refused(shop: House, stripe: World, body: bytes) -> None:
    """Not JSON is told in the words of old; JSON of another kind than an object is a fault of the body."""
    answer = await shop.ask("POST", PATH, body=body)
    is_json = body in (b"[]", b"null")

    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR" if is_json else "INVALID_JSON")
    assert is_json or answer.json["error"] == "Invalid JSON body"
    assert await opened(stripe) == []
