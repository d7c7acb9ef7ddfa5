"""What the tests of the Hyperswitch-shaped merchant stand on: a real sandbox process, a shop that calls it,
and a mailbox that verifies with the product's own verifier.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from psp.envelope import SigningSecret
from psp.hyperswitch import signature
from tests.sandbox.worlds import KEY, SECRET
from tests.support.ports import free_port
from tests.support.processes import Processes, Running

HYPERSWITCH_SECRET = "hyperswitch_sandbox_tests_0123456789"
HYPERSWITCH_KEY = "dev_hyperswitch_sandbox_tests"
VISA, DECLINED, ASKS_BACK = "4242424242424242", "4000000000000002", "4000003800000446"


@dataclass(frozen=True, slots=True)
class Letter:
    """One webhook as it came in."""

    body: bytes
    signatures: list[str]

    @property
    def verdict(self) -> str:
        """What the product's verifier says of it."""
        values = [each.encode() for each in self.signatures]
        return signature.verify(self.body, values, [SigningSecret(HYPERSWITCH_SECRET.encode(), "tests")]).kind

    @property
    def event(self) -> dict[str, Any]:
        """The event in the body."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass(slots=True)
class Mailbox:
    """Keeps what it is sent; `answers` are used up first, then forged mail is 400, the rest 200."""

    port: int = field(default_factory=free_port)
    letters: list[Letter] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/webhooks/hyperswitch"

    async def take(self, request: web.Request) -> web.Response:
        """The endpoint itself."""
        letter = Letter(await request.read(), request.headers.getall("x-webhook-signature-512", []))
        self.letters.append(letter)
        if self.answers:
            return web.Response(status=self.answers.pop(0))
        return web.Response(status=200 if letter.verdict == "ok" else 400)

    def genuine(self) -> list[dict[str, Any]]:
        """The verified events in order of arrival."""
        return [letter.event for letter in self.letters if letter.verdict == "ok"]

    def told(self, object_id: str) -> list[str]:
        """Types of the verified events of one object, in order of their times."""
        events = [e for e in self.genuine() if object_id == object_id_of(e)]
        return [event["event_type"] for event in sorted(events, key=lambda event: event["timestamp"])]


def object_id_of(event: dict[str, Any]) -> str:
    """The id that the family names."""
    family = event["content"]["type"].removesuffix("_details")
    return str(event["content"]["object"][f"{family}_id"])


class Shop:
    """A merchant's own program, its customers and its banks, over HTTP."""

    def __init__(self, url: str, session: aiohttp.ClientSession, process: Running) -> None:
        self.url = url
        self.process = process
        self._session = session

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = HYPERSWITCH_KEY
    ) -> tuple[int, Any]:
        """A request to the API: status and decoded answer."""
        headers = {} if key is None else {"api-key": key}
        request = self._session.request(method, f"{self.url}/hyperswitch{path}", json=body, headers=headers)
        async with request as answer:
            return answer.status, await answer.json()

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """The same, answered with success."""
        status, answer = await self.call(method, path, body)
        assert status == 200, answer
        return answer

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """A request that is refused: status and code."""
        status, answer = await self.call(method, path, body)
        assert {"type", "code", "message"} == set(answer["error"])
        return status, answer["error"]["code"]

    async def control(self, path: str, body: Any = None) -> Any:
        """A POST to the control plane, answered with success."""
        async with self._session.post(f"{self.url}/sandbox/{path}", json=body or {}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def control_refused(self, path: str, body: Any = None) -> str:
        """A POST to the control plane that is refused: the code."""
        async with self._session.post(f"{self.url}/sandbox/{path}", json=body or {}) as answer:
            assert answer.status == 400, await answer.text()
            return str((await answer.json())["error"]["code"])

    async def look(self, path: str) -> Any:
        """A GET from the control plane."""
        async with self._session.get(f"{self.url}/sandbox/{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def stripe(self, path: str) -> tuple[int, Any]:
        """A GET from the other PSP's API in the same process."""
        headers = {"Authorization": f"Bearer {KEY}"}
        async with self._session.get(f"{self.url}{path}", headers=headers) as answer:
            return answer.status, await answer.json()

    async def payment(self, amount: int = 5_000, **changes: Any) -> str:
        """A payment in USD that waits for its customer; its id."""
        made = await self.api("POST", "/payments", {"amount": amount, "currency": "USD"} | changes)
        return str(made["payment_id"])

    async def paid(self, amount: int = 5_000, **changes: Any) -> str:
        """A payment that has succeeded; its id."""
        payment_id = await self.payment(amount, **changes)
        await self.control(f"hyperswitch/payments/{payment_id}/pay")
        return payment_id

    async def refund(self, payment_id: str, answer: str = "succeeded", **changes: Any) -> Any:
        """A refund that the processor answers as wished."""
        await self.control("hyperswitch/next_refunds", {"status": answer})
        return await self.api("POST", "/refunds", {"payment_id": payment_id} | changes)

    async def settled(self) -> dict[str, Any]:
        """Waits until nothing is scheduled; the counters."""
        answer = await asyncio.wait_for(self.control("settle", {"timeout_s": 30}), 40)
        assert answer["settled"], answer["stats"]
        return dict(answer["stats"])


def card(number: str) -> dict[str, Any]:
    """A test card as the API takes it."""
    return {"payment_method": "card", "payment_method_data": {"card": {"card_number": number}}}


def environment(directory: Path, port: int, webhook_url: str) -> dict[str, str | None]:
    """The settings of a sandbox with both merchants; Stripe's has nowhere to send anything."""
    return {
        "SANDBOX_DIR": str(directory / "books"),
        "SANDBOX_PORT": str(port),
        "SANDBOX_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}/",
        "SANDBOX_HYPERSWITCH_WEBHOOK_URL": webhook_url,
        "STRIPE_WEBHOOK_SECRETS": SECRET,
        "STRIPE_SECRET_KEY": KEY,
        "HYPERSWITCH_WEBHOOK_SECRETS": f"{HYPERSWITCH_SECRET},an_older_secret_0123456789",
        "HYPERSWITCH_API_KEY": HYPERSWITCH_KEY,
    }


@contextlib.asynccontextmanager
async def mailbox_open() -> AsyncIterator[Mailbox]:
    """A webhook endpoint that listens."""
    mailbox = Mailbox()
    app = web.Application()
    app.router.add_post("/webhooks/hyperswitch", mailbox.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", mailbox.port).start()
    try:
        yield mailbox
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def shop_at(directory: Path, processes: Processes, webhook_url: str) -> AsyncIterator[Shop]:
    """A shop at a sandbox process of its own, which ends with the test."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = environment(directory, port, webhook_url)
    process = await processes.start_ready("-m", "psp.sandbox", url=f"{url}/health/live", environment=settings)
    async with aiohttp.ClientSession() as session:
        yield Shop(url, session, process)


def types(events: list[dict[str, Any]]) -> Counter[str]:
    """How often each type came."""
    return Counter(event["event_type"] for event in events)
