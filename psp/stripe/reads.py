"""Reads Stripe's objects for the reconciler and says by which events they would have been told; changes
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from psp.reads import KINDS, ListedEvent, Page, ReadError, Sighting, Span
from psp.stripe.client import API_VERSION, StripeApi, StripeCallError

_PATHS = {
    "checkout_session": "/v1/checkout/sessions",
    "payment": "/v1/payment_intents",
    "subscription": "/v1/subscriptions",
    "invoice": "/v1/invoices",
    "refund": "/v1/refunds",
    "dispute": "/v1/disputes",
    "transfer": "/v1/transfers",
}
_EXPANDED = {"checkout_session": "payment_intent", "invoice": "payments"}
"""A checkout's payment tells whether a debit has failed; an invoice's payments are left out otherwise."""
_KIND_OF_PREFIX = {
    "cs": "checkout_session",
    "pi": "payment",
    "sub": "subscription",
    "in": "invoice",
    "re": "refund",
    "pyr": "refund",
    "dp": "dispute",
    "du": "dispute",
    "tr": "transfer",
}
_OWN_NAME = {"order": "orderId", "subscription": "subscriptionId"}
"""Metadata by which a payment names what it is for, by the kind of a key that waits for it."""
_PAGES_MAX = 20
"""Of what hangs on one payment: nobody refunds it two thousand times; a list without end must not hold a run.
"""


class _Money(msgspec.Struct):
    amount: int
    created: int = 0


class _PaymentIntent(msgspec.Struct):
    status: str
    last_payment_error: dict[str, Any] | None = None


class _Object(msgspec.Struct):
    """What decides by which events an object is told, of all kinds; each has some of it."""

    id: str
    status: str | None = None
    livemode: bool | None = None
    payment_status: str | None = None
    payment_intent: _PaymentIntent | str | None = None
    last_payment_error: dict[str, Any] | None = None
    balance_transactions: list[_Money | str] = []
    metadata: dict[str, str] = {}


class _InvoicePayment(msgspec.Struct):
    invoice: str


class _Event(msgspec.Struct):
    id: str
    type: str
    created: int


_T = TypeVar("_T")
_OWN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
"""What may stand in a search; nothing in it can end its quotes."""


class StripeReader:
    """Implements `psp.reads.Reader`."""

    listed: tuple[str, ...] = KINDS

    def __init__(self, api: StripeApi) -> None:
        self._api = api
        self.mode: str | None = "live" if api.livemode else "test"

    def kind_of(self, object_id: str) -> str | None:
        """See `psp.reads.Reader`."""
        return _KIND_OF_PREFIX.get(object_id.partition("_")[0])

    def tell(self, sighting: Sighting, event_type: str, event_id: str) -> bytes:
        """See `psp.reads.Reader`. The start of the request is its time: it never beats a newer webhook."""
        told = _decoded(sighting.body, _Object).livemode
        return msgspec.json.encode(
            {
                "id": event_id,
                "object": "event",
                "type": event_type,
                "created": sighting.asked_at,
                "api_version": API_VERSION,
                "livemode": self._api.livemode if told is None else told,
                "data": {"object": msgspec.Raw(sighting.body)},
            }
        )

    async def read(self, kind: str, object_id: str, now: int) -> Sighting | None:
        """See `psp.reads.Reader`."""
        expanded = _EXPANDED.get(kind)
        parameters = {} if expanded is None else {"expand": [expanded]}
        try:
            body = await self._api.fetch(f"{_PATHS[kind]}/{quote(object_id, safe='')}", parameters)
        except StripeCallError as error:
            if error.status == 404 and error.code == "resource_missing":
                return None
            raise ReadError(error.kind) from None
        return _sighting(kind, body, now)

    async def find_refund(self, own_id: str, payment_id: str, now: int) -> Sighting | None:
        """See `psp.reads.Reader`: our id stands in the refund's metadata."""
        for body in await self._all(_PATHS["refund"], {"payment_intent": payment_id}):
            if _decoded(body, _Object).metadata.get("refundId") == own_id:
                return _sighting("refund", body, now)
        return None

    async def parents(self, awaited: str, now: int) -> list[Sighting]:
        """See `psp.reads.Reader`. Of our own ids only a payment's metadata tell, which Stripe can search."""
        kind, _, object_id = awaited.partition(":")
        if kind == "payment":
            return await self._paid_by(object_id, now)
        if kind == "refunds":
            bodies = await self._all(_PATHS["refund"], {"payment_intent": object_id})
            return [_sighting("refund", body, now) for body in bodies]
        if kind == "refund" or self.kind_of(object_id) == kind:
            found = await self.read(kind, object_id, now)
            payment = _decoded(found.body, _Object).payment_intent if found is not None else None
            payers = await self._paid_by(payment, now) if isinstance(payment, str) else []
            return payers if found is None else [*payers, found]
        if kind not in _OWN_NAME or not _OWN_ID.fullmatch(object_id):
            return []
        query = f"metadata['{_OWN_NAME[kind]}']:'{object_id}'"
        bodies, _ = await self._listed(f"{_PATHS['payment']}/search", {"query": query}, None)
        return [_sighting("payment", body, now) for body in bodies]

    async def _paid_by(self, payment_id: str, now: int) -> list[Sighting]:
        """A payment, and the checkouts and invoices that it is for."""
        payment = await self.read("payment", payment_id, now)
        if payment is None:
            return []
        expanded = {"expand": [f"data.{_EXPANDED['checkout_session']}"]}
        checkouts = await self._all(_PATHS["checkout_session"], {"payment_intent": payment_id, **expanded})
        ties = await self._all(
            "/v1/invoice_payments",
            {"payment[type]": "payment_intent", "payment[payment_intent]": payment_id},
        )
        invoices = [await self.read("invoice", _decoded(tie, _InvoicePayment).invoice, now) for tie in ties]
        return [
            payment,
            *(_sighting("checkout_session", body, now) for body in checkouts),
            *(invoice for invoice in invoices if invoice is not None),
        ]

    async def page(self, kind: str, span: Span, now: int) -> Page[Sighting]:
        """See `psp.reads.Reader`."""
        parameters = _created(span)
        if kind in _EXPANDED:
            parameters["expand"] = [f"data.{_EXPANDED[kind]}"]
        if kind == "subscription":
            parameters["status"] = "all"  # without it Stripe leaves the canceled ones out
        bodies, after = await self._listed(_PATHS[kind], parameters, span.after)
        return Page(tuple(_sighting(kind, body, now) for body in bodies), after)

    async def events(self, span: Span, undelivered: bool) -> Page[ListedEvent]:
        """See `psp.reads.Reader`. Source: https://docs.stripe.com/api/events/list"""
        parameters = _created(span) | ({"delivery_success": "false"} if undelivered else {})
        bodies, after = await self._listed("/v1/events", parameters, span.after)
        told = [(_decoded(body, _Event), body) for body in bodies]
        return Page(tuple(ListedEvent(one.id, one.type, one.created, body) for one, body in told), after)

    async def event_body(self, event: ListedEvent) -> bytes:
        """See `psp.reads.Reader`."""
        assert event.body is not None, "Stripe's list holds whole events"
        return event.body

    async def _all(self, path: str, parameters: dict[str, Any]) -> list[bytes]:
        """A whole list of what hangs on one object."""
        found: list[bytes] = []
        after: str | None = None
        for _ in range(_PAGES_MAX):
            bodies, after = await self._listed(path, parameters, after)
            found += bodies
            if after is None:
                return found
        raise ReadError("list_without_end")

    async def _listed(
        self, path: str, parameters: dict[str, Any], after: str | None
    ) -> tuple[list[bytes], str | None]:
        try:
            return await self._api.page(path, parameters, after)
        except StripeCallError as error:
            raise ReadError(error.kind) from None


def _created(span: Span) -> dict[str, Any]:
    return {"created[gte]": span.since, "created[lte]": span.until}


def _sighting(kind: str, body: bytes, now: int) -> Sighting:
    read = _decoded(body, _Object)
    status = read.payment_status if kind == "checkout_session" and read.status == "complete" else read.status
    return Sighting(kind, read.id, status or "", now, body, _EVENT_TYPES[kind](read))


def _decoded(body: bytes, shape: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise ReadError(type(error).__name__) from None


def _of_checkout(session: _Object) -> tuple[str, ...]:
    if session.status == "expired":
        return ("checkout.session.expired",)
    if session.status != "complete":
        return ()
    payment = session.payment_intent
    if session.payment_status == "unpaid" and isinstance(payment, _PaymentIntent) and _has_failed(payment):
        return ("checkout.session.async_payment_failed",)
    return ("checkout.session.completed",)


def _of_payment(payment: _Object) -> tuple[str, ...]:
    if payment.status in ("succeeded", "canceled"):
        return (f"payment_intent.{payment.status}",)
    return ("payment_intent.payment_failed",) if _has_failed(payment) else ("payment_intent.created",)


def _has_failed(payment: _Object | _PaymentIntent) -> bool:
    """A payment that was declined goes back to waiting for another means of payment."""
    return payment.status == "requires_payment_method" and payment.last_payment_error is not None


def _of_dispute(dispute: _Object) -> tuple[str, ...]:
    moved = [entry for entry in dispute.balance_transactions if isinstance(entry, _Money)]
    if not moved:
        return ("charge.dispute.updated",)
    # A bank that judges anew takes the money again: the last movement is what the dispute has come to.
    last = max(enumerate(moved), key=lambda place: (place[1].created, place[0]))[1]
    word = "withdrawn" if last.amount < 0 else "reinstated"
    return ("charge.dispute.updated", f"charge.dispute.funds_{word}")


_EVENT_TYPES: dict[str, Callable[[_Object], tuple[str, ...]]] = {
    "checkout_session": _of_checkout,
    "payment": _of_payment,
    "subscription": lambda one: (
        "customer.subscription.deleted" if one.status == "canceled" else "customer.subscription.updated",
    ),
    "invoice": lambda _one: ("invoice.updated",),
    "refund": lambda _one: ("refund.updated",),
    "dispute": _of_dispute,
    "transfer": lambda _one: ("transfer.updated",),
}
