"""Refunds of the outbox at a server in the shape of Hyperswitch: our own id is what makes a second try
harmless.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from billing.commands import RefundCallEnded, ReversalEnded
from billing.decision import PspCall
from psp import callers
from psp.calls import Caller, Done, Refused, Transient
from psp.hyperswitch import ids
from runtime import settings
from tests.support.office import nobodys
from tests.support.ports import free_port

OURS = UUID(int=7)
THERE = ids.refund_id(OURS)
CALL = PspCall("create_refund", str(OURS), str(OURS), {"payment_id": "pay_1", "amount_minor": 250})


@dataclass
class Router:
    """Its refunds by id, and what the next POST answers after (or, `works`: without) doing its work."""

    url: str
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    fault: tuple[int, dict[str, str]] | None = None
    works: bool = True

    async def create(self, request: web.Request) -> web.Response:
        """POST /refunds: a known id is a duplicate."""
        wanted = await request.json()
        if self.works:
            if wanted["refund_id"] in self.refunds:
                return web.json_response({"error": {"code": "HE_01"}}, status=400)
            self.refunds[wanted["refund_id"]] = {**wanted, "status": "succeeded"}
        if self.fault is not None:
            (status, headers), self.fault = self.fault, None
            return web.json_response({"error": {"code": "IR_16"}}, status=status, headers=headers)
        return web.json_response(self.refunds[wanted["refund_id"]])

    async def show(self, request: web.Request) -> web.Response:
        """GET /refunds/{id}."""
        return web.json_response(self.refunds[request.match_info["id"]])


@pytest.fixture
async def router() -> AsyncIterator[Router]:
    """The server on a port of its own."""
    port = free_port()
    served = Router(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_post("/refunds", served.create)
    app.router.add_get("/refunds/{id}", served.show)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield served
    await runner.cleanup()


@pytest.fixture
async def caller(router: Router) -> AsyncIterator[Caller]:
    """The caller that these settings make, and no other."""
    environment = {
        "DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "HYPERSWITCH_ENABLED": "true",
        "HYPERSWITCH_URL": router.url,
        "HYPERSWITCH_API_KEY": "snd_0123456789abcdef",
    }
    async with callers.opened(settings.load(environment)) as opened:
        assert list(opened) == ["hyperswitch"]
        yield opened["hyperswitch"]


async def test_a_refund_is_made_under_the_id_that_we_chose(router: Router, caller: Caller) -> None:
    """Accepted, and no more than that, whatever its status says."""
    assert await caller.do(CALL, 1, 0, nobodys) == Done(RefundCallEnded("hyperswitch", str(OURS), THERE))
    assert router.refunds[THERE] == {
        "payment_id": "pay_1",
        "refund_id": THERE,
        "metadata": {"refundId": str(OURS)},
        "amount": 250,
        "status": "succeeded",
    }


async def test_a_refund_whose_reply_was_lost_is_found_by_its_id(router: Router, caller: Caller) -> None:
    """500 although the work was done: the second try meets HE_01 and reads what is there."""
    router.fault = (500, {})
    first = await caller.do(CALL, 1, 0, nobodys)
    second = await caller.do(CALL, 2, 0, nobodys)

    assert first == Transient("http_500", unwell=True)
    assert second == Done(RefundCallEnded("hyperswitch", str(OURS), THERE))
    assert len(router.refunds) == 1


async def test_what_hyperswitch_refuses_has_ended(router: Router, caller: Caller) -> None:
    """With the code alone, and the intent to tell the log."""
    router.works, router.fault = False, (400, {})

    assert await caller.do(CALL, 1, 0, nobodys) == Refused(
        "IR_16", RefundCallEnded("hyperswitch", str(OURS), None)
    )


async def test_what_hyperswitch_asks_to_wait_for_is_passed_on(router: Router, caller: Caller) -> None:
    """429 with Retry-After."""
    router.works, router.fault = False, (429, {"Retry-After": "30"})

    assert await caller.do(CALL, 1, 0, nobodys) == Transient("http_429", unwell=True, retry_after_s=30.0)


async def test_transfers_are_none_of_its_business(caller: Caller) -> None:
    """Such a call ends, and is not tried for ever."""
    outcome = await caller.do(PspCall("reverse_transfer", "tr_1", "reversal:tr_1:1"), 1, 0, nobodys)

    assert outcome == Refused("unsupported_call", ReversalEnded("hyperswitch", "tr_1", "permanently_failed"))
