"""A Hyperswitch of one test: payments and refunds under the ids that its caller chooses, and signed webhooks.

It answers as the OpenAPI of Hyperswitch says, as far as our client calls it; it routes to no PSP.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from psp.hyperswitch.signature import sign
from tests.support.ports import free_port

API_KEY = "snd_a_key_of_the_tests"
WEBHOOK_SECRET = "hyperswitch-webhook-secret-for-tests"


@dataclass
class Switch:
    """What it holds by id, what it was asked, and where it tells."""

    url: str
    receiver: str
    http: aiohttp.ClientSession = field(repr=False)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: list[str | None] = field(default_factory=list)
    told: int = 0
    refuses: str = ""
    """The code with which the next payment is refused."""

    async def answer(self, request: web.Request) -> web.Response:
        """One request of a merchant."""
        if request.headers.get("api-key") != API_KEY:
            return fault(401, "IR_01")
        kind, _, object_id = request.path.strip("/").partition("/")
        held = self.payments if kind == "payments" else self.refunds
        if request.method == "GET":
            return web.json_response(held[object_id]) if object_id in held else fault(404, "HE_02")
        self.keys.append(request.headers.get("Idempotency-Key"))
        wanted: dict[str, Any] = await request.json()
        own_id = wanted["payment_id" if kind == "payments" else "refund_id"]
        assert len(own_id) == 30, own_id
        if own_id in held:
            return fault(400, "HE_01")
        if self.refuses:
            refused, self.refuses = self.refuses, ""
            return fault(400, refused)
        held[own_id] = self._payment(wanted) if kind == "payments" else self._refund(wanted)
        return web.json_response(held[own_id])

    def _payment(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return {
            "payment_id": wanted["payment_id"],
            "status": "requires_payment_method",
            "amount": wanted["amount"],
            "currency": wanted["currency"],
            "amount_received": None,
            "metadata": wanted["metadata"],
            "client_secret": f"{wanted['payment_id']}_secret_x",
        }

    def _refund(self, wanted: dict[str, Any]) -> dict[str, Any]:
        payment = self.payments[wanted["payment_id"]]
        return {
            "refund_id": wanted["refund_id"],
            "payment_id": wanted["payment_id"],
            "status": "pending",
            "amount": wanted.get("amount", payment["amount"]),
            "currency": payment["currency"],
            "metadata": wanted["metadata"],
        }

    async def pay(self, payment_id: str, status: str = "succeeded") -> None:
        """The buyer pays, or the payment fails."""
        payment = self.payments[payment_id]
        payment["status"] = status
        payment["amount_received"] = payment["amount"] if status == "succeeded" else None
        await self._tell(f"payment_{status}", "payment_details", payment)

    async def finish_refund(self, refund_id: str, status: str = "succeeded") -> None:
        """The connector has refunded, or will not."""
        self.refunds[refund_id]["status"] = status
        await self._tell(f"refund_{status}", "refund_details", self.refunds[refund_id])

    async def _tell(self, event_type: str, family: str, subject: dict[str, Any]) -> None:
        self.told += 1
        event = {
            "merchant_id": "merchant_1",
            "event_id": f"evt_{self.told}",
            "event_type": event_type,
            "content": {"type": family, "object": subject},
            "timestamp": "2026-11-21T12:00:00.000Z",
        }
        body = json.dumps(event).encode()
        headers = {
            "Content-Type": "application/json",
            "x-webhook-signature-512": sign(body, WEBHOOK_SECRET.encode()),
        }
        async with self.http.post(self.receiver, data=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()


def fault(status: int, code: str) -> web.Response:
    """An error as Hyperswitch writes it."""
    error = {"type": "invalid_request", "code": code, "message": "never to be shown"}
    return web.json_response({"error": error}, status=status)


@contextlib.asynccontextmanager
async def switching(receiver: str) -> AsyncIterator[Switch]:
    """A switch on a port of its own, whose webhooks go to `receiver`."""
    port = free_port()
    async with aiohttp.ClientSession() as http:
        switch = Switch(f"http://127.0.0.1:{port}", receiver, http)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", switch.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield switch
        finally:
            await runner.cleanup()
