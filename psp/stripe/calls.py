"""Does at Stripe what the outbox asks for, and puts the answer into our words; never tries anything twice by
itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from billing.commands import CheckoutOpened, PaymentOpened, RefundCallEnded, ReversalEnded
from billing.decision import PspCall
from psp import metadata
from psp.calls import (
    Done,
    NotShownError,
    Opened,
    Outcome,
    ReadEvent,
    Refused,
    Transient,
    refused,
    type_ended,
    type_taken,
)
from psp.stripe import retried
from psp.stripe.client import (
    API_VERSION,
    LIST_ROWS_MAX,
    StripeApi,
    StripeCallError,
    TopUp,
)

_EVENT_OF_OBJECT = {"subscription": "customer.subscription.updated", "invoice": "invoice.updated"}
"""Under which type of event an object that was read is told."""
_OPENS = {"open_payment": "payment_intent", "open_checkout": "checkout/session"}
"""What a kind of call opens, as Stripe names it in its paths."""


class _Read(msgspec.Struct):
    livemode: bool | None = None


class _ReadRefund(msgspec.Struct):
    id: str
    status: str
    created: int


class _MadeRefund(msgspec.Struct):
    id: str
    metadata: dict[str, str] = {}


class _Made(msgspec.Struct):
    """A payment or a session, as far as its customer needs it."""

    id: str
    client_secret: str | None = None
    url: str | None = None
    success_url: str | None = None
    metadata: dict[str, str] | None = None


class _LostToSightError(Exception):
    """More was made than anybody lists: what is looked for may be further down."""


class _Payment:
    """A payment, which carries the id of its order or subscription."""

    def __init__(self, wanted: Mapping[str, str | int]) -> None:
        self._amount, self._currency = int(wanted["amount_minor"]), str(wanted["currency"])
        self._claim = str(wanted["claim"])
        self._carried = metadata.of_payment(self._claim)

    async def make(self, api: StripeApi, key: str) -> bytes:
        return await api.create_payment(self._amount, self._currency, self._carried, key)

    def is_like(self, made: _Made) -> bool:
        return self._carried.items() <= (made.metadata or {}).items()

    def secret(self, made: _Made) -> str | None:
        return made.client_secret

    def ended(self, source: str, made_id: str) -> type_ended:
        return PaymentOpened(source, self._claim, made_id)


class _Checkout:
    """A session, which carries no id of ours: equal purchases look alike, and are anybody's who wants one."""

    def __init__(self, wanted: Mapping[str, str | int]) -> None:
        self._account_id, self._credits = str(wanted["account_id"]), int(wanted["credits"])
        self._amount, self._currency = int(wanted["amount_minor"]), str(wanted["currency"])
        fee_cents = self._amount - self._credits
        self._top_up = TopUp(self._account_id, self._credits, fee_cents, str(wanted["success_url"]))

    async def make(self, api: StripeApi, key: str) -> bytes:
        return await api.open_checkout(self._top_up, key)

    def is_like(self, made: _Made) -> bool:
        wanted = (self._top_up.success_url, self._top_up.metadata)
        return made.url is not None and (made.success_url, made.metadata) == wanted

    def secret(self, made: _Made) -> str | None:
        return made.url

    def ended(self, source: str, made_id: str) -> type_ended:
        return CheckoutOpened(source, made_id, self._account_id, self._credits, self._amount, self._currency)


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

    async def do(self, call: PspCall, attempts: int, now: int, taken: type_taken) -> Outcome:
        """See `psp.calls.Caller`. Raises KeyError when an argument is missing."""
        try:
            if call.kind in _OPENS:
                return await self._open(call, attempts, now, taken)
            return await self._does[call.kind](call, attempts, now)
        except StripeCallError as error:
            return Transient(error.kind, error.unwell, error.retry_after_s, error.hopeless)
        except (msgspec.DecodeError, _LostToSightError) as error:
            return Transient(type(error).__name__, unwell=False)

    async def show(self, kind: str, made_id: str) -> Opened:
        """See `psp.calls.Caller`."""
        try:
            made = _made(await self._api.read(_OPENS[kind], made_id))
        except StripeCallError as error:
            raise NotShownError(error.kind, error.hopeless) from None
        except msgspec.DecodeError as error:
            raise NotShownError(type(error).__name__, our_fault=False) from None
        secret = made.url if kind == "open_checkout" else made.client_secret
        if secret is None:  # the page of a session that is paid or over
            raise NotShownError("no_secret", our_fault=True)
        return Opened(made.id, secret)

    async def _open(self, call: PspCall, attempts: int, now: int, taken: type_taken) -> Outcome:
        """Open a payment or a session under the call's key, or find what an earlier attempt has opened."""
        placed_at = int(call.arguments["placed_at"])
        key_may_be_gone = attempts > 1 and now - placed_at > retried.KEY_KEPT_S
        opening: _Payment | _Checkout
        opening = (_Payment if call.kind == "open_payment" else _Checkout)(call.arguments)

        async def make(key: str) -> _Made:
            return _made(await opening.make(self._api, key))

        async def find() -> _Made | None:
            listed = await self._api.made_since(_OPENS[call.kind], placed_at - retried.CLOCKS_DIFFER_S)
            alike = [made for made in map(_made, reversed(listed)) if opening.is_like(made)]
            others = await taken([made.id for made in alike]) if alike else set()
            left = next((made for made in alike if made.id not in others), None)
            if left is None and len(listed) >= LIST_ROWS_MAX:
                raise _LostToSightError
            return left

        try:
            made = await retried.made(make, find, call.idempotency_key, key_may_be_gone)
        except StripeCallError as error:
            if not error.refused:
                raise
            reason = error.code or error.kind
            return Refused(reason, refused(self._source, call, reason))
        secret = opening.secret(made)
        if secret is None:
            return Refused("no_secret", refused(self._source, call, "no_secret"))
        return Done(opening.ended(self._source, made.id), opened=Opened(made.id, secret))

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


def _made(raw: bytes) -> _Made:
    return msgspec.json.decode(raw, type=_Made)


def _amount(call: PspCall) -> int | None:
    amount = call.arguments.get("amount_minor")
    return int(amount) if amount is not None else None
