"""The one table of this port: every path with whom it is for and which query parameters it knows.

A handler that is not in this table is not served: the guard refuses whatever the table does not name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from api import balances, bodies, cross_origin, deliveries, explain, filters, health, replay, stats, status
from api.answers import type_handler
from api.auth import Role
from api.customers import checkouts, dev_cards, grants, postings, wallet
from api.idempotency import KeyRule


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, for these roles, with the query parameters it reads; others are refused.

    `body` is the type that the request's body must have, `check` says what is wrong with it beyond that, and
    `answer` is the type of a good answer. With `body_before_caller` a bad body is refused whoever sends it.
    `scope`: only a customer's bearer token that has it will do. `dev_only`: not there in production.
    """

    method: str
    path: str
    roles: frozenset[Role]
    handler: type_handler
    query: frozenset[str] = frozenset()
    body: type[msgspec.Struct] | None = None
    check: Callable[[web.Request], None] | None = None
    body_before_caller: bool = False
    answer: type[msgspec.Struct] | None = None
    key_rule: KeyRule = KeyRule.NONE
    scope: str | None = None
    dev_only: bool = False


_ANYONE = frozenset({Role.ANYONE})
_CUSTOMERS = frozenset({Role.CUSTOMER})
_READERS = frozenset({Role.DASHBOARD, Role.OPS})
_COMMANDERS = frozenset({Role.OPS})

ROUTES = (
    Route("GET", "/health/live", _ANYONE, health.live),
    Route("GET", "/health/ready", _ANYONE, health.ready),
    Route("GET", "/metrics", _ANYONE, health.metrics),
    Route("GET", "/audit/deliveries", _READERS, deliveries.list_page, filters.PAGE_FIELDS),
    Route("GET", "/audit/deliveries/{id}", _READERS, deliveries.show),
    Route("GET", "/audit/deliveries/{id}/raw", _READERS, deliveries.raw),
    Route("GET", "/audit/stats", _READERS, stats.show, filters.WINDOW_FIELDS),
    Route("GET", "/audit/explain/{kind}/{id}", _READERS, explain.show, frozenset({"source"})),
    Route("POST", "/ops/deliveries/{id}/replay", _COMMANDERS, replay.run),
    Route("GET", "/ops/status", _READERS, status.show),
    Route("GET", "/api/accounts/{id}/credits", _CUSTOMERS | _READERS, balances.of_account),
    Route("GET", "/api/billing/credits", _CUSTOMERS, balances.own_usdc),
    Route(
        "GET",
        "/api/billing/credits/transactions",
        _CUSTOMERS,
        postings.list_page,
        filters.POSTINGS_FIELDS,
        answer=postings.PostingsAnswer,
    ),
    Route(
        "POST",
        "/api/billing/credits/topup",
        _COMMANDERS,
        grants.grant_usdc,
        body=grants.GrantUsdc,
        check=grants.check,
        answer=grants.GrantedUsdc,
        key_rule=KeyRule.REQUIRED,
    ),
    Route("OPTIONS", "/api/credits/sessions", _ANYONE, cross_origin.preflight),
    Route(
        "POST",
        "/api/credits/sessions",
        _CUSTOMERS | _COMMANDERS,
        checkouts.open_session,
        body=checkouts.OpenSession,
        check=checkouts.check,
        body_before_caller=True,
        answer=checkouts.OpenedSession,
        key_rule=KeyRule.OPTIONAL,
    ),
    *(
        Route("GET", path, _CUSTOMERS, wallet.show, answer=wallet.Wallet, scope=wallet.SCOPE)
        for path in ("/api/card/wallet", "/wallet")
    ),
    Route(
        "GET",
        "/api/v1/cards/{id}/wallet_payload",
        _CUSTOMERS | _COMMANDERS,
        dev_cards.wallet_payload,
        answer=dev_cards.WalletPayload,
        dev_only=True,
    ),
)

CROSS_ORIGIN_PATHS = frozenset(route.path for route in ROUTES if route.method == "OPTIONS")
"""Paths that pages of other origins may call: those with a preflight."""

DECLARED = web.AppKey("declared", dict[web.AbstractRoute, Route])
"""What the router serves, back to its line of the table."""


def register(app: web.Application) -> None:
    """Put the table into the router; the guard finds each line again by the router's own route."""
    app[DECLARED] = {
        app.router.add_route(route.method, route.path, route.handler, expect_handler=_expect): route
        for route in ROUTES
    }


async def _expect(request: web.Request) -> None:
    """`Expect: 100-continue` is granted, except to what is refused for its length anyway; any other
    expectation is ignored, as RFC 9110 10.1.1 allows.
    """
    if request.content_length is not None and request.content_length > bodies.BYTES_MAX:
        return
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer must not count as the beginning of the answer itself.
        request.writer.output_size = 0


def template_of(request: web.Request) -> str:
    """The path template of a request for logs and metrics; one word for everything unknown."""
    resource = request.match_info.route.resource
    return "unmatched" if resource is None else resource.canonical
