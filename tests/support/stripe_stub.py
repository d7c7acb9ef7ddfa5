"""A server in the shape of Stripe's API for transfers, refunds and reads, with books of its own and a script
of faults; must never know anything of ours.

It keeps idempotency keys as Stripe does: a key whose work was done gets the same answer again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.ports import free_port


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: `works` is whether the work is done before, `then` how it is answered
    (`status`), cut off (`drop`) or kept waiting until `Stub.release` is set (`hold`).
    """

    status: int = 500
    then: str = "status"
    works: bool = False
    code: str = "api_error"
    message: str = "scripted"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Stub:
    """The books, what was asked, and what is to go wrong next."""

    url: str
    transfers: dict[str, int] = field(default_factory=dict)
    """Amount by transfer."""
    reversals: list[tuple[str, int]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What a GET of a path answers."""
    faults: deque[Fault] = field(default_factory=deque)
    keys: list[str] = field(default_factory=list)
    """The idempotency key of every POST, in order."""
    asked: list[str] = field(default_factory=list)
    """Method and path of every request, in order."""
    worked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request's work is done, before it is answered."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    _answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Every request: a fault of the script, or the answer of the books."""
        self.asked.append(f"{request.method} {request.path}")
        form = {name: str(value) for name, value in (await request.post()).items()}
        key = request.headers.get("Idempotency-Key", "")
        if request.method == "POST":
            self.keys.append(key)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None and not fault.works:
            status, document = fault.status, refusal(fault.code, fault.message)
        elif key in self._answers:
            status, document = self._answers[key]
        else:
            status, document = self._work(request, form)
            if key and status == 200:
                self._answers[key] = status, document
            self.worked.set()
            if fault is not None and fault.then == "status":
                status, document = fault.status, refusal(fault.code, fault.message)
        if fault is not None and fault.then == "hold":
            await self.release.wait()
        if fault is not None and fault.then == "drop":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(document, status=status, headers=fault.headers if fault is not None else {})

    def _work(self, request: web.Request, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if request.method == "GET":
            return self._read(request)
        if request.path == "/v1/refunds":
            refund = {
                "id": f"re_{len(self.refunds) + 1}",
                "object": "refund",
                "status": "pending",
                "created": 1_790_000_000,
                "payment_intent": form["payment_intent"],
                "amount": int(form.get("amount", "0")),
                "metadata": {"refundId": form.get("metadata[refundId]", "")},
            }
            self.refunds.insert(0, refund)
            return 200, refund
        transfer_id = request.path.split("/")[3]
        if transfer_id not in self.transfers:
            return 404, refusal("resource_missing", "No such transfer")
        left = self.transfers[transfer_id] - sum(part for of, part in self.reversals if of == transfer_id)
        amount = int(form.get("amount", left))
        if not 0 < amount <= left:
            return 400, refusal("", f"Transfer {transfer_id} is already fully reversed.")
        self.reversals.append((transfer_id, amount))
        return 200, {"id": f"trr_{len(self.reversals)}", "object": "transfer_reversal", "amount": amount}

    def _read(self, request: web.Request) -> tuple[int, dict[str, Any]]:
        if request.path != "/v1/refunds":
            known = self.objects.get(request.path)
            return (404, refusal("resource_missing", "No such object")) if known is None else (200, known)
        rows = [one for one in self.refunds if one["payment_intent"] == request.query["payment_intent"]]
        after = request.query.get("starting_after")
        start = [one["id"] for one in rows].index(after) + 1 if after is not None else 0
        page = rows[start : start + int(request.query["limit"])]
        return 200, {"object": "list", "data": page, "has_more": start + len(page) < len(rows)}


def refusal(code: str, message: str) -> dict[str, Any]:
    """An error as Stripe words it."""
    return {"error": {"type": "invalid_request_error", "code": code, "message": message}}


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Stub]:
    """The server on a port of its own until the block is left."""
    port = free_port()
    stub = Stub(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield stub
    finally:
        stub.release.set()
        await runner.cleanup()
