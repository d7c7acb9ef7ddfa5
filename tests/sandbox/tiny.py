"""The smallest receiver that keeps the contract's promises, apart from Sluice, to test the demo's judge on.

It keeps everything in memory and computes balances anew from its events each time. `faults` plants what a
worse one would do.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import stripe
from aiohttp import web

from runtime import clock
from tests.sandbox import tiny_hyperswitch
from tests.sandbox.tiny_sales import sales_of, to_be_reversed
from tests.sandbox.worlds import KEY, SECRET
from tests.support.ports import free_port

OPS_TOKEN = "ops-token-of-the-sandbox-tests"
FAULTS = (
    "loses_a_row",
    "credits_duplicates",
    "believes_second_bodies",
    "believes_forgers",
    "never_reconciles",
    "ignores_failed_refunds",
    "credits_the_unbelievable",
    "leaves_one_pending",
    "sleeps_through_renewals",
    "keeps_transfers",
    "misses_hyperswitch",
)
WORDS = {"incomplete": "pending_payment", "incomplete_expired": "expired", "unpaid": "suspended"}
"""The contract's words where they differ from the PSP's."""


@dataclass(slots=True)
class Tiny:
    """Log, inbox and API in one. `faults` are words of FAULTS."""

    sandbox_url: str
    faults: frozenset[str] = frozenset()
    rows: list[dict[str, Any]] = field(default_factory=list)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    reversing: asyncio.Lock = field(default_factory=asyncio.Lock)
    reversed: set[str] = field(default_factory=set)

    def app(self) -> web.Application:
        """The endpoints that the demo and the sandbox use."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/webhooks/stripe", self._take),
                web.post("/webhooks/hyperswitch", self._take_switched),
                web.get("/health/ready", self._ready),
                web.get("/audit/deliveries", self._deliveries),
                web.get("/api/accounts/{id}/credits", self._credits),
                web.get("/audit/explain/subscription/{id}", self._subscription),
                web.get("/audit/explain/{kind}/{id}", self._sold),
                web.post("/ops/reconcile", self._reconcile),
                web.get("/ops/status", self._status),
            ]
        )
        return app

    async def _take(self, request: web.Request) -> web.Response:
        body, header = await request.read(), request.headers.get("Stripe-Signature")
        verdict = _verdict(body, header)
        if "believes_forgers" in self.faults and verdict == "bad_sig":
            verdict = "ok"
        if verdict != "ok":
            self._log(_row(None, body, verdict, "psp", duplicate=False))
            return web.json_response({"error": "Invalid Stripe signature"}, status=400)
        self._keep(json.loads(body), body, "psp")
        await self._reverse_what_is_owed()
        return web.json_response({"received": True})

    async def _take_switched(self, request: web.Request) -> web.Response:
        body, header = await request.read(), request.headers.get("x-webhook-signature-512")
        verdict = tiny_hyperswitch.verdict(body, header)
        if verdict != "ok":
            self._log(_row(None, body, verdict, "psp", duplicate=False))
            return web.json_response({"error": "Invalid Hyperswitch signature"}, status=400)
        self._keep(tiny_hyperswitch.translated(json.loads(body)), body, "psp")
        return web.json_response({"received": True})

    def _keep(self, event: dict[str, Any], body: bytes, origin: str) -> None:
        known = event["id"] in self.events
        if not ("loses_a_row" in self.faults and len(self.events) == 20):
            self._log(_row(event, body, "ok", origin, duplicate=known))
        if known and "believes_second_bodies" in self.faults:
            self.events[event["id"]] = event
        if not known:
            self.events[event["id"]] = event
            self.states[event["id"]] = self._state(event)
        elif "credits_duplicates" in self.faults and event["type"] == "checkout.session.completed":
            self.events[f"{event['id']}-again"] = event | {"again": True}

    def _log(self, row: dict[str, Any]) -> None:
        self.rows.append({"id": str(len(self.rows))} | row)

    def _state(self, event: dict[str, Any]) -> str:
        if "leaves_one_pending" in self.faults and len(self.events) == 30:
            return "pending"
        thing = event["data"]["object"]
        metadata = thing.get("metadata") or {}
        paid = thing.get("payment_status") == "paid" and metadata.get("purpose") == "credits_topup"
        if paid and _credits_of(thing, metadata) is None and "credits_the_unbelievable" not in self.faults:
            return "quarantined"
        return "applied" if paid or event["type"].startswith(("refund.", "charge.dispute.")) else "ignored"

    def balance(self, account: str) -> int:
        """What an account owns, from all events at once."""
        refunds: dict[str, dict[str, Any]] = {}
        moved: dict[str, tuple[tuple[int, bool], dict[str, Any]]] = {}
        sales: dict[str, tuple[str, int, int]] = {}
        for event in self.events.values():
            kind, thing = event["type"], event["data"]["object"]
            if kind.startswith(("refund.", "charge.refund.")):
                held = refunds.get(thing["id"])
                rank = {"pending": 0, "succeeded": 1, "failed": 2}
                if "ignores_failed_refunds" in self.faults:
                    rank["failed"] = -1
                if held is None or rank[thing["status"]] > rank[held["status"]]:
                    refunds[thing["id"]] = thing
            elif kind.startswith("charge.dispute.funds_"):
                at = (event["created"], kind.endswith("_reinstated"))
                if thing["id"] not in moved or at > moved[thing["id"]][0]:
                    moved[thing["id"]] = (at, thing)
            elif (sale := self._sale(event)) is not None:
                again = "-again" if event.get("again") else ""
                sales[thing["id"] + again] = sale
        total = 0
        for payment, grant, amount in (sale[1:] for sale in self._of(account, sales)):
            back = sum(
                r["amount"]
                for r in refunds.values()
                if r["payment_intent"] == payment and r["status"] == "succeeded"
            )
            back += sum(
                d["amount"]
                for (_, is_back), d in moved.values()
                if d["payment_intent"] == payment and not is_back
            )
            total += grant - grant * back // amount
        return total

    def _of(self, account: str, sales: dict[str, Any]) -> list[tuple[str, str, int, int]]:
        return [sale for sale in sales.values() if sale[0] == account]

    def _sale(self, event: dict[str, Any]) -> Any:
        """Account, payment, credits and amount of an event that grants, None for any other."""
        kind, thing = event["type"], event["data"]["object"]
        metadata = thing.get("metadata") or {}
        if metadata.get("purpose") != "credits_topup":
            return None
        grant = _credits_of(thing, metadata)
        if "credits_the_unbelievable" in self.faults and grant is None and "accountId" in metadata:
            grant = 1
        if grant is None:
            return None
        if kind.startswith("checkout.session.") and thing["payment_status"] == "paid":
            return metadata["accountId"], thing["payment_intent"], grant, thing["amount_total"]
        if kind == "payment_intent.succeeded" and metadata.get("paymentMethod") == "off_session":
            return metadata["accountId"], thing["id"], grant, thing["amount_received"]
        return None

    async def _ready(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _deliveries(self, request: web.Request) -> web.Response:
        _authorize(request)
        rows = [row for row in self.rows if row["received_at"] >= request.query.get("since", "")]
        start, limit = int(request.query.get("cursor", 0)), int(request.query["limit"])
        page = rows[::-1][start : start + limit]
        more = start + limit < len(rows)
        items = [row | {"state": self.states.get(row["event_id"])} for row in page]
        return web.json_response({"items": items, "next_cursor": str(start + limit) if more else None})

    async def _credits(self, request: web.Request) -> web.Response:
        _authorize(request)
        account = request.match_info["id"]
        return web.json_response({"account_id": account, "remaining_credits": self.balance(account)})

    async def _subscription(self, request: web.Request) -> web.Response:
        """Reads the PSP for what it knows of by an event, as a receiver of thin events does."""
        _authorize(request)
        subscription_id = request.match_info["id"]
        own = tiny_hyperswitch.status_of_subscription(self.events.values(), subscription_id)
        if own is not None:
            return web.json_response({"state": {"status": own}})
        told = [e for e in self.events.values() if e["data"]["object"]["id"] == subscription_id]
        if not told:
            raise web.HTTPNotFound
        if "sleeps_through_renewals" in self.faults:
            status = told[0]["data"]["object"]["status"]
        else:
            async with aiohttp.ClientSession() as session:
                url = f"{self.sandbox_url}/v1/subscriptions/{subscription_id}"
                async with session.get(url, headers={"Authorization": f"Bearer {KEY}"}) as answer:
                    status = (await answer.json())["status"]
        return web.json_response({"state": {"status": WORDS.get(status, status)}})

    async def _sold(self, request: web.Request) -> web.Response:
        """Orders, transfers and the accounts of sellers."""
        _authorize(request)
        kind, object_id = request.match_info["kind"], request.match_info["id"]
        page = sales_of(self.events.values()).get(kind, {})
        if object_id not in page:
            raise web.HTTPNotFound
        return web.json_response({"state": page[object_id]})

    async def _reverse_what_is_owed(self) -> None:
        """Asks for the reversal of transfers whose order is refunded, until the PSP has done it."""
        if "keeps_transfers" in self.faults:
            return
        async with self.reversing, aiohttp.ClientSession() as session:
            for transfer_id in to_be_reversed(self.events.values()) - self.reversed:
                url = f"{self.sandbox_url}/v1/transfers/{transfer_id}/reversals"
                key = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": f"reverse-{transfer_id}"}
                while transfer_id not in self.reversed:
                    async with session.post(url, headers=key) as answer:
                        if answer.status == 200:
                            self.reversed.add(transfer_id)

    async def _reconcile(self, request: web.Request) -> web.Response:
        _authorize(request)
        if "never_reconciles" not in self.faults:
            async with aiohttp.ClientSession() as session:
                client = stripe.StripeClient(
                    KEY,
                    base_addresses={"api": self.sandbox_url},
                    http_client=stripe.AIOHTTPClient(session=session),
                )
                page = await client.v1.events.list_async({"delivery_success": False, "limit": 100})
                async for event in page.auto_paging_iter():
                    if event.id not in self.events:
                        body = event.to_dict()
                        text = json.dumps(body, default=str)  # the library makes decimals of some texts
                        self._keep(body, text.encode(), "reconciler")
                async for exact in tiny_hyperswitch.undelivered(self.sandbox_url, session):
                    switched = tiny_hyperswitch.translated(json.loads(exact))
                    if switched["id"] not in self.events and "misses_hyperswitch" not in self.faults:
                        self._keep(switched, exact, "reconciler")
            await self._reverse_what_is_owed()
        return web.json_response({"run_id": "run-1"}, status=202)

    async def _status(self, request: web.Request) -> web.Response:
        _authorize(request)
        return web.json_response({"invariants": {"balance_is_sum_of_postings": 0}})


def _verdict(body: bytes, header: str | None) -> str:
    if header is None:
        return "missing_sig"
    fields = dict(part.partition("=")[::2] for part in header.split(","))
    if not fields.get("t", "").isdigit():
        return "malformed_sig"
    off_s = int(fields["t"]) - clock.now_unix_s()
    if abs(off_s) > 300:
        return "future_ts" if off_s > 0 else "stale_ts"
    try:
        stripe.WebhookSignature.verify_header(body.decode(), header, SECRET, 300)
    except stripe.SignatureVerificationError:
        return "bad_sig"
    return "ok"


def _credits_of(thing: dict[str, Any], metadata: dict[str, str]) -> int | None:
    """The credits of a believable top-up, None otherwise."""
    text, amount = metadata.get("credits", ""), thing.get("amount_total") or thing.get("amount_received") or 0
    believable = text.isdigit() and int(text) > 0 and metadata.get("accountId") and thing["currency"] == "usd"
    return int(text) if believable and amount >= int(text) else None


def _row(
    event: dict[str, Any] | None, body: bytes, verdict: str, origin: str, *, duplicate: bool
) -> dict[str, Any]:
    return {
        "received_at": clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "origin": origin,
        "verdict": verdict,
        "event_id": event and event["id"],
        "event_type": event and event["type"],
        "object_id": event and event["data"]["object"]["id"],
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "duplicate": duplicate,
        "last_error": None,
        "requests": 1,
    }


def _authorize(request: web.Request) -> None:
    if request.headers.get("Authorization") != f"Bearer {OPS_TOKEN}":
        raise web.HTTPUnauthorized


@contextlib.asynccontextmanager
async def running(tiny: Tiny) -> AsyncIterator[Tiny]:
    """Serves it on its port until the block is left."""
    runner = web.AppRunner(tiny.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", tiny.port).start()
    try:
        yield tiny
    finally:
        await runner.cleanup()
