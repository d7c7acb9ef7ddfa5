"""The little of Stripe's API that receivers ask for while they receive or backfill, counted. Knows nothing
but the benches' customers, and what it was told.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from typing import Any

import uvloop
from aiohttp import web

CALLS = web.AppKey("calls", list[int])
TRUTH = web.AppKey("truth", dict[str, dict[str, Any]])
"""Objects as the PSP sees them at this moment, by id; told by whoever plays the PSP."""


@dataclass(frozen=True, slots=True)
class _Hold:
    """Of one object the next answer waits, with what was true when it was asked for, until `go`."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


HOLDS = web.AppKey("holds", dict[str, _Hold])


async def _account(request: web.Request) -> web.Response:
    request.app[CALLS][0] += 1
    return web.json_response(
        {
            "id": "acct_bench",
            "object": "account",
            "charges_enabled": True,
            "payouts_enabled": True,
            "type": "standard",
            "country": "US",
            "default_currency": "usd",
            "details_submitted": True,
            "settings": {"dashboard": {}, "branding": {}},
            "business_profile": {},
            "metadata": {},
            "email": "bench@example.com",
        }
    )


async def _customer(request: web.Request) -> web.Response:
    request.app[CALLS][0] += 1
    return web.json_response(
        {
            "id": request.match_info["id"],
            "object": "customer",
            "balance": 0,
            "created": 1_795_000_000,
            "currency": "usd",
            "default_source": None,
            "delinquent": False,
            "discount": None,
            "email": "someone@example.com",
            "invoice_prefix": "BENCH",
            "invoice_settings": {},
            "livemode": False,
            "metadata": {},
            "name": "Some One",
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
        }
    )


async def _told(request: web.Request) -> web.Response:
    truth = await request.json()
    request.app[TRUTH][truth["id"]] = truth
    for item in truth.get("items", {}).get("data", ()):
        request.app[TRUTH][item["id"]] = item
        request.app[TRUTH][item["price"]["id"]] = item["price"]
    return web.json_response({})


async def _known(request: web.Request) -> web.Response:
    request.app[CALLS][0] += 1
    found = request.app[TRUTH].get(request.match_info["id"])
    hold = request.app[HOLDS].get(request.match_info["id"])
    if hold is not None and not hold.asked.is_set():
        hold.asked.set()
        await hold.go.wait()
    if found is None:
        return web.json_response(
            {"error": {"type": "invalid_request_error", "message": "unknown"}}, status=404
        )
    return web.json_response(found)


async def _hold(request: web.Request) -> web.Response:
    request.app[HOLDS][request.match_info["id"]] = _Hold()
    return web.json_response({})


async def _asked(request: web.Request) -> web.Response:
    """Answers once the object that is held has been asked for."""
    await request.app[HOLDS][request.match_info["id"]].asked.wait()
    return web.json_response({})


async def _go(request: web.Request) -> web.Response:
    request.app[HOLDS][request.match_info["id"]].go.set()
    return web.json_response({})


async def _no_events(request: web.Request) -> web.Response:
    """Every delivery has been acknowledged: none is listed as undelivered."""
    request.app[CALLS][0] += 1
    return web.json_response({"object": "list", "data": [], "has_more": False, "url": "/v1/events"})


async def _product(request: web.Request) -> web.Response:
    request.app[CALLS][0] += 1
    return web.json_response(
        {
            "id": request.match_info["id"],
            "object": "product",
            "active": True,
            "created": 1_795_000_000,
            "description": None,
            "images": [],
            "livemode": False,
            "metadata": {},
            "name": "Bench",
            "type": "service",
            "url": None,
            "unit_label": None,
            "statement_descriptor": None,
            "attributes": [],
            "shippable": None,
            "default_price": None,
        }
    )


async def _other(request: web.Request) -> web.Response:
    request.app[CALLS][0] += 1
    return web.json_response({"error": {"type": "invalid_request_error", "message": "unknown"}}, status=404)


async def _calls(request: web.Request) -> web.Response:
    return web.json_response(request.app[CALLS][0])


def main() -> None:
    """Listen on the port of the command line."""
    app = web.Application(client_max_size=8 * 1_048_576)
    app[CALLS] = [0]
    app[TRUTH] = {}
    app[HOLDS] = {}
    app.router.add_get("/calls", _calls)
    app.router.add_get("/v1/account", _account)
    app.router.add_get("/v1/accounts/{id}", _account)
    app.router.add_get("/v1/customers/{id}", _customer)
    app.router.add_post("/truth", _told)
    app.router.add_post("/hold/{id}", _hold)
    app.router.add_get("/asked/{id}", _asked)
    app.router.add_post("/go/{id}", _go)
    app.router.add_get("/v1/events", _no_events)
    app.router.add_get("/v1/products/{id}", _product)
    for kind in ("subscriptions", "subscription_items", "prices"):
        app.router.add_get(f"/v1/{kind}/{{id}}", _known)
    app.router.add_route("*", "/{rest:.*}", _other)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
