"""Calls to Stripe's API: explicit timeouts and base URL, no retries of its own, errors as one type without
any body.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
import stripe

_TIMEOUT_S = 10.0
_PAGE_ROWS = 100
"""The most that Stripe lists at once."""


class StripeUnavailableError(Exception):
    """Stripe did not give a usable answer; `kind` is the error's type name, safe to store and log."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """An event as the API lists it: id, creation time (unix seconds), and its exact JSON."""

    id: str
    created: int
    body: bytes


class _Listed(msgspec.Struct):
    id: str
    created: int


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool


class StripeApi:
    """An asynchronous client; use as `async with`."""

    def __init__(self, secret_key: str, api_base: str | None) -> None:
        """`api_base` replaces Stripe's own URL, for the sandbox. Raises ValueError for an empty key."""
        if not secret_key:
            raise ValueError("a Stripe secret key is needed")
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

    async def undelivered_events(
        self, created_from: int, created_to: int, starting_after: str | None = None
    ) -> tuple[list[ListedEvent], str | None]:
        """One page of events that no endpoint has acknowledged, newest first, and where the next page starts.

        Raises StripeUnavailableError. Source: https://docs.stripe.com/api/events/list
        """
        parameters: dict[str, str | int] = {
            "delivery_success": "false",
            "limit": _PAGE_ROWS,
            "created[gte]": created_from,
            "created[lte]": created_to,
        }
        if starting_after is not None:
            parameters["starting_after"] = starting_after
        try:
            answer = await self._client.raw_request_async("get", "/v1/events", **parameters)
            page = msgspec.json.decode(_as_bytes(answer.body), type=_Page)
            listed = []
            for raw in page.data:
                event = msgspec.json.decode(raw, type=_Listed)
                listed.append(ListedEvent(event.id, event.created, bytes(raw)))
        except (stripe.StripeError, msgspec.DecodeError, OSError, TimeoutError) as error:
            raise StripeUnavailableError(type(error).__name__) from None
        return listed, listed[-1].id if page.has_more and listed else None


def _as_bytes(body: object) -> bytes:
    return (
        body
        if isinstance(body, bytes)
        else str(body).encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
