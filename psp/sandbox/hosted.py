"""The hosted payment page: what a session's `url` shows to a person; it must never run a script."""

from __future__ import annotations

from html import escape

from aiohttp import web

from . import payments
from .api import DESK, the
from .errors import StripeError
from .records import CheckoutSession

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self' *; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
"""`form-action` is open, as paying ends in a redirect to the shop, which browsers count in.
The referrer stays on for this origin: without it browsers send the form with `Origin: null`: refused.
"""

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem;color:#1a1f36}"
    "td{padding:.25rem 1rem .25rem 0}td:last-child{text-align:right}tr:last-child{font-weight:bold}"
    "button{font:inherit;padding:.6rem 1rem;margin:.25rem .5rem .25rem 0;border:1px solid #1a1f36;"
    "border-radius:.4rem;background:#fff}"
    "button.pay{background:#1a1f36;color:#fff}"
)
_BUTTONS = (
    ("pay", "card", "Pay by card"),
    ("", "declined", "Pay with a card that is declined"),
    ("", "bank", "Pay by bank debit (answers later)"),
)


def routes() -> list[web.RouteDef]:
    """The page and what its buttons do."""
    return [web.get("/sandbox/pay/{id}", _page), web.post("/sandbox/pay/{id}", _pay)]


async def _page(request: web.Request) -> web.StreamResponse:
    session = the(request.app[DESK].store, CheckoutSession, request.match_info["id"])
    return _html(session, "")


async def _pay(request: web.Request) -> web.StreamResponse:
    """One button was pressed; a payment that is on its way leads back to the shop."""
    desk = request.app[DESK]
    chosen = str((await request.post()).get("method", ""))
    if chosen not in {value for _, value, _ in _BUTTONS} | {"debit_succeeds", "debit_fails"}:
        raise StripeError("No such way to pay.", param="method")
    with desk.turn() as turn:
        session = the(turn.store, CheckoutSession, request.match_info["id"])
        if chosen.startswith("debit_"):
            payments.settle_session(turn, session, failed=chosen == "debit_fails")
            return _html(session, "The bank has answered.")
        method = "us_bank_account" if chosen == "bank" else "card"
        payments.pay_session(turn, session, method, declined=chosen == "declined")
    if session.payment_status == "paid" and session.success_url:
        raise web.HTTPSeeOther(session.success_url.replace("{CHECKOUT_SESSION_ID}", session.id))
    return _html(session, "The card was declined." if chosen == "declined" else "")


def _html(session: CheckoutSession, note: str) -> web.Response:
    lines = [(line["name"], f"{line['quantity']} × {line['unit_amount']}") for line in session.line_items]
    buttons = ""
    if session.status == "open":
        buttons = "".join(button(css, value, text) for css, value, text in _BUTTONS)
    elif session.payment_status == "unpaid" and session.status == "complete":
        note = note or "The bank has not answered yet."
        buttons = button("", "debit_succeeds", "The bank pays") + button(
            "", "debit_fails", "The bank refuses"
        )
    lines.append(("Total", f"{session.amount_total} {session.currency} (minor units)"))
    return page("Sandbox checkout", lines, f"{session.status}, {session.payment_status}. {note}", buttons)


def page(title: str, lines: list[tuple[str, str]], note: str, buttons: str) -> web.Response:
    """A page with a table of two columns, a note, and one form with these buttons."""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in lines)
    body = (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<table>{rows}</table><p>{escape(note)}</p><form method=post>{buttons}</form></body></html>"
    )
    return web.Response(text=body, content_type="text/html", headers=_HEADERS)


def button(css: str, value: str, text: str) -> str:
    """A button that posts `method=value`."""
    return f'<button class="{css}" name="method" value="{value}">{escape(text)}</button>'
