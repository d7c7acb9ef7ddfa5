"""The one table of this port: every path with whom it is for and which query parameters it knows.

A handler that is not in this table is not served: the guard refuses whatever the table does not name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from api import balances, deliveries, explain, filters, health, replay, stats, status
from api.auth import Role

type_handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, for these roles, with the query parameters it reads; others are refused."""

    method: str
    path: str
    roles: frozenset[Role]
    handler: type_handler
    query: frozenset[str] = frozenset()


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
)

DECLARED = web.AppKey("declared", dict[web.AbstractRoute, Route])
"""What the router serves, back to its line of the table."""


def register(app: web.Application) -> None:
    """Put the table into the router; the guard finds each line again by the router's own route."""
    app[DECLARED] = {
        app.router.add_route(route.method, route.path, route.handler, expect_handler=_expect): route
        for route in ROUTES
    }


async def _expect(request: web.Request) -> None:
    """`Expect: 100-continue` is granted; any other expectation is ignored, as RFC 9110 10.1.1 allows."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The interim answer must not count as the beginning of the answer itself.
        request.writer.output_size = 0


def template_of(request: web.Request) -> str:
    """The path template of a request for logs and metrics; one word for everything unknown."""
    resource = request.match_info.route.resource
    return "unmatched" if resource is None else resource.canonical
