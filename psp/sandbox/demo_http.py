"""The demo's two counterparts over HTTP, the sandbox and Sluice; it must never log a token or a key."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp

from runtime.values import Secret

from .demo_books import joined

request_timeout_s = 30.0
"""One request; settling waits on the sandbox's side for less than this."""
health_poll_s = 0.2
balances_at_once = 8
"""Reads of Sluice's state in flight: enough to be quick, few enough to leave the processes two cores."""
page_rows = 200
"""The audit API's largest page."""


class DemoError(Exception):
    """The demo cannot go on; the text says what it met."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo finds everything; `hyperswitch_key` is None where there is no such merchant."""

    sandbox_url: str
    api_url: str
    stripe_key: Secret
    ops_token: Secret
    hyperswitch_key: Secret | None = None


def flat(params: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    """Nested parameters as the pairs of Stripe's form encoding: `a[b]`, `c[0][d]`."""
    pairs: list[tuple[str, str]] = []
    for key, value in params.items():
        name = f"{path}[{key}]" if path else str(key)
        if isinstance(value, Mapping):
            pairs += flat(value, name)
        elif isinstance(value, list):
            pairs += flat({str(index): entry for index, entry in enumerate(value)}, name)
        elif value is not None:
            pairs.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
    return pairs


class Http:
    """A customer of both sides. Use as an asynchronous context manager."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=request_timeout_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def stripe(self, path: str, params: Mapping[str, Any], key: str) -> dict[str, Any]:
        """A POST to the PSP's API under an idempotency key."""
        headers = self._stripe_key() | {
            "Idempotency-Key": key,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = urlencode(flat(params)).encode()
        return await self._json("POST", self._place.sandbox_url + path, headers=headers, data=body)

    async def stripe_get(self, path: str) -> dict[str, Any]:
        """A GET from the PSP's API."""
        return await self._json("GET", self._place.sandbox_url + path, headers=self._stripe_key())

    async def stripe_delete(self, path: str) -> dict[str, Any]:
        """A DELETE at the PSP's API, which needs no idempotency key: a second one finds nothing."""
        return await self._json("DELETE", self._place.sandbox_url + path, headers=self._stripe_key())

    async def stripe_account(self) -> str:
        """The id of the PSP account: it ties the demo's accounts to the books that hold them."""
        return str((await self.stripe_get("/v1/account"))["id"])

    async def hyperswitch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A POST to the other PSP's API. It knows no idempotency key: our own ids are what is taken once."""
        if self._place.hyperswitch_key is None:
            raise DemoError("HYPERSWITCH_API_KEY must be set: the demo buys with it")
        headers = {"api-key": self._place.hyperswitch_key.reveal()}
        url = f"{self._place.sandbox_url}/hyperswitch{path}"
        return await self._json("POST", url, headers=headers, json=dict(body))

    async def books(self) -> dict[str, Any]:
        """The sandbox's books, both PSPs' as one."""
        books = await self.look("books")
        if self._place.hyperswitch_key is None:
            return books
        return joined(books, await self.look("hyperswitch/books"))

    async def control(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A POST to the sandbox's control plane."""
        return await self._json("POST", f"{self._place.sandbox_url}/sandbox/{path}", json=dict(body or {}))

    async def look(self, path: str) -> dict[str, Any]:
        """A GET from the sandbox's control plane."""
        return await self._json("GET", f"{self._place.sandbox_url}/sandbox/{path}")

    async def journal(self, after: int) -> list[dict[str, Any]]:
        """What became of every event after a place."""
        items: list[dict[str, Any]] = []
        position: int | None = after
        while position is not None:
            page = await self.look(f"journal?after={position}")
            items += page["items"]
            position = page["next_after"]
        return items

    async def newest_delivery(self) -> dict[str, Any] | None:
        """The newest row of Sluice's audit log, None for an empty one."""
        items = (await self._sluice("GET", "/audit/deliveries?limit=1"))["items"]
        return dict(items[0]) if items else None

    async def deliveries(self, after: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Every row of Sluice's audit log after the given one: its clock is theirs, not ours."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {"limit": str(page_rows)}
            if after is not None:
                query["since"] = after["received_at"]
            if cursor:
                query["cursor"] = cursor
            page = await self._sluice("GET", f"/audit/deliveries?{urlencode(query)}")
            items += page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                return [item for item in items if after is None or item["id"] != after["id"]]

    async def balances(self, accounts: list[str]) -> dict[str, int]:
        """`remaining_credits` of each account; one that Sluice has never heard of has none."""
        gate = asyncio.Semaphore(balances_at_once)

        async def one(account: str) -> tuple[str, int]:
            async with gate:
                answer = await self._sluice("GET", f"/api/accounts/{account}/credits", absent_is_empty=True)
            return account, int(answer.get("remaining_credits", 0))

        return dict(await asyncio.gather(*map(one, accounts)))

    async def statuses(self, kind: str, ids: Iterable[str]) -> dict[str, str]:
        """What Sluice says of each object of a kind, `unknown` of one that it has never heard of."""
        states = await self._explained(kind, ids)
        return {object_id: str(state.get("status", "unknown")) for object_id, state in states.items()}

    async def units(self, accounts: Iterable[str]) -> dict[str, dict[str, int]]:
        """The balances of each account by unit, in minor units."""
        states = await self._explained("account", accounts)
        return {
            account: {balance["unit"]: int(balance["amount_minor"]) for balance in state.get("balances", ())}
            for account, state in states.items()
        }

    async def _explained(self, kind: str, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Today's row of each object, `{}` where there is none."""
        gate = asyncio.Semaphore(balances_at_once)

        async def one(object_id: str) -> tuple[str, dict[str, Any]]:
            async with gate:
                path = f"/audit/explain/{kind}/{object_id}"
                answer = await self._sluice("GET", path, absent_is_empty=True)
            return object_id, dict(answer.get("state", {}))

        return dict(await asyncio.gather(*map(one, ids)))

    async def reconcile(self) -> None:
        """Asks Sluice to reconcile now. Its own interval is the guarantee, so a refusal is fine."""
        with contextlib.suppress(DemoError):
            await self._sluice("POST", "/ops/reconcile", json={})

    async def status(self) -> dict[str, Any]:
        """Sluice's own view of itself."""
        return await self._sluice("GET", "/ops/status")

    async def healthy(self, deadline: float) -> None:
        """Waits for both sides; raises DemoError naming the one that is not there by the deadline."""
        for url in (f"{self._place.sandbox_url}/health/live", f"{self._place.api_url}/health/ready"):
            while True:
                try:
                    async with self._live().get(url) as answer:
                        if answer.status == 200:
                            break
                        met = f"answers {answer.status}"
                except (aiohttp.ClientError, TimeoutError) as error:
                    met = type(error).__name__
                if time.monotonic() > deadline:
                    raise DemoError(f"{url} is not healthy: {met}")
                await asyncio.sleep(health_poll_s)

    def _stripe_key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._place.stripe_key.reveal()}"}

    async def _sluice(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        absent_is_empty: bool = False,
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._place.ops_token.reveal()}"}
        url = self._place.api_url + path
        return await self._json(method, url, headers=headers, json=json, absent_is_empty=absent_is_empty)

    async def _json(
        self, method: str, url: str, *, absent_is_empty: bool = False, **request: Any
    ) -> dict[str, Any]:
        """A JSON object, `{}` for a 404 where that is fine; raises DemoError for any other failure."""
        where = f"{method} {url.partition('?')[0]}"
        try:
            async with self._live().request(method, url, **request) as answer:
                if answer.status == 404 and absent_is_empty:
                    return {}
                if not 200 <= answer.status < 300:
                    raise DemoError(f"{where} answers {answer.status}: {(await answer.text())[:300]}")
                body = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DemoError(f"{where} fails: {type(error).__name__}") from error
        if not isinstance(body, dict):
            raise DemoError(f"{where} answers something that is no JSON object")
        return body

    def _live(self) -> aiohttp.ClientSession:
        assert self._session is not None, "used outside its context"
        return self._session
