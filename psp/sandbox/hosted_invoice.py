"""The hosted invoice page, with a desk for what happens to its subscription; it must never run a script."""

from __future__ import annotations

from aiohttp import web

from . import invoices, subscriptions
from .api import DESK, the
from .errors import StripeError
from .hosted import button, page
from .records import Invoice, Subscription
from .turn import Turn

_PAYS = {"card": "pm_card_visa", "declined": "pm_card_chargeDeclined"}
_ADVANCES = {"renews": "succeed", "renewal_fails": "fail"}


def routes() -> list[web.RouteDef]:
    """The page and what its buttons do."""
    return [web.get("/sandbox/invoice/{id}", _page), web.post("/sandbox/invoice/{id}", _press)]


async def _page(request: web.Request) -> web.StreamResponse:
    store = request.app[DESK].store
    invoice = the(store, Invoice, request.match_info["id"])
    return _html(invoice, the(store, Subscription, invoice.subscription))


async def _press(request: web.Request) -> web.StreamResponse:
    """One button was pressed; what follows from it is shown on the page of the latest invoice."""
    desk = request.app[DESK]
    chosen = str((await request.post()).get("method", ""))
    with desk.turn() as turn:
        invoice = the(turn.store, Invoice, request.match_info["id"])
        _act(turn, invoice, chosen)
        latest = the(turn.store, Subscription, invoice.subscription).latest_invoice
    raise web.HTTPSeeOther(f"/sandbox/invoice/{latest}")


def _act(turn: Turn, invoice: Invoice, chosen: str) -> None:
    subscription = the(turn.store, Subscription, invoice.subscription)
    if chosen in _PAYS:
        invoices.pay(turn, invoice, _PAYS[chosen])
    elif chosen in _ADVANCES:
        subscriptions.advance(turn, subscription, _ADVANCES[chosen])
    elif chosen == "given_up":
        subscriptions.give_up(turn, subscription)
    else:
        raise StripeError("No such button.", param="method")


def _html(invoice: Invoice, subscription: Subscription) -> web.Response:
    buttons = ""
    if invoice.status == "open":
        buttons += button("pay", "card", "Pay by card")
        buttons += button("", "declined", "Pay with a card that is declined")
    if subscription.status in {"trialing", "active"}:
        buttons += button("", "renews", "The period ends: the next one is paid")
        buttons += button("", "renewal_fails", "The period ends: the card fails")
    if subscription.status in {"past_due", "incomplete"}:
        buttons += button("", "given_up", "Nobody tries to charge it any more")
    lines = [
        ("Invoice", invoice.number),
        ("Subscription", f"{subscription.id}, {subscription.status}"),
        ("Total", f"{invoice.amount_due} {invoice.currency} (minor units)"),
    ]
    return page("Sandbox invoice", lines, f"{invoice.status}, {invoice.attempt_count} attempts.", buttons)
