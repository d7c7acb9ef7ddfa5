"""Does at Stripe what the outbox asks for, and puts the answer into our words; never tries anything twice by
itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import msgspec

from billing.commands import RefundCallEnded, ReversalEnded
from billing.decision import PspCall
from psp.calls import Done, Outcome, ReadEvent, Refused, Transient
from psp.stripe.client import API_VERSION, StripeApi, StripeCallError

_EVENT_OF_OBJECT = {"subscription": "customer.subscription.updated", "invoice": "invoice.updated"}
"""Under which type of event an object that was read is told."""


class _Read(msgspec.Struct):
    livemode: bool | None = None


class _ReadRefund(msgspec.Struct):
    id: str
    status: str
    created: int


class _MadeRefund(msgspec.Struct):
    id: str
    metadata: dict[str, str] = {}


class StripeCalls:
    """Implements `psp.calls.Caller`."""

    def __init__(self, api: StripeApi, source: str) -> None:
        """`source` is the namespace of the account that the API key belongs to."""
        self._api = api
        self._source = source
        self._does: dict[str, Callable[[PspCall, int, int], Awaitable[Outcome]]] = {
            "reverse_transfer": self._reverse_transfer,
            "create_refund": self._create_refund,
            "read_object": self._read_object,
            "read_refunds": self._read_refunds,
        }

    async def do(self, call: PspCall, attempts: int, now: int) -> Outcome:
        """See `psp.calls.Caller`. Raises KeyError when an argument is missing."""
        try:
            return await self._does[call.kind](call, attempts, now)
        except StripeCallError as error:
            return Transient(error.kind, error.unwell, error.retry_after_s)

    async def _reverse_transfer(self, call: PspCall, _attempts: int, _now: int) -> Outcome:
        try:
            await self._api.reverse_transfer(call.object_id, _amount(call), call.idempotency_key)
        except StripeCallError as error:
            if error.status == 404 and error.code == "resource_missing":
                return Refused(error.code, ReversalEnded(self._source, call.object_id, "permanently_failed"))
            if not (error.status == 400 and error.says_already_reversed):
                raise
        return Done(ReversalEnded(self._source, call.object_id, "reversed"))

    async def _create_refund(self, call: PspCall, attempts: int, _now: int) -> Outcome:
        payment_id = str(call.arguments["payment_id"])
        refund_id = call.object_id
        if attempts > 1:
            # Stripe forgets keys after a day and repeats a saved 500 until then, so ask what there is first.
            for raw in await self._api.refunds_of(payment_id):
                made = msgspec.json.decode(raw, type=_MadeRefund)
                if made.metadata.get("refundId") == refund_id:
                    return Done(RefundCallEnded(self._source, refund_id, made.id))
        try:
            psp_id = await self._api.create_refund(payment_id, _amount(call), refund_id, call.idempotency_key)
        except StripeCallError as error:
            if error.refused:
                return Refused(error.code or error.kind, RefundCallEnded(self._source, refund_id, None))
            raise
        return Done(RefundCallEnded(self._source, refund_id, psp_id))

    async def _read_object(self, call: PspCall, _attempts: int, now: int) -> Outcome:
        kind = str(call.arguments["object"])
        event_type = _EVENT_OF_OBJECT[kind]
        try:
            raw = await self._api.read(kind, call.object_id)
        except StripeCallError as error:
            if error.status == 404:
                return Refused(error.code or error.kind)
            raise
        # One intent to read is one event; the start of the request is its version, so it can never beat a
        # newer webhook.
        event_id = f"evt_read_{hashlib.sha256(call.idempotency_key.encode()).hexdigest()[:32]}"
        return Done(read=(self._event(event_id, event_type, now, raw),))

    async def _read_refunds(self, call: PspCall, _attempts: int, _now: int) -> Outcome:
        events = []
        for raw in await self._api.refunds_of(call.object_id):
            refund = msgspec.json.decode(raw, type=_ReadRefund)
            # The digest of the object beside id and status: one id must never carry two different bodies.
            digest = hashlib.sha256(raw).hexdigest()[:16]
            event_id = f"evt_read_{refund.id}_{refund.status}_{digest}"
            events.append(self._event(event_id, "refund.updated", refund.created, raw))
        return Done(read=tuple(events))

    def _event(self, event_id: str, event_type: str, created: int, raw: bytes) -> ReadEvent:
        told = msgspec.json.decode(raw, type=_Read).livemode
        body = {
            "id": event_id,
            "object": "event",
            "type": event_type,
            "created": created,
            "api_version": API_VERSION,
            "livemode": self._api.livemode if told is None else told,
            "data": {"object": msgspec.Raw(raw)},
        }
        return ReadEvent(event_id, msgspec.json.encode(body))


def _amount(call: PspCall) -> int | None:
    amount = call.arguments.get("amount_minor")
    return int(amount) if amount is not None else None
