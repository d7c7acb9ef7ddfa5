"""Calls to Hyperswitch, made to a real server on this machine that answers as Hyperswitch documents."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from psp.hyperswitch import ids
from psp.hyperswitch.client import (
    Fetched,
    HyperswitchApi,
    HyperswitchRefusedError,
    HyperswitchTransientError,
)
from tests.support.ports import free_port

KEY = "snd_a_key_of_the_tests"
REFUND_ID = ids.refund_id(uuid.UUID(int=7))


@dataclass
class Books:
    """What the server holds and what it was asked; `answers` go out before it thinks."""

    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any, str | None, str | None]] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """One request."""
        wanted: Any = await request.json() if request.method == "POST" else None
        headers = request.headers
        self.asked.append(
            (request.method, request.path_qs, wanted, headers.get("api-key"), headers.get("Idempotency-Key"))
        )
        if self.answers:
            return self.answers.pop(0)
        if request.method == "POST":
            if wanted["refund_id"] in self.refunds:
                return fault(400, "HE_01")
            self.refunds[wanted["refund_id"]] = {**wanted, "status": "pending"}
            return web.json_response(self.refunds[wanted["refund_id"]])
        if request.path.startswith("/refunds/"):
            found = self.refunds.get(request.match_info["id"])
            return web.json_response(found) if found is not None else fault(404, "HE_02")
        return web.json_response({"payment_id": request.match_info["id"], "status": "processing"})


def fault(status: int, code: object, **headers: str) -> web.Response:
    """An error as Hyperswitch writes it."""
    error = {"type": "invalid_request", "code": code, "message": "the refund of Mr Somebody's card"}
    return web.json_response({"error": error}, status=status, headers=headers)


@pytest.fixture
async def books() -> AsyncIterator[tuple[Books, str]]:
    """A server and its URL."""
    held, port = Books(), free_port()
    app = web.Application()
    app.router.add_post("/refunds", held.handle)
    app.router.add_get("/refunds/{id}", held.handle)
    app.router.add_get("/payments/{id}", held.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield held, f"http://127.0.0.1:{port}/"
    await runner.cleanup()


async def test_a_refund_is_made_under_our_own_id_and_key(books: tuple[Books, str]) -> None:
    """No amount means all that is left; the answer is what Hyperswitch says, final or not."""
    held, url = books
    async with HyperswitchApi(url, KEY) as api:
        made = await api.create_refund("pay_1", REFUND_ID, 500, "own_1")
        await api.create_refund("pay_1", ids.refund_id(uuid.UUID(int=8)), None, "own_2")

    assert made == Fetched(REFUND_ID, "pay_1", "pending", made.body)
    wanted = {
        "payment_id": "pay_1", "refund_id": REFUND_ID, "metadata": {"refundId": "own_1"}, "amount": 500,
    }  # fmt: skip
    assert held.asked[0] == ("POST", "/refunds", wanted, KEY, "own_1")
    assert "amount" not in held.asked[1][2]


async def test_a_refund_that_is_there_already_is_read_and_not_made_again(books: tuple[Books, str]) -> None:
    """A call that was lost on the way back is repeated without a second refund."""
    held, url = books
    async with HyperswitchApi(url, KEY) as api:
        first = await api.create_refund("pay_1", REFUND_ID, 500, "own_1")
        held.refunds[REFUND_ID]["status"] = "succeeded"
        second = await api.create_refund("pay_1", REFUND_ID, 500, "own_1")

        assert (first.status, second.status) == ("pending", "succeeded")
        assert len(held.refunds) == 1
        assert held.asked[-1][:2] == ("GET", f"/refunds/{REFUND_ID}")
        with pytest.raises(HyperswitchRefusedError):
            await api.create_refund("pay_of_another", REFUND_ID, 500, "own_1")


async def test_a_call_without_its_key_is_never_made(books: tuple[Books, str]) -> None:
    """An empty key is a bug that must be loud; so are an empty API key and a base URL that is none."""
    held, url = books
    async with HyperswitchApi(url, KEY) as api:
        with pytest.raises(ValueError, match="idempotency key"):
            await api.create_refund("pay_1", REFUND_ID, 500, "")
    for base_url, key in ((url, ""), ("", KEY), ("api.example", KEY), ("file:///etc", KEY)):
        with pytest.raises(ValueError, match=r"needed|no URL"):
            HyperswitchApi(base_url, key)

    assert held.asked == []


async def test_payments_and_refunds_are_read_by_id(books: tuple[Books, str]) -> None:
    """A payment is synchronised with its connector; an id cannot leave its place in the path."""
    held, url = books
    async with HyperswitchApi(url, KEY) as api:
        payment = await api.get_payment("pay/../1")
        with pytest.raises(HyperswitchRefusedError) as caught:
            await api.get_refund("ref_unknown")

    assert (payment.id, payment.payment_id, payment.status) == ("pay/../1", "pay/../1", "processing")
    assert held.asked[0][1] == "/payments/pay%2F..%2F1?force_sync=true"
    assert (caught.value.status, caught.value.code) == (404, "HE_02")


@pytest.mark.parametrize(
    ("status", "headers", "retry_after_s"),
    [
        (429, {"Retry-After": "7"}, 7.0),
        (429, {"Retry-After": "Sat, 21 Nov 2026 10:00:00 GMT"}, None),
        (500, {}, None),
        (503, {"Retry-After": "30"}, 30.0),
        (401, {}, None),
        (403, {}, None),
        (408, {}, None),
        (302, {"Location": "http://127.0.0.1:1/"}, None),
    ],
)
async def test_what_says_nothing_of_the_refund_is_to_be_tried_again(
    books: tuple[Books, str], status: int, headers: dict[str, str], retry_after_s: float | None
) -> None:
    """A PSP in trouble, too many calls, our own key; a redirect is not followed with that key."""
    held, url = books
    held.answers = [fault(status, "IR_01", **headers)]
    async with HyperswitchApi(url, KEY) as api:
        with pytest.raises(HyperswitchTransientError) as caught:
            await api.create_refund("pay_1", REFUND_ID, 500, "own_1")

    assert (caught.value.status, caught.value.retry_after_s) == (status, retry_after_s)
    assert len(held.asked) == 1


@pytest.mark.parametrize(("code", "kept"), [("IR_16", "IR_16"), ("Mr Somebody", None), (7, None)])
async def test_what_is_refused_keeps_its_code_and_no_word_of_its_body(
    books: tuple[Books, str], code: object, kept: str | None
) -> None:
    """The message may quote what was sent."""
    held, url = books
    held.answers = [fault(400, code)]
    async with HyperswitchApi(url, KEY) as api:
        with pytest.raises(HyperswitchRefusedError) as caught:
            await api.create_refund("pay_1", REFUND_ID, 500, "own_1")

    assert (caught.value.status, caught.value.code) == (400, kept)
    assert "Somebody" not in repr(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"refund_id":"ref_1"}'])
async def test_an_answer_that_cannot_be_read_is_not_a_success(books: tuple[Books, str], body: bytes) -> None:
    """The refund may have been made: try again, and find it by its id."""
    held, url = books
    held.answers = [web.Response(body=body), web.Response(body=body)]
    async with HyperswitchApi(url, KEY) as api:
        with pytest.raises(HyperswitchTransientError):
            await api.create_refund("pay_1", REFUND_ID, 500, "own_1")
        with pytest.raises(HyperswitchTransientError):
            await api.get_payment("pay_1")


async def test_a_server_that_is_not_there_is_to_be_tried_again() -> None:
    """Without a status: nobody knows whether it was done."""
    async with HyperswitchApi(f"http://127.0.0.1:{free_port()}", KEY) as api:
        with pytest.raises(HyperswitchTransientError) as caught:
            await api.get_refund("ref_1")

    assert caught.value.status is None


def test_our_ids_have_thirty_characters_and_come_from_ours_alone() -> None:
    """The same UUID has the same id for ever, another has another."""
    one, other = uuid.UUID(int=1), uuid.UUID(int=2**128 - 1)
    derived = {ids.refund_id(one), ids.refund_id(other), ids.payment_id(one), ids.payment_id(other)}

    assert ids.refund_id(one) == "ref_aaaaaaaaaaaaaaaaaaaaaaaaae"
    assert ids.payment_id(other) == "pay_77777777777777777777777774"
    assert {30} == {len(one_id) for one_id in derived}
    assert len(derived) == 4
