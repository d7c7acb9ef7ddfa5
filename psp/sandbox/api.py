"""Stripe's HTTP API as far as the sandbox has it: keys, idempotency, routes; never decides about money."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

from . import finding, invoices, lists, objects, payments, prices, reversals, subscriptions, transfers
from .desk import ApiFault, Desk
from .errors import StripeError, invalid, state, unknown
from .forms import Params, decode
from .limits import idempotency_kept_s, idempotency_key_chars_max
from .records import (
    Charge,
    CheckoutSession,
    Dispute,
    Event,
    Invoice,
    Movement,
    PaymentIntent,
    Price,
    Record,
    Refund,
    SavedAnswer,
    Subscription,
    Transfer,
    TransferReversal,
)
from .store import R, Store
from .turn import Cause, Turn
from .versions import api_version
from .view import NOUNS, View, line_items, listed

DESK = web.AppKey("desk", Desk)
REQUEST_ID = web.RequestKey("request_id", str)
Write: TypeAlias = "Callable[[Turn, Params, str], Record]"
Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: status, JSON bytes, and the request that it first answered where it is a replay."""

    status: int
    body: bytes
    original_request: str | None = None


def routes() -> list[web.RouteDef]:
    """All routes under /v1."""
    return [
        web.post(
            "/v1/checkout/sessions", _writes(lambda turn, params, _: payments.open_session(turn, params))
        ),
        web.get("/v1/checkout/sessions", _lists(CheckoutSession)),
        web.get("/v1/checkout/sessions/{id}", _reads(CheckoutSession)),
        web.get("/v1/checkout/sessions/{id}/line_items", _line_items),
        web.post("/v1/checkout/sessions/{id}/expire", _writes(_expire_session)),
        web.post(
            "/v1/payment_intents", _writes(lambda turn, params, _: payments.create_intent(turn, params))
        ),
        web.get("/v1/payment_intents", _lists(PaymentIntent)),
        web.get("/v1/payment_intents/search", _finds(finding.search_payments)),
        web.get("/v1/payment_intents/{id}", _reads(PaymentIntent)),
        web.post("/v1/payment_intents/{id}/confirm", _writes(_confirm_intent)),
        web.post("/v1/payment_intents/{id}/cancel", _writes(_cancel_intent)),
        web.get("/v1/charges", _lists(Charge)),
        web.get("/v1/charges/{id}", _reads(Charge)),
        web.post("/v1/refunds", _writes(lambda turn, params, _: reversals.create_refund(turn, params))),
        web.get("/v1/refunds", _lists(Refund)),
        web.get("/v1/refunds/{id}", _reads(Refund)),
        web.get("/v1/disputes", _lists(Dispute)),
        web.get("/v1/disputes/{id}", _reads(Dispute)),
        *_routes_of_billing(),
        *_routes_of_transfers(),
        web.get("/v1/balance_transactions/{id}", _reads(Movement)),
        web.get("/v1/events", _lists(Event)),
        web.get("/v1/events/{id}", _reads(Event)),
        web.get("/v1/account", _account),
        web.route("*", "/v1/{tail:.*}", _unknown_path),
    ]


def _routes_of_billing() -> list[web.RouteDef]:
    return [
        web.post("/v1/prices", _writes(lambda turn, params, _: prices.create(turn, params))),
        web.get("/v1/prices", _lists(Price)),
        web.get("/v1/prices/{id}", _reads(Price)),
        web.post("/v1/subscriptions", _writes(lambda turn, params, _: subscriptions.create(turn, params))),
        web.get("/v1/subscriptions", _lists(Subscription)),
        web.get("/v1/subscriptions/{id}", _reads(Subscription)),
        web.post("/v1/subscriptions/{id}", _writes(_update_subscription)),
        web.delete("/v1/subscriptions/{id}", _writes(_cancel_subscription)),
        web.get("/v1/invoice_payments", _finds(finding.invoice_payments)),
        web.get("/v1/invoices", _lists(Invoice)),
        web.get("/v1/invoices/{id}", _reads(Invoice)),
        web.post("/v1/invoices/{id}/finalize", _writes(_finalize_invoice)),
        web.post("/v1/invoices/{id}/pay", _writes(_pay_invoice)),
        web.post("/v1/invoices/{id}/void", _writes(_void_invoice)),
    ]


def _routes_of_transfers() -> list[web.RouteDef]:
    return [
        web.post("/v1/transfers", _writes(lambda turn, params, _: transfers.create(turn, params))),
        web.get("/v1/transfers", _lists(Transfer)),
        web.get("/v1/transfers/{id}", _reads(Transfer)),
        web.post("/v1/transfers/{id}", _writes(_update_transfer)),
        web.post("/v1/transfers/{id}/reversals", _reverse_transfer),
        web.get("/v1/transfers/{id}/reversals", _reversals),
        web.get("/v1/transfers/{id}/reversals/{reversal}", _reversal),
    ]


@web.middleware
async def stripe_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keys are checked before anything else; every refusal under /v1 has Stripe's shape and headers."""
    if not request.path.startswith("/v1/"):
        return await handler(request)
    desk = request.app[DESK]
    request[REQUEST_ID] = desk.mint.request()
    try:
        _authenticate(desk, request)
        fault = desk.fault_for(request.path)
        if fault is not None and fault.kind == "drop_before":
            return _hang_up(request)
        if fault is not None and fault.kind == "status":
            return await _scripted(desk, request, fault)
        response = await handler(request)
        if fault is not None:
            return _hang_up(request)
    except StripeError as error:
        response = _json(error.status, error.body)
    response.headers["Request-Id"] = request[REQUEST_ID]
    response.headers["Stripe-Version"] = api_version
    return response


def _authenticate(desk: Desk, request: web.Request) -> None:
    """The secret key as bearer token or as the user of basic authentication."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    shown = value.strip()
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).decode().partition(":")[0]
        except (binascii.Error, ValueError):
            shown = ""
    elif scheme.lower() != "bearer":
        shown = ""
    if not shown:
        raise StripeError("You did not provide an API key.", status=401)
    if not hmac.compare_digest(shown.encode(), desk.settings.api_key.reveal().encode()):
        raise StripeError("Invalid API Key provided.", status=401)


def _hang_up(request: web.Request) -> web.StreamResponse:
    """Closes the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _scripted(desk: Desk, request: web.Request, fault: ApiFault) -> web.StreamResponse:
    """A scripted answer. A 5xx is saved under the idempotency key and replayed, as at Stripe."""
    kind = "api_error" if fault.status >= 500 else "invalid_request_error"
    code = "rate_limit" if fault.status == 429 else None
    error = StripeError("The sandbox was told to fail.", status=fault.status, kind=kind, code=code)
    if fault.status >= 500 and request.method == "POST":
        error.executed = True

        def fail(turn: Turn, params: Params, object_id: str) -> Record:
            raise error

        return await _writes(fail)(request)
    raise error


def _writes(write: Write) -> Handler:
    """A POST: one turn holds the look-up of the key, the work, and the answer that the key keeps."""

    async def handle(request: web.Request) -> web.StreamResponse:
        desk = request.app[DESK]
        text = await request.text()
        params = decode(text)
        key = request.headers.get("Idempotency-Key", "").strip()
        if len(key) > idempotency_key_chars_max:
            raise invalid("Idempotency-Key", f"at most {idempotency_key_chars_max} characters")
        digest = hashlib.sha256(f"{request.path}\n{_canonical(params)}".encode()).hexdigest()
        with desk.turn(Cause(request[REQUEST_ID], key or None)) as turn:
            answer = _saved(turn, key, digest) if key else None
            if answer is None:
                answer = _work(turn, write, params, request.match_info.get("id", ""))
                if key:
                    turn.store.insert(
                        SavedAnswer(
                            key=key,
                            created=turn.now_s,
                            request_sha256=digest,
                            request_id=request[REQUEST_ID],
                            status=answer.status,
                            body=answer.body,
                        )
                    )
        response = web.Response(status=answer.status, body=answer.body, content_type="application/json")
        if key:
            response.headers["Idempotency-Key"] = key
        if answer.original_request is not None:
            response.headers["Idempotent-Replayed"] = "true"
            response.headers["Original-Request"] = answer.original_request
        return response

    return handle


def _work(turn: Turn, write: Write, params: Params, object_id: str) -> Answer:
    """The work and its answer; a failure of the work itself is an answer too, and what it wrote is kept."""
    try:
        shape = turn.view.show(write(turn, params, object_id))
        turn.view.expand(shape, params.texts("expand"))
    except StripeError as error:
        if not error.executed:
            raise
        return Answer(error.status, json.dumps(error.body).encode())
    return Answer(200, json.dumps(shape).encode())


def _saved(turn: Turn, key: str, digest: str) -> Answer | None:
    """The answer that this key has already been given, None where it is new or older than a day."""
    found = turn.store.many(SavedAnswer, "saved_answer", key=key)
    if not found or found[0].created + idempotency_kept_s <= turn.now_s:
        return None
    if found[0].request_sha256 != digest:
        raise StripeError(
            "Keys for idempotent requests can only be used with the same parameters they were first used "
            f"with. Try using a key other than '{key}' if you meant to execute a different request.",
            kind="idempotency_error",
        )
    return Answer(found[0].status, found[0].body, found[0].request_id)


def _canonical(params: Params) -> str:
    return json.dumps(params.fields, sort_keys=True)


def _reads(kind: type[R]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        view = request.app[DESK].view
        shape = view.show(the(view.store, kind, request.match_info["id"]))
        view.expand(shape, decode(request.query_string).texts("expand"))
        return _json(200, shape)

    return handle


def _lists(kind: type[Record]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        desk = request.app[DESK]
        params = decode(request.query_string)
        shape = lists.page(desk.view, kind, request.path, params, desk.now_s())
        desk.view.expand(shape, params.texts("expand"))
        return _json(200, shape)

    return handle


def _finds(find: Callable[[View, Params], dict[str, Any]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return _json(200, find(request.app[DESK].view, decode(request.query_string)))

    return handle


async def _line_items(request: web.Request) -> web.StreamResponse:
    session = the(request.app[DESK].store, CheckoutSession, request.match_info["id"])
    return _json(200, listed(request.path, line_items(session), more=False))


async def _account(request: web.Request) -> web.StreamResponse:
    return _json(200, objects.account(request.app[DESK].account_id))


async def _unknown_path(request: web.Request) -> web.StreamResponse:
    raise StripeError(f"Unrecognized request URL ({request.method}: {request.path}).", status=404)


def _expire_session(turn: Turn, params: Params, session_id: str) -> Record:
    return payments.expire_session(turn, the(turn.store, CheckoutSession, session_id))


def _confirm_intent(turn: Turn, params: Params, intent_id: str) -> Record:
    intent = the(turn.store, PaymentIntent, intent_id)
    payments.attempt(turn, intent, params.text("payment_method"))
    invoices.follow(turn, intent)
    payments.raise_if_declined(turn, intent)
    return intent


def _cancel_intent(turn: Turn, params: Params, intent_id: str) -> Record:
    intent = the(turn.store, PaymentIntent, intent_id)
    if invoices.of_payment(turn, intent) is not None:
        raise state("This payment belongs to an invoice: void that.", "payment_intent_unexpected_state")
    return payments.cancel_intent(turn, intent, params.text("cancellation_reason"))


def _update_subscription(turn: Turn, params: Params, subscription_id: str) -> Record:
    return subscriptions.update(turn, the(turn.store, Subscription, subscription_id), params)


def _cancel_subscription(turn: Turn, params: Params, subscription_id: str) -> Record:
    return subscriptions.cancel(turn, the(turn.store, Subscription, subscription_id))


def _finalize_invoice(turn: Turn, params: Params, invoice_id: str) -> Record:
    return invoices.finalize(turn, the(turn.store, Invoice, invoice_id))


def _pay_invoice(turn: Turn, params: Params, invoice_id: str) -> Record:
    invoice = the(turn.store, Invoice, invoice_id)
    payments.raise_if_declined(turn, invoices.pay(turn, invoice, params.text("payment_method")))
    return the(turn.store, Invoice, invoice_id)


def _void_invoice(turn: Turn, params: Params, invoice_id: str) -> Record:
    return invoices.void(turn, the(turn.store, Invoice, invoice_id))


def _update_transfer(turn: Turn, params: Params, transfer_id: str) -> Record:
    return transfers.update(turn, the(turn.store, Transfer, transfer_id), params)


async def _reverse_transfer(request: web.Request) -> web.StreamResponse:
    request.app[DESK].refuse_reversal(request.match_info["id"])
    return await _reversal_of(request)


def _reverse(turn: Turn, params: Params, transfer_id: str) -> Record:
    return transfers.reverse(turn, the(turn.store, Transfer, transfer_id), params)


_reversal_of = _writes(_reverse)


async def _reversals(request: web.Request) -> web.StreamResponse:
    desk, params = request.app[DESK], decode(request.query_string)
    transfer = the(desk.store, Transfer, request.match_info["id"])
    of = {"transfer": transfer.id}
    return _json(200, lists.page(desk.view, TransferReversal, request.path, params, desk.now_s(), of=of))


async def _reversal(request: web.Request) -> web.StreamResponse:
    view = request.app[DESK].view
    reversal = the(view.store, TransferReversal, request.match_info["reversal"])
    if reversal.transfer != request.match_info["id"]:
        raise unknown(NOUNS[TransferReversal], reversal.id)
    return _json(200, view.show(reversal))


def the(store: Store, kind: type[R], object_id: str) -> R:
    """The record with this id; raises StripeError 404 where there is none."""
    record = store.get(kind, object_id)
    if record is None:
        raise unknown(NOUNS[kind], object_id)
    return record


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")
