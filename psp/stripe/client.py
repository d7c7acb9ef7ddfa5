"""Calls to Stripe's API: explicit timeouts and base URL, no retries of its own, errors without any body.

A call that changes something takes its idempotency key as an argument: the library would make one up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec
import stripe

_TIMEOUT_S = 10.0
_REFERENCE_CHARACTERS_MAX = 200
"""Longest reference that Stripe takes; a longer account id stands in the metadata alone."""
_PAGE_ROWS = 100
"""The most that Stripe lists at once."""
_PAGES_MAX = 20
LIST_ROWS_MAX = _PAGE_ROWS * _PAGES_MAX
"""Nobody refunds a payment two thousand times; a list without end must not hold a worker."""
API_VERSION = str(stripe.api_version)
"""The version in which the library, and so every object read here, speaks."""


class StripeCallError(Exception):
    """A call was not answered with success; `kind` and `code` are names, safe to store and log.

    `status` is None when there was no answer at all; then the call may have been carried out.
    """

    def __init__(self, error: Exception) -> None:
        self.kind = type(error).__name__
        super().__init__(self.kind)
        known = error if isinstance(error, stripe.StripeError) else None
        self.status: int | None = known.http_status if known is not None else None
        self.code: str | None = known.code if known is not None else None
        self.retry_after_s = _seconds(_header(known, "retry-after")) if known is not None else None
        # Stripe has no code for this, only words.
        text = (known.user_message or "").lower() if known is not None else ""
        self.says_already_reversed = "already" in text and "reversed" in text
        self.refused = self.status in (400, 402, 404) and not isinstance(error, stripe.IdempotencyError)
        # A conflict is an equal request under way, and 429 asks to wait: both may succeed in a second.
        self.hopeless = self.status is not None and 400 <= self.status < 500 and self.status not in (409, 429)
        # The key has a failure for an answer, and will have it for a day.
        self.replayed = known is not None and _header(known, "idempotent-replayed") == "true"
        self.unwell = self.status is None or self.status in (401, 403, 429) or self.status >= 500


@dataclass(frozen=True, slots=True)
class TopUp:
    """A purchase of prepaid credits at a cent each, plus the fee that its buyer pays; cents of US dollars."""

    account_id: str
    credits: int
    fee_cents: int
    success_url: str

    @property
    def metadata(self) -> dict[str, str]:
        """What its session and its payment carry, so that their events say what they are about."""
        return {"accountId": self.account_id, "credits": str(self.credits), "purpose": "credits_topup"}


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool


class _Created(msgspec.Struct):
    id: str


class StripeApi:
    """An asynchronous client; use as `async with`."""

    def __init__(self, secret_key: str, api_base: str | None) -> None:
        """`api_base` replaces Stripe's own URL, for the sandbox. Raises ValueError for an empty key."""
        if not secret_key:
            raise ValueError("a Stripe secret key is needed")
        self.livemode = "_live_" in secret_key
        self._http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_base} if api_base is not None else {},
            http_client=self._http,
            max_network_retries=0,
        )

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]  # untyped in the library

    async def fetch(self, path: str, parameters: Mapping[str, Any]) -> bytes:
        """The exact JSON that a GET of this path answers. Raises StripeCallError."""
        return await self._call("get", path, dict(parameters))

    async def page(
        self, path: str, parameters: Mapping[str, Any], after: str | None
    ) -> tuple[list[bytes], str | None]:
        """One page of a list, newest first: the exact JSON of each object, and where the next page starts.

        Raises StripeCallError. Source: https://docs.stripe.com/api/pagination
        """
        begin = {} if after is None else {"starting_after": after}
        answer = await self._call("get", path, {**parameters, "limit": _PAGE_ROWS, **begin})
        try:
            page = msgspec.json.decode(answer, type=_Page)
            last = msgspec.json.decode(page.data[-1], type=_Created).id if page.data else None
        except msgspec.DecodeError as error:
            raise StripeCallError(error) from None
        return [bytes(raw) for raw in page.data], last if page.has_more else None

    async def reverse_transfer(
        self, transfer_id: str, amount_minor: int | None, idempotency_key: str
    ) -> None:
        """Take a transfer back, or (None: all of it) `amount_minor` of it.

        Raises StripeCallError; ValueError for an empty key. Source:
        https://docs.stripe.com/api/transfer_reversals/create
        """
        path = f"/v1/transfers/{quote(transfer_id, safe='')}/reversals"
        await self._post(path, idempotency_key, {} if amount_minor is None else {"amount": amount_minor})

    async def create_refund(
        self, payment_id: str, amount_minor: int | None, refund_id: str, idempotency_key: str
    ) -> str:
        """Refund a payment, or (None: all that is left) `amount_minor` of it, marked with our `refund_id`.

        Returns Stripe's id of the refund. Raises StripeCallError; ValueError for an empty key. Source:
        https://docs.stripe.com/api/refunds/create
        """
        parameters: dict[str, Any] = {"payment_intent": payment_id, "metadata": {"refundId": refund_id}}
        if amount_minor is not None:
            parameters["amount"] = amount_minor
        answer = await self._post("/v1/refunds", idempotency_key, parameters)
        try:
            return msgspec.json.decode(answer, type=_Created).id
        except msgspec.DecodeError as error:
            raise StripeCallError(error) from None

    async def create_payment(
        self, amount_minor: int, currency: str, metadata: dict[str, str], idempotency_key: str
    ) -> bytes:
        """Open a payment that its buyer completes with its client secret; its exact JSON.

        Raises StripeCallError; ValueError for an empty key. Source:
        https://docs.stripe.com/api/payment_intents/create
        """
        parameters = {"amount": amount_minor, "currency": currency, "metadata": metadata}
        return await self._post("/v1/payment_intents", idempotency_key, parameters)

    async def made_since(self, kind: str, created_from: int) -> list[bytes]:
        """The exact JSON of each object of a kind (as `read` names them) that was made since then (unix
        seconds), newest first, but at most LIST_ROWS_MAX of them.

        Raises StripeCallError. Source: https://docs.stripe.com/api/payment_intents/list,
        https://docs.stripe.com/api/checkout/sessions/list
        """
        return await self._all(f"/v1/{kind}s", {"created[gte]": created_from})

    async def read(self, kind: str, object_id: str) -> bytes:
        """The exact JSON of a `subscription`, `invoice`, `payment_intent` or `checkout/session`. Raises
        StripeCallError.
        """
        return await self._call("get", f"/v1/{kind}s/{quote(object_id, safe='')}", {})

    async def refunds_of(self, payment_id: str) -> list[bytes]:
        """The exact JSON of each refund of a payment, newest first. Raises StripeCallError."""
        return await self._all("/v1/refunds", {"payment_intent": payment_id})

    async def _all(self, path: str, filters: dict[str, Any]) -> list[bytes]:
        """Every object of a list, newest first, up to the last page that anybody can need."""
        found: list[bytes] = []
        after: str | None = None
        for _ in range(_PAGES_MAX):
            listed, after = await self.page(path, filters, after)
            found += listed
            if after is None:
                break
        return found

    async def _post(self, path: str, idempotency_key: str, parameters: dict[str, Any]) -> bytes:
        if not idempotency_key:
            # The library would invent a random one, and every retry would be done again.
            raise ValueError("a call that changes something needs its idempotency key")
        return await self._call("post", path, {**parameters, "idempotency_key": idempotency_key})

    async def _call(self, method: str, path: str, parameters: dict[str, Any]) -> bytes:
        try:
            answer = await self._client.raw_request_async(method, path, **parameters)
        except (stripe.StripeError, OSError, TimeoutError) as error:
            raise StripeCallError(error) from None
        return _as_bytes(answer.body)

    async def open_checkout(self, top_up: TopUp, idempotency_key: str) -> bytes:
        """Open a hosted checkout for a top-up, one per idempotency key; its exact JSON.

        Raises StripeCallError; ValueError for an empty key. Source:
        https://docs.stripe.com/api/checkout/sessions/create
        """
        # Refunds and disputes name the payment and not the session, so both carry what they are about.
        metadata = top_up.metadata
        lines = [_line("Credits", 1, top_up.credits)]
        if top_up.fee_cents:
            lines.append(_line("Processing fee", top_up.fee_cents, 1))
        parameters: dict[str, Any] = {
            "mode": "payment",
            "success_url": top_up.success_url,
            "line_items": lines,
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},
        }
        if len(top_up.account_id) <= _REFERENCE_CHARACTERS_MAX:
            parameters["client_reference_id"] = top_up.account_id
        return await self._post("/v1/checkout/sessions", idempotency_key, parameters)


def _header(error: stripe.StripeError, wanted: str) -> str | None:
    """A header of the answer, by its name in lower case."""
    headers: dict[str, str] = dict(error.headers or {})
    return next((value for name, value in headers.items() if name.lower() == wanted), None)


def _seconds(retry_after: str | None) -> float | None:
    """Seconds in a Retry-After header; its other form, a date, is not used by Stripe."""
    if retry_after is None or not retry_after.isascii() or not retry_after.isdigit():
        return None
    return float(retry_after)


def _line(name: str, unit_amount: int, quantity: int) -> dict[str, Any]:
    price = {"currency": "usd", "unit_amount": unit_amount, "product_data": {"name": name}}
    return {"price_data": price, "quantity": quantity}


def _as_bytes(body: object) -> bytes:
    return (
        body
        if isinstance(body, bytes)
        else str(body).encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
