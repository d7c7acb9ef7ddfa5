"""Calls to Hyperswitch's API: explicit timeouts and base URL, no retries of its own, errors without any body.

Hyperswitch documents no idempotency header for payments and refunds: the id that we choose is what makes a
call safe to repeat. The header is sent all the same, and costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, connect=3.0)
_ALREADY_THERE = "HE_01"
"""An object with the id that we have chosen exists."""
_CODE = re.compile(r"[A-Z]{2}_[0-9]{2}")
"""The only part of an error's body that is kept."""
_SAYS_NOTHING_OF_THE_OBJECT = (401, 403, 407, 408, 421, 425, 429)
"""4xx that are about our key, our speed or the way there: the same call may succeed once that is mended."""


class HyperswitchCallError(Exception):
    """A call was not answered with success; `kind` and `code` are names, safe to store and log.

    `status` is None when there was no usable answer; then the call may have been carried out.
    """

    def __init__(self, kind: str, status: int | None = None, code: str | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status
        self.code = code


class HyperswitchTransientError(HyperswitchCallError):
    """To be tried again with the same ids; `retry_after_s` is what Hyperswitch asked for."""

    def __init__(self, kind: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(kind, status)
        self.retry_after_s = retry_after_s


class HyperswitchRefusedError(HyperswitchCallError):
    """The same call will never succeed. A GET's `status` 404 means that there is no such object."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object as the API shows it: its id and status, the payment that it is or belongs to, its exact
    JSON.
    """

    id: str
    payment_id: str
    status: str
    body: bytes


class _Payment(msgspec.Struct):
    payment_id: str
    status: str


class _Refund(msgspec.Struct):
    refund_id: str
    payment_id: str
    status: str


class _Fault(msgspec.Struct):
    code: str = ""


class _Faulty(msgspec.Struct):
    error: _Fault


class HyperswitchApi:
    """An asynchronous client; use as `async with`."""

    def __init__(self, base_url: str, api_key: str) -> None:
        """Raises ValueError for an empty key and for a base URL that is none."""
        if not api_key:
            raise ValueError("a Hyperswitch API key is needed")
        if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).netloc:
            raise ValueError("the base URL of Hyperswitch is no URL")
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """The client itself, with its connections."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, headers={"api-key": self._api_key})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        assert self._session is not None
        await self._session.close()

    async def create_payment(
        self,
        payment_id: str,
        amount_minor: int,
        currency: str,
        metadata: dict[str, str],
        idempotency_key: str,
    ) -> Fetched:
        """Open a payment under our `payment_id`, for its buyer to complete with its client secret.

        When a payment of that id exists already, or the answer says neither yes nor no, it is read instead.
        Raises HyperswitchCallError; ValueError for an empty key.
        """
        if not idempotency_key:
            raise ValueError("a call that changes something needs its idempotency key")
        wanted: dict[str, Any] = {
            "payment_id": payment_id,
            "amount": amount_minor,
            "currency": currency.upper(),
            "confirm": False,
            "capture_method": "automatic",
            "metadata": metadata,
        }
        try:
            answer = await self._call("POST", "/payments", wanted, {"Idempotency-Key": idempotency_key})
            payment = _payment(answer)
        except HyperswitchRefusedError as error:
            if error.code != _ALREADY_THERE:
                raise
            payment = await self.get_payment(payment_id)
        except HyperswitchTransientError as lost:
            try:
                payment = await self.get_payment(payment_id)
            except HyperswitchRefusedError:
                raise lost from None  # it is not there, so the same call may open it later
        if payment.id != payment_id:
            raise HyperswitchTransientError("another_payment")
        return payment

    async def create_refund(
        self, payment_id: str, refund_id: str, amount_minor: int | None, idempotency_key: str
    ) -> Fetched:
        """Refund a payment, or (None: all that is left) `amount_minor` of it, under our `refund_id`.

        The key is the refund's id in our books, which it carries. When one of that id exists already, it is
        read instead. Whatever its status: only a webhook or a later reading makes a refund final.
        Raises HyperswitchCallError; ValueError for an empty key.
        """
        if not idempotency_key:
            raise ValueError("a call that changes something needs its idempotency key")
        wanted: dict[str, Any] = {
            "payment_id": payment_id,
            "refund_id": refund_id,
            # Its webhook may be faster than this call's answer, and must find our own refund.
            "metadata": {"refundId": idempotency_key},
        }
        if amount_minor is not None:
            wanted["amount"] = amount_minor
        try:
            answer = await self._call("POST", "/refunds", wanted, {"Idempotency-Key": idempotency_key})
            refund = _refund(answer)
        except HyperswitchRefusedError as error:
            if error.code != _ALREADY_THERE:
                raise
            refund = await self.get_refund(refund_id)
        if (refund.id, refund.payment_id) != (refund_id, payment_id):
            raise HyperswitchRefusedError("id_of_another_refund", 400, _ALREADY_THERE)
        return refund

    async def get_refund(self, refund_id: str) -> Fetched:
        """A refund. Raises HyperswitchCallError."""
        return _refund(await self._call("GET", f"/refunds/{quote(refund_id, safe='')}"))

    async def get_payment(self, payment_id: str) -> Fetched:
        """A payment, as Hyperswitch's connector knows it now. Raises HyperswitchCallError."""
        body = await self._call("GET", f"/payments/{quote(payment_id, safe='')}?force_sync=true")
        return _payment(body)

    async def fetch(self, path: str) -> bytes:
        """The exact JSON that a GET of this path answers. Raises HyperswitchCallError."""
        return await self._call("GET", path)

    async def search(self, path: str, wanted: Mapping[str, Any]) -> bytes:
        """The exact JSON that a list answers which is asked by POST; changes nothing. Raises
        HyperswitchCallError.
        """
        return await self._call("POST", path, dict(wanted))

    async def _call(
        self, method: str, path: str, wanted: object = None, headers: dict[str, str] | None = None
    ) -> bytes:
        assert self._session is not None, "use as `async with`"
        try:
            # A redirect would carry the key to wherever it points.
            async with self._session.request(
                method, self._base_url + path, json=wanted, headers=headers, allow_redirects=False
            ) as response:
                status, body = response.status, await response.read()
                retry_after_s = _seconds(response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise HyperswitchTransientError(type(error).__name__) from None
        if 200 <= status < 300:
            return body
        if not 400 <= status < 500 or status in _SAYS_NOTHING_OF_THE_OBJECT:
            raise HyperswitchTransientError(f"http_{status}", status, retry_after_s)
        raise HyperswitchRefusedError(f"http_{status}", status, _code(body))


def _payment(body: bytes) -> Fetched:
    try:
        payment = msgspec.json.decode(body, type=_Payment)
    except msgspec.DecodeError as error:
        raise HyperswitchTransientError(type(error).__name__) from None
    return Fetched(payment.payment_id, payment.payment_id, payment.status, body)


def _refund(body: bytes) -> Fetched:
    try:
        refund = msgspec.json.decode(body, type=_Refund)
    except msgspec.DecodeError as error:
        raise HyperswitchTransientError(type(error).__name__) from None
    return Fetched(refund.refund_id, refund.payment_id, refund.status, body)


def _code(body: bytes) -> str | None:
    """The code in an error's body; its message may quote what was sent, so it stays there."""
    try:
        code = msgspec.json.decode(body, type=_Faulty).error.code
    except msgspec.DecodeError:
        return None
    return code if _CODE.fullmatch(code) else None


def _seconds(retry_after: str | None) -> float | None:
    """Seconds in a Retry-After header; a date is not believed."""
    if retry_after is None or not retry_after.isascii() or not retry_after.isdigit():
        return None
    return float(retry_after)
