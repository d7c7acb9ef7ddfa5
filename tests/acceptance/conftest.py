"""A whole small stack as real processes: receiver, worker and API over a fresh database, seen from outside
only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp
import pytest
import stripe

from psp.hyperswitch import signature as hyperswitch
from runtime import clock
from tests.support.poll import until
from tests.support.ports import free_ports
from tests.support.processes import Processes

SECRET = "whsec_acceptance_0123456789abcdef"
SWITCH_SECRET = "hyperswitch_acceptance_0123456789abcdef"
TOKEN = "acceptance-token-0123456789"


@dataclass
class Stack:
    """What a PSP and an operator see of Sluice."""

    http: aiohttp.ClientSession
    receiver: str
    api: str
    operator: ClassVar = {"Authorization": f"Bearer {TOKEN}"}

    async def send(self, body: str, endpoint: str = "stripe", **further: str) -> tuple[int, str]:
        """Sign with the stripe library and POST, with further headers; returns status and answer."""
        signature = stripe.WebhookSignature.generate_signature_header(
            body, SECRET, timestamp=clock.now_unix_s()
        )
        headers = {
            "Stripe-Signature": signature,
            "Content-Type": "application/json; charset=utf-8",
            **further,
        }
        async with self.http.post(
            f"{self.receiver}/webhooks/{endpoint}", data=body.encode(), headers=headers
        ) as answer:
            return answer.status, await answer.text()

    async def send_of(self, source: str, *bodies: dict[str, Any]) -> None:
        """Deliver signed events of a PSP one after the other, each acknowledged."""
        for body in bodies:
            if source == "stripe":
                answered = await self.send(json.dumps(body))
            else:
                raw = json.dumps(body).encode()
                headers = {"x-webhook-signature-512": hyperswitch.sign(raw, SWITCH_SECRET.encode())}
                async with self.http.post(
                    f"{self.receiver}/webhooks/hyperswitch", data=raw, headers=headers
                ) as answer:
                    answered = answer.status, await answer.text()
            assert answered == (200, '{"received":true}')

    async def send_all(self, *bodies: dict[str, Any]) -> list[tuple[int, str]]:
        """Send at once."""
        return await asyncio.gather(*(self.send(json.dumps(body)) for body in bodies))

    async def get(self, path: str) -> Any:
        """Read from the API with the operator's token."""
        async with self.http.get(self.api + path, headers=self.operator) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def settled(self) -> Any:
        """Wait until nothing is due; returns the operator's status."""

        async def idle() -> Any:
            status = await self.get("/ops/status")
            return status if status["queue"] == {"pending": 0, "due": 0, "redeliveries": 0} else None

        return await until(idle, 30, "everything acknowledged to be decided")

    async def credits(self, account: str) -> int:
        """What the API says the account holds."""
        return int((await self.get(f"/api/accounts/{account}/credits"))["remaining_credits"])

    async def deliveries(self, query: str = "") -> list[dict[str, Any]]:
        """The whole log through the API, newest first."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.get(f"/audit/deliveries?limit=200{query}{cursor}")
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"


@contextlib.asynccontextmanager
async def started(
    dsn: str, redis_url: str, processes: Processes, **settings: str | None
) -> AsyncIterator[Stack]:
    """Receiver, worker and API, ready, with further settings."""
    ingest_port, api_port = free_ports(2)
    environment = {
        "DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "STRIPE_WEBHOOK_SECRETS": SECRET,
        "STRIPE_WEBHOOK_SECRET": None,
        "HYPERSWITCH_WEBHOOK_SECRETS": SWITCH_SECRET,
        "INGEST_PORT": str(ingest_port),
        "API_PORT": str(api_port),
        "OPS_TOKENS": f"ada:ops:{TOKEN}",
        "SWEEP_INTERVAL": "1s",
        **settings,
    }
    receiver, api = f"http://127.0.0.1:{ingest_port}", f"http://127.0.0.1:{api_port}"
    await processes.start_ready("-m", "ingest", url=f"{receiver}/health/ready", environment=environment)
    await processes.start_ready("-m", "api", url=f"{api}/health/ready", environment=environment)
    processes.start("-m", "workers", environment=environment)
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(connector=connector) as http:
        yield Stack(http, receiver, api)


@pytest.fixture
async def stack(dsn: str, redis_url: str, processes: Processes) -> AsyncIterator[Stack]:
    """Receiver, worker and API, ready."""
    async with started(dsn, redis_url, processes) as running:
        yield running
