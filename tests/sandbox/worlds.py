"""What the sandbox's tests stand on: a clock to move, a receiver that keeps its mail, and a customer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import stripe
from aiohttp import web

from psp.sandbox.app import build
from psp.sandbox.delivery import Patience
from psp.sandbox.desk import Desk
from psp.sandbox.settings import HyperswitchSettings, Settings
from runtime import clock as wall
from runtime.values import Secret
from tests.support.ports import free_port

SECRET = "whsec_sandbox_tests_0123456789"
KEY = "sk_test_sandbox_tests"
TOPUP = {"purpose": "credits_topup", "accountId": "acc-1", "credits": "250"}


class Clock:
    """Wall time, moved by as many seconds as a test likes."""

    def __init__(self) -> None:
        self.ahead_s = 0

    def now_s(self) -> int:
        """Unix seconds."""
        return wall.now_unix_s() + self.ahead_s


@dataclass(frozen=True, slots=True)
class Letter:
    """One request as it came in."""

    body: bytes
    signature: str | None
    content_type: str

    @property
    def event(self) -> dict[str, Any]:
        """The event in the body."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded

    def verified(self) -> bool:
        """Whether Stripe's own library takes body and signature, and the time is not ahead either."""
        header = self.signature or ""
        if header.startswith("t=") and int(header[2:].partition(",")[0]) > wall.now_unix_s() + 300:
            return False
        try:
            stripe.WebhookSignature.verify_header(self.body.decode(), header, SECRET, 300)
        except stripe.SignatureVerificationError:
            return False
        return True


@dataclass(slots=True)
class Receiver:
    """Keeps what it is sent, and answers while it is `open`.

    `answers` are used up first; then unsigned or forged mail is 400, the rest 200.
    """

    url: str
    letters: list[Letter] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    @property
    def host(self) -> str:
        """Where it listens."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0

    async def take(self, request: web.Request) -> web.Response:
        """The endpoint itself."""
        letter = Letter(await request.read(), request.headers.get("Stripe-Signature"), request.content_type)
        self.letters.append(letter)
        await self.open.wait()
        if self.answers:
            return web.Response(status=self.answers.pop(0))
        return web.json_response({"received": True}, status=200 if letter.verified() else 400)

    @property
    def types(self) -> list[str]:
        """Types of the verified events in order of arrival."""
        return [letter.event["type"] for letter in self.letters if letter.verified()]


class World:
    """A customer and merchant of one running sandbox, through Stripe's library and the control plane."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.clock = clock

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        self._http = stripe.AIOHTTPClient(session=self._session)
        self.stripe = self.client()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def client(self, key: str = KEY, retries: int = 0) -> stripe.StripeClient:
        """Stripe's own client, pointed at the sandbox."""
        return stripe.StripeClient(
            key, base_addresses={"api": self.url}, http_client=self._http, max_network_retries=retries
        )

    async def post(self, path: str, /, status: int = 200, **body: Any) -> dict[str, Any]:
        """A POST to the control plane that must be answered with `status`."""
        async with self._session.post(f"{self.url}/sandbox/{path}", json=body) as answer:
            assert status == answer.status, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def fault(self, **fault: Any) -> None:
        """Scripts a misfortune of the API."""
        async with self._session.post(f"{self.url}/sandbox/api_faults", json=fault) as answer:
            assert answer.status == 200, await answer.text()

    async def get(self, path: str) -> dict[str, Any]:
        """A GET from the control plane."""
        async with self._session.get(f"{self.url}/sandbox/{path}") as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def raw(self, method: str, path: str, **request: Any) -> tuple[int, str, dict[str, str]]:
        """Any request: status, text and headers."""
        async with self._session.request(method, self.url + path, **request) as answer:
            return answer.status, await answer.text(), dict(answer.headers)

    async def open(
        self, credits_sold: int = 250, total: int = 289, **changes: Any
    ) -> stripe.checkout.Session:
        """A session for a top-up, as the shop opens it."""
        metadata = changes.pop("metadata", TOPUP | {"credits": str(credits_sold)})
        lines = [(1, credits_sold, "Credits"), (total - credits_sold, 1, "Processing fee")]
        params: Any = {
            "mode": "payment",
            "success_url": "https://shop.example/thanks",
            "line_items": [
                {
                    "price_data": {"currency": "usd", "unit_amount": amount, "product_data": {"name": name}},
                    "quantity": quantity,
                }
                for amount, quantity, name in lines
            ],
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},
        } | changes
        return await self.stripe.v1.checkout.sessions.create_async(params)

    async def buy(self, **changes: Any) -> str:
        """A paid top-up of 250 credits for 2.89 USD by card; the id of its payment."""
        session = await self.open(**changes)
        paid = await self.post(f"checkout/sessions/{session.id}/pay")
        return str(paid["payment_intent"])

    async def price(self, unit_amount: int = 900, interval: str = "month") -> str:
        """A recurring price in USD; its id."""
        params: Any = {
            "currency": "usd",
            "unit_amount": unit_amount,
            "recurring": {"interval": interval},
            "product_data": {"name": "Plan"},
        }
        return (await self.stripe.v1.prices.create_async(params)).id

    async def subscribe(self, **changes: Any) -> stripe.Subscription:
        """A subscription of acc-1 whose first invoice waits for the customer."""
        params: Any = {
            "customer": "cus_1",
            "items": [{"price": changes.pop("price", None) or await self.price()}],
            "payment_behavior": "default_incomplete",
            "metadata": {"accountId": "acc-1"},
        } | changes
        return await self.stripe.v1.subscriptions.create_async(params)

    async def order(self, amount: int = 1_000, **metadata: str) -> stripe.PaymentIntent:
        """A payment for order-1 of buyer-1 that waits for its customer."""
        params: Any = {
            "amount": amount,
            "currency": "usd",
            "transfer_group": "order-1",
            "metadata": {"purpose": "order", "orderId": "order-1", "buyerId": "buyer-1"} | metadata,
        }
        return await self.stripe.v1.payment_intents.create_async(params)

    async def events(self, object_id: str | None = None) -> list[dict[str, Any]]:
        """All events that were made, or those about one object, oldest first."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            path = f"/v1/events?limit=100{after}"
            _, text, _ = await self.raw("GET", path, headers={"Authorization": f"Bearer {KEY}"})
            page = json.loads(text)
            found += page["data"]
            if not page["has_more"]:
                return [e for e in found[::-1] if object_id in {None, e["data"]["object"]["id"]}]
            after = f"&starting_after={found[-1]['id']}"

    async def credits(self, account: str = "acc-1") -> int:
        """What the books say an account should own."""
        books = await self.get("books")
        return int(books["accounts"].get(account, {"credits": 0})["credits"])

    async def settled(self) -> dict[str, Any]:
        """Waits until nothing is scheduled; the counters."""
        answer = await asyncio.wait_for(self.post("settle", timeout_s=30), 40)
        assert answer["settled"], answer["stats"]
        stats: dict[str, Any] = answer["stats"]
        return stats


@contextlib.asynccontextmanager
async def world_at(
    directory: Path,
    webhook_url: str,
    *,
    patience: Patience | None = None,
    clock: Clock | None = None,
    hyperswitch: HyperswitchSettings | None = None,
) -> AsyncIterator[World]:
    """A sandbox in this process, its books in `directory`, its events sent to `webhook_url`."""
    clock = clock or Clock()
    secrets = Secret(SECRET), Secret(KEY)
    settings = Settings("127.0.0.1", free_port(), directory, webhook_url, *secrets, hyperswitch)
    runner = web.AppRunner(build(Desk(settings, now_s=clock.now_s, patience=patience)), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port).start()
    try:
        async with World(f"http://127.0.0.1:{settings.port}", clock) as world:
            yield world
    finally:
        await runner.cleanup()
