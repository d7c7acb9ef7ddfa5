"""The one table of this port: every path with whom it is for and which query parameters it knows.

A handler that is not in this table is not served: the guard refuses whatever the table does not name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from api import (
    access,
    balances,
    bodies,
    cards,
    catalogue,
    commands,
    cross_origin,
    deliveries,
    explain,
    filters,
    health,
    openapi,
    reconcile,
    replay,
    replay_many,
    resolve,
    shapes,
    stats,
    status,
)
from api.answers import type_handler
from api.auth import Role
from api.console import assets, desk, door, live, pages
from api.customers import (
    checkouts,
    dev_cards,
    entitlements,
    grants,
    orders,
    postings,
    refunds,
    spends,
    subscriptions,
    wallet,
)
from api.idempotency import KeyRule


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, for these roles, with the query parameters it reads; others are refused.

    `body` is the type that the request's body must have, `check` says what is wrong with it beyond that, and
    `answer` is the type of a good answer with `status`; `media` is its kind where it is no JSON. `refuses`
    are the statuses of refusals beyond those that follow from the rest of the line. With
    `body_before_caller` a bad body is refused whoever sends it. `scope`: only a customer's bearer token that
    has it will do. `dev_only`: not there in production. Of a `session` route the caller is known by the
    console's cookie.
    """

    method: str
    path: str
    roles: frozenset[Role]
    handler: type_handler
    query: frozenset[str] = frozenset()
    body: type[msgspec.Struct] | None = None
    body_may_be_empty: bool = False
    check: Callable[[web.Request], None] | None = None
    body_before_caller: bool = False
    answer: type[msgspec.Struct] | None = None
    status: int = 200
    refuses: frozenset[int] = frozenset()
    media: str | None = None
    session: bool = False
    key_rule: KeyRule = KeyRule.NONE
    scope: str | None = None
    dev_only: bool = False


_ANYONE = frozenset({Role.ANYONE})
_CUSTOMERS = frozenset({Role.CUSTOMER})
_READERS = frozenset({Role.DASHBOARD, Role.OPS})
_COMMANDERS = frozenset({Role.OPS})

PORT = (
    Route("GET", "/health/live", _ANYONE, health.live, answer=shapes.Health),
    Route("GET", "/health/ready", _ANYONE, health.ready, answer=shapes.Health),
    Route("GET", "/metrics", _ANYONE, health.metrics, media="text/plain"),
    Route("GET", "/openapi.json", _ANYONE, openapi.show, media="application/json"),
)
AUDIT = (
    Route(
        "GET", "/audit/deliveries", _READERS, deliveries.list_page, filters.PAGE_FIELDS,
        answer=shapes.DeliveryPage,
    ),
    Route("GET", "/audit/deliveries/{id}", _READERS, deliveries.show, answer=shapes.Delivery),
    Route(
        "GET", "/audit/deliveries/{id}/raw", _READERS, deliveries.raw, media="application/octet-stream"
    ),
    Route("GET", "/audit/access", _READERS, access.list_page, access.FIELDS, answer=shapes.AccessPage),
    Route("GET", "/audit/stats", _READERS, stats.show, filters.WINDOW_FIELDS, answer=shapes.Stats),
    Route(
        "GET", "/audit/explain/{kind}/{id}", _READERS, explain.show, frozenset({"source"}),
        answer=shapes.Explanation,
    ),
)  # fmt: skip
OPERATIONS = (
    Route(
        "POST", "/ops/deliveries/{id}/replay", _COMMANDERS, replay.run, answer=shapes.Replayed, status=202,
        refuses=frozenset({409}),
    ),
    Route(
        "POST", "/ops/deliveries/{id}/resolve", _COMMANDERS, resolve.delivery, body=commands.ResolveOrder,
        answer=shapes.Resolved, refuses=frozenset({409}),
    ),
    Route(
        "POST", "/ops/replay", _COMMANDERS, replay_many.run, body=commands.ReplayOrder,
        answer=shapes.ReplayedMany, status=202,
    ),
    Route(
        "POST", "/ops/reconcile", _COMMANDERS, reconcile.start, body=commands.ReconcileOrder,
        body_may_be_empty=True, answer=shapes.RunAsked, status=202,
    ),
    Route("GET", "/ops/reconcile", _READERS, reconcile.history, filters.PLACE_FIELDS, answer=shapes.RunPage),
    Route(
        "GET", "/ops/reconcile/{run_id}", _READERS, reconcile.show, filters.PLACE_FIELDS,
        answer=shapes.RunDetail,
    ),
    Route("GET", "/ops/alerts", _READERS, resolve.alerts, filters.PLACE_FIELDS, answer=shapes.AlertPage),
    Route(
        "POST", "/ops/alerts/{id}/resolve", _COMMANDERS, resolve.alert, body=commands.ResolveOrder,
        answer=shapes.ResolvedAlert, refuses=frozenset({409}),
    ),
    Route("GET", "/ops/status", _READERS, status.show, answer=shapes.Status),
)  # fmt: skip
CATALOGUE = (
    Route("GET", "/ops/plans", _READERS, catalogue.list_plans, answer=catalogue.PlansAnswer),
    Route(
        "PUT",
        "/ops/plans/{id}",
        _COMMANDERS,
        catalogue.put_plan,
        body=catalogue.PutPlan,
        check=catalogue.check_plan,
        answer=catalogue.PlanAnswer,
    ),
    Route("GET", "/ops/products", _READERS, catalogue.list_products, answer=catalogue.ProductsAnswer),
    Route(
        "PUT",
        "/ops/products/{id}",
        _COMMANDERS,
        catalogue.put_product,
        body=catalogue.PutProduct,
        check=catalogue.check_product,
        answer=catalogue.ProductAnswer,
    ),
)
CARDS = (
    Route(
        "PUT",
        "/ops/credentials/{id}",
        _COMMANDERS,
        cards.put_credential,
        body=cards.PutCredential,
        check=cards.check_credential,
        answer=cards.CredentialAnswer,
        refuses=frozenset({409}),
    ),
    Route("GET", "/ops/credentials/{id}", _READERS, cards.show_credential, answer=cards.CredentialAnswer),
    Route("PUT", "/ops/cards/{id}", _COMMANDERS, cards.put_card, body=cards.PutCard, answer=cards.CardAnswer),
)
CUSTOMERS = (
    Route(
        "GET", "/api/accounts/{id}/credits", _CUSTOMERS | _READERS, balances.of_account, answer=shapes.Credits
    ),
    Route("GET", "/api/billing/credits", _CUSTOMERS, balances.own_usdc, answer=shapes.Usdc),
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
        status=201,
        key_rule=KeyRule.REQUIRED,
    ),
    Route(
        "POST",
        "/api/accounts/{id}/credits/spend",
        _CUSTOMERS | _COMMANDERS,
        spends.spend,
        body=spends.SpendCredits,
        check=spends.check,
        answer=spends.SpentCredits,
        status=201,
        refuses=frozenset({402}),
        key_rule=KeyRule.REQUIRED,
    ),
    Route(
        "POST",
        "/api/accounts/{id}/credits/spend/{spend_id}/reverse",
        _CUSTOMERS | _COMMANDERS,
        spends.reverse,
        body=spends.ReverseSpend,
        check=spends.check_reversal,
        body_may_be_empty=True,
        answer=spends.ReversedSpend,
        status=201,
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
        refuses=frozenset({404, 502}),
        key_rule=KeyRule.OPTIONAL,
    ),
    Route(
        "POST",
        "/api/v1/orders",
        _CUSTOMERS | _COMMANDERS,
        orders.place,
        body=orders.PlaceOrder,
        check=orders.check,
        answer=orders.PlacedOrder,
        status=201,
        refuses=frozenset({403, 404, 502}),
        key_rule=KeyRule.OPTIONAL,
    ),
    Route("GET", "/api/v1/orders/{id}", _CUSTOMERS | _READERS, orders.show, answer=orders.OrderAnswer),
    *(
        Route(
            "POST",
            path,
            _CUSTOMERS | _COMMANDERS,
            refunds.request_refund,
            body=refunds.RequestRefund,
            body_may_be_empty=True,
            answer=refunds.RequestedRefund,
            key_rule=KeyRule.OPTIONAL,
        )
        for path in ("/api/v1/orders/{id}/refund", "/marketplace/orders/{id}/refund")
    ),
    Route(
        "POST",
        "/api/v1/subscriptions",
        _CUSTOMERS,
        subscriptions.subscribe,
        body=subscriptions.Subscribe,
        answer=subscriptions.Subscribed,
        status=201,
        refuses=frozenset({404, 502}),
        key_rule=KeyRule.OPTIONAL,
    ),
    Route(
        "POST",
        "/api/v1/subscriptions/complete/{id}",
        _CUSTOMERS,
        subscriptions.complete,
        answer=subscriptions.Subscribed,
        refuses=frozenset({409, 502}),
    ),
    Route(
        "GET",
        "/api/v1/subscriptions/current",
        _CUSTOMERS,
        subscriptions.show_current,
        answer=subscriptions.CurrentSubscription,
        refuses=frozenset({403, 404}),
    ),
    Route(
        "GET",
        "/api/v1/entitlements",
        _CUSTOMERS,
        entitlements.show,
        answer=entitlements.EntitlementsAnswer,
        refuses=frozenset({403}),
    ),
    *(
        Route(
            "GET",
            path,
            _CUSTOMERS,
            wallet.show,
            answer=wallet.Wallet,
            refuses=frozenset({403, 404}),
            scope=wallet.SCOPE,
        )
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


def _page(
    path: str, handler: type_handler, query: Iterable[str] = (), media: str = "text/html", status: int = 200
) -> Route:
    """A page of the console, for whoever is logged in."""
    return Route("GET", path, _READERS, handler, frozenset(query), media=media, status=status, session=True)


def _command(path: str, handler: type_handler, roles: frozenset[Role] = _COMMANDERS) -> Route:
    """A form of the console; it leads to where its result shows."""
    return Route("POST", path, roles, handler, status=303, media="text/html", session=True)


CONSOLE = (
    Route("GET", "/console/static/{name}", _ANYONE, assets.serve, frozenset({"v"}), media="*/*"),
    Route("GET", "/console/login", _ANYONE, door.ask, frozenset({"next"}), media="text/html"),
    Route("POST", "/console/login", _ANYONE, door.log_in, status=303, media="text/html"),
    _command("/console/logout", door.log_out, _READERS),
    _page("/console", live.overview, ("window",)),
    _page("/console/overview/figures", live.figures),
    _page("/console/overview/series", live.series, ("window",), "application/json"),
    _page("/console/deliveries", pages.list_deliveries, filters.PAGE_FIELDS),
    _page("/console/deliveries/{id}", pages.show_delivery, ("done",)),
    _page("/console/deliveries/{id}/raw", deliveries.raw, media="application/octet-stream"),
    _command("/console/deliveries/{id}/replay", desk.replay_delivery),
    _command("/console/deliveries/{id}/resolve", desk.resolve_delivery),
    _page("/console/explain", pages.ask_explain, ("kind", "id", "source")),
    _page("/console/explain/{kind}/{id}", pages.show_explain, ("source",)),
    _page("/console/quarantine", desk.quarantine, ("reason", "cursor")),
    _command("/console/quarantine/replay", desk.replay_reason),
    _command("/console/alerts/{id}/resolve", desk.resolve_alert),
    _page("/console/reconcile", desk.runs, ("cursor",)),
    _command("/console/reconcile", desk.ask_run),
    _page("/console/reconcile/{run_id}", desk.show_run, ("cursor",)),
    _page("/console/balances", pages.list_balances, ("account", "overdrawn", "after")),
    _page("/console/balances/{id}", pages.show_balances, ("cursor",)),
)

ROUTES: tuple[Route, ...] = (*PORT, *AUDIT, *OPERATIONS, *CATALOGUE, *CARDS, *CUSTOMERS, *CONSOLE)

CROSS_ORIGIN_PATHS = frozenset(route.path for route in ROUTES if route.method == "OPTIONS")
"""Paths that pages of other origins may call: those with a preflight."""

DECLARED = web.AppKey("declared", dict[web.AbstractRoute, Route])
"""What the router serves, back to its line of the table."""


def register(app: web.Application) -> None:
    """Put the table into the router; the guard finds each line again by the router's own route."""
    app[openapi.DOCUMENT] = openapi.document(ROUTES)
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
