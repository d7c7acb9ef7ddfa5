"""A whole market for one test: the provider's sandbox, receiver and worker as processes, and the API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stripe as stripe_library

from tests.api.house import OPS, Answer, House, customer, running
from tests.customers.providers import Forwarder, forwarding
from tests.sandbox.worlds import KEY, SECRET, World, world_at
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes

ORDERS = "/api/v1/orders"
BUYER, SELLER, OTHER = "buyer-1", "seller-1", "somebody-else"
BOOK: dict[str, Any] = {
    "amount_minor": 1_000, "currency": "usd", "seller_id": SELLER, "seller_amount_minor": 800,
    "licences": ["book", "audiobook"],
}  # fmt: skip


@dataclass
class Market:
    """What a test of orders and subscriptions needs: the API, the provider, and what stands between."""

    house: House
    psp: World
    wire: Forwarder

    async def put(self, path: str, body: Mapping[str, object]) -> None:
        """Put something into the catalogue as an operator."""
        answer = await self.house.put(path, OPS, body)
        assert answer.status == 200, answer.body

    async def order(
        self, buyer: str = BUYER, key: str | None = None, body: Mapping[str, object] | None = None
    ) -> Answer:
        """A buyer orders the book."""
        headers = customer(buyer) | ({} if key is None else {"Idempotency-Key": key})
        return await self.house.post(ORDERS, headers, body or {"product_id": "book"})

    async def bought(self, buyer: str = BUYER) -> str:
        """The id of an order of the book that has been paid for."""
        await self.put("/ops/products/book", BOOK)
        placed = await self.order(buyer)
        assert placed.status == 201, placed.body
        await self.pay(placed.json["payment_id"])
        await self.becomes(placed.json["id"], "completed")
        return str(placed.json["id"])

    async def pay(self, payment_id: str, outcome: str = "succeed") -> None:
        """The buyer pays at the provider."""
        await self.psp.post(f"payment_intents/{payment_id}/pay", outcome=outcome)

    async def becomes(self, order_id: str, status: str) -> dict[str, Any]:
        """Wait for an order to have this status; returns the order."""

        async def found() -> Any:
            answer = (await self.house.get(f"{ORDERS}/{order_id}", OPS)).json
            return answer if answer["status"] == status else None

        order: dict[str, Any] = await until(found, 30, f"order {order_id} to be {status}")
        return order

    async def refund(
        self, order_id: str, who: str = BUYER, key: str | None = None, body: object = None
    ) -> Answer:
        """Somebody asks for a refund."""
        headers = customer(who) | ({} if key is None else {"Idempotency-Key": key})
        return await self.house.post(f"{ORDERS}/{order_id}/refund", headers, body)

    async def payments(self) -> list[stripe_library.PaymentIntent]:
        """All payments that the provider has."""
        return (await self.psp.stripe.v1.payment_intents.list_async({"limit": 100})).data

    async def refunds(self) -> list[stripe_library.Refund]:
        """All refunds that the provider has."""
        return (await self.psp.stripe.v1.refunds.list_async({"limit": 100})).data


@contextlib.asynccontextmanager
async def open_market(
    directory: Path, dsn: str, redis_url: str, processes: Processes, **settings: str
) -> AsyncIterator[Market]:
    """Start it all. The API and the worker reach the provider through a wire that a test can disturb."""
    port = free_port()
    receiver = f"http://127.0.0.1:{port}"
    async with (
        world_at(directory, f"{receiver}/webhooks/stripe") as psp,
        forwarding(psp.url) as wire,
    ):
        environment = {"STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": wire.url, **settings}
        of_processes: dict[str, str | None] = {
            "DATABASE_URL": dsn,
            "REDIS_URL": redis_url,
            "INGEST_PORT": str(port),
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "STRIPE_WEBHOOK_SECRET": None,
            **environment,
        }
        await processes.start_ready("-m", "ingest", url=f"{receiver}/health/ready", environment=of_processes)
        processes.start("-m", "workers", environment=of_processes)
        async with running(dsn, redis_url, **environment) as house:
            yield Market(house, psp, wire)
