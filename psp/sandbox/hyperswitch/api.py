"""Hyperswitch's HTTP API as far as the sandbox has it: key, routes, lists; never decides about money."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import web

from psp.sandbox import limits

from . import events, payments, reversals
from .desk import HYPERSWITCH_DESK, HyperswitchDesk
from .errors import HyperswitchError, unauthorized, unknown, unreadable
from .fields import Fields, at_ms_max
from .records import Dispute, Payment, Record, Refund
from .shelf import R
from .turn import Work

Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"
Write: TypeAlias = "Callable[[Work, Fields, str], Record]"
PREFIX = "/hyperswitch"
"""Where the API is in the sandbox: the base URL of its clients ends with it."""


def routes() -> list[web.RouteDef]:
    """All routes under the prefix."""
    paths = [
        web.post("/payments", _writes(lambda work, fields, _: payments.create(work, fields))),
        web.get("/payments/list", _list_payments),
        web.get("/payments/{id}", _reads(Payment)),
        web.post("/payments/{id}/confirm", _writes(_of_payment(payments.confirm))),
        web.post("/payments/{id}/capture", _writes(_of_payment(payments.capture))),
        web.post("/payments/{id}/cancel", _writes(_of_payment(payments.cancel))),
        web.post("/refunds", _create_refund),
        web.post("/refunds/list", _list_refunds),
        web.get("/refunds/{id}", _reads(Refund)),
        web.get("/disputes/list", _list_disputes),
        web.get("/disputes/{id}", _reads(Dispute)),
        web.post("/disputes/accept/{id}", _writes(_accept_dispute)),
        web.get("/events/{merchant}", _list_events),
        web.post("/events/{merchant}", _list_events),
        web.get("/events/{merchant}/{event}/attempts", _attempts),
        web.post("/events/{merchant}/{event}/retry", _retry_event),
        web.route("*", "/{tail:.*}", _unknown_path),
    ]
    return [web.route(each.method, PREFIX + each.path, each.handler) for each in paths]


@web.middleware
async def answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The key is checked before anything else; every refusal has Hyperswitch's shape, at the control desk of
    this merchant too.
    """
    try:
        if request.path.startswith(f"{PREFIX}/") and HYPERSWITCH_DESK in request.app:
            return await _answer(request, handler)
        return await handler(request)
    except HyperswitchError as error:
        return web.json_response(error.body, status=error.status)


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the API answers, and which scripted misfortune this request meets."""
    merchant = request.app[HYPERSWITCH_DESK]
    shown, key = request.headers.get("api-key", ""), merchant.settings.api_key.reveal()
    if not hmac.compare_digest(shown.encode(errors="surrogateescape"), key.encode()):
        raise unauthorized()
    fault = merchant.desk.fault_for(request.path)
    if fault is not None and fault.kind == "status":
        raise HyperswitchError("HE_00", "Something went wrong", status=fault.status, kind="api")
    if fault is None:
        return await handler(request)
    if fault.kind == "drop_after":
        await handler(request)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def fields_of(request: web.Request) -> Fields:
    """The request's JSON object; an empty body is an empty one. What cannot be written as JSON again, like
    NaN or half a surrogate pair, is refused.
    """
    try:
        text = await request.text()
        decoded = json.loads(text) if text.strip() else {}
        json.dumps(decoded, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, LookupError, RecursionError):
        raise unreadable("invalid JSON") from None
    if not isinstance(decoded, dict):
        raise unreadable("expected a map")
    return Fields(decoded)


def _writes(write: Write) -> Handler:
    """A POST: one turn holds all of the work. An `Idempotency-Key` is not looked at, as at Hyperswitch."""

    async def handle(request: web.Request) -> web.StreamResponse:
        merchant = request.app[HYPERSWITCH_DESK]
        fields = await fields_of(request)
        with merchant.turn() as work:
            shape = merchant.view.show(write(work, fields, request.match_info.get("id", "")))
        return web.json_response(shape)

    return handle


def _of_payment(write: Callable[[Work, Payment, Fields], Payment]) -> Write:
    return lambda work, fields, payment_id: write(work, work.shelf.the(Payment, payment_id), fields)


def _reads(kind: type[R]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        view = request.app[HYPERSWITCH_DESK].view
        record = view.shelf.the(kind, request.match_info["id"])
        assert isinstance(record, Payment | Refund | Dispute)
        return web.json_response(view.show(record))

    return handle


async def _create_refund(request: web.Request) -> web.StreamResponse:
    """The processor's next answer is used up only by a refund that is made."""
    coming = request.app[HYPERSWITCH_DESK].next_refunds

    def write(work: Work, fields: Fields, _: str) -> Refund:
        refund = reversals.create_refund(work, fields, coming[0] if coming else reversals.ANSWERS[0])
        if coming:
            coming.popleft()
        return refund

    return await _writes(write)(request)


def _accept_dispute(work: Work, fields: Fields, dispute_id: str) -> Record:
    return reversals.move_dispute(work, work.shelf.the(Dispute, dispute_id), "dispute_accepted")


async def _list_payments(request: web.Request) -> web.StreamResponse:
    """`created`, `created.gte` …, `customer_id`, `limit`, `starting_after`, `ending_before`; newest first."""
    shelf, fields = request.app[HYPERSWITCH_DESK].shelf, Fields(request.query)
    after, before = fields.text("starting_after"), fields.text("ending_before")
    found = shelf.many(
        Payment,
        "list_hyperswitch_payment",
        customer_id=fields.text("customer_id"),
        seq_below=at_ms_max if after is None else shelf.the(Payment, after).seq,
        seq_above=0 if before is None else shelf.the(Payment, before).seq,
        rows=fields.whole("limit", limits.list_rows_default, 1, limits.list_rows_max),
        **fields.span_ms("created"),
    )
    return _listed(request, found, {"size": len(found)})


async def _list_refunds(request: web.Request) -> web.StreamResponse:
    """`payment_id`, `refund_id`, `refund_status`, `start_time`, `end_time`, `limit`, `offset`."""
    shelf, fields = request.app[HYPERSWITCH_DESK].shelf, await fields_of(request)
    statuses = fields.words("refund_status")
    filters = {
        "payment_id": fields.text("payment_id"),
        "refund_id": fields.text("refund_id"),
        "statuses": json.dumps(statuses) if statuses is not None else None,
        "created_min": fields.at_ms("start_time") or 0,
        "created_max": fields.at_ms("end_time") or at_ms_max,
    }
    rows = fields.whole("limit", limits.list_rows_default, 1, limits.list_rows_max)
    skip = fields.whole("offset", 0, 0, at_ms_max)
    found = shelf.many(Refund, "list_hyperswitch_refund", rows=rows, skip=skip, **filters)
    total = shelf.count("count_hyperswitch_refund", **filters)
    return _listed(request, found, {"count": len(found), "total_count": total})


async def _list_disputes(request: web.Request) -> web.StreamResponse:
    """`dispute_status`, `received_time`, `received_time.gte` …, `limit`: an array, as at Hyperswitch."""
    merchant, fields = request.app[HYPERSWITCH_DESK], Fields(request.query)
    found = merchant.shelf.many(
        Dispute,
        "list_hyperswitch_dispute",
        status=fields.text("dispute_status"),
        rows=fields.whole("limit", limits.list_rows_default, 1, limits.list_rows_max),
        **fields.span_ms("received_time"),
    )
    return web.json_response([merchant.view.show(each) for each in found])


def _listed(
    request: web.Request, found: list[Payment] | list[Refund], counts: Mapping[str, int]
) -> web.Response:
    view = request.app[HYPERSWITCH_DESK].view
    data: list[dict[str, Any]] = [view.show(each) for each in found]
    return web.json_response({**counts, "data": data})


async def _list_events(request: web.Request) -> web.StreamResponse:
    """By query as the API once was, or by body as it is: see `events.page`."""
    merchant = _merchant(request)
    fields = await fields_of(request) if request.method == "POST" else Fields(request.query)
    return web.json_response(events.page(merchant.shelf, merchant.merchant, fields))


async def _attempts(request: web.Request) -> web.StreamResponse:
    merchant = _merchant(request)
    told = events.the(merchant.shelf, request.match_info["event"])
    return web.json_response([events.retrieved(told, merchant, None)])


async def _retry_event(request: web.Request) -> web.StreamResponse:
    """Sends the stored body once more and answers with what came of it."""
    merchant = _merchant(request)
    told = events.the(merchant.shelf, request.match_info["event"])
    status = await merchant.desk.deliverer.ask_for(told.id)
    again = events.the(merchant.shelf, told.id)
    return web.json_response(events.retrieved(again, merchant, (status,)))


def _merchant(request: web.Request) -> HyperswitchDesk:
    """The merchant that the path names by its id or its profile's."""
    merchant = request.app[HYPERSWITCH_DESK]
    if request.match_info["merchant"] not in {merchant.merchant.id, merchant.merchant.profile_id}:
        raise unknown("Merchant account")
    return merchant


async def _unknown_path(request: web.Request) -> web.StreamResponse:
    raise HyperswitchError("IR_02", "Unrecognized request URL", status=404)
