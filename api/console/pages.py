"""The console's pages to read: deliveries, an object's story, balances. Shows what the audit API tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from api import deliveries, errors, explain, explain_view, filters
from api.console import wording
from api.console.rendering import page, see_other
from api.console.shown import moment, path_part, pretty, row
from api.delivery_view import movement_fields
from api.world import WORLD
from db import access, desk, traces
from db import explain as explained
from psp.dashboards import event_url
from runtime import tracing

ROWS = 50
"""Rows of one page of a table."""

ACCESSES = 20
"""Latest entries of the access log about one delivery."""


def given(query: Mapping[str, str]) -> dict[str, str]:
    """The parameters that were filled in: a form sends the empty ones too."""
    return {name: value for name, value in query.items() if value != ""}


def address(path: str, query: Mapping[str, str], **changes: str | None) -> str:
    """A URL that can be shared: what was filled in, changed."""
    changed = {name: value for name, value in {**given(query), **changes}.items() if value}
    return f"{path}?{urlencode(changed)}" if changed else path


async def list_deliveries(request: web.Request) -> web.Response:
    """Deliveries by filter; the URL is the filter."""
    wanted = given(request.query)
    if len(wanted) < len(request.query):
        return see_other(address(request.path, wanted))
    fault = None
    found: dict[str, Any] = {"items": [], "next_cursor": None}
    try:
        found = await deliveries.read_page(request, {"limit": str(ROWS), **wanted})
    except errors.ApiError as error:
        fault = error
    next_url = address(request.path, wanted, cursor=found["next_cursor"]) if found["next_cursor"] else None
    return page(
        request,
        "deliveries.html",
        200 if fault is None else fault.status,
        found=found,
        rows=int(wanted.get("limit", ROWS)) if fault is None else ROWS,
        wanted=wanted,
        fault=fault,
        next_url=next_url,
        first_url=address(request.path, wanted, cursor=None) if "cursor" in wanted else None,
        choices={"origin": filters.ORIGINS, "verdict": filters.VERDICTS, "state": filters.STATES},
        narrowed=bool(set(wanted) - {"cursor", "limit"}),
        wording=wording,
    )


async def show_delivery(request: web.Request) -> web.Response:
    """One delivery: what came, what was decided, what followed, what can be done."""
    found = await deliveries.read_detail(request)
    async with request.app[WORLD].connection() as connection:
        seen = await access.list_accesses(connection, None, f"delivery:{found['id']}", None, ACCESSES)
    traced = tracing.on() and found["origin"] == "psp"
    verified = found["verdict"] == "ok"
    effects = [entry for entry in found["timeline"] if entry["what"] in ("transition", "posted")]
    return page(
        request,
        "delivery.html",
        found=found,
        summary=wording.summary(found),
        signed=moment(found["signed_at"]),
        effects=effects,
        wording=wording,
        pretty=pretty(found["payload"]) if "payload" in found else None,
        can_resolve=found["state"] == "quarantined" or found["conflict"],
        done=request.query.get("done"),
        advice=wording.REASONS.get(found["reason"] or "", wording.NO_REASON_KNOWN),
        seen=seen,
        at_the_psp=_at_the_psp(request, found),
        trace=traces.trace_of(found["event_id"], found["request_id"], verified, found["headers"])
        if traced
        else None,
    )


def _at_the_psp(request: web.Request, found: dict[str, Any]) -> str | None:
    """Where the PSP shows this event; only what it has proven to have sent leads anybody there."""
    sent = found["verdict"] == "ok" and found["origin"] == "psp"
    if not sent or request.app[WORLD].stripe_stands_in:
        return None
    return event_url(found["source"], found.get("payload", "").encode())


async def ask_explain(request: web.Request) -> web.Response:
    """Which object shall be explained."""
    kind, object_id = request.query.get("kind"), request.query.get("id", "").strip()
    if kind and object_id:
        path = f"/console/explain/{path_part(kind)}/{path_part(object_id)}"
        return see_other(address(path, {"source": request.query.get("source", "").strip()}))
    return page(request, "explain_ask.html", kinds=_kinds(), wording=wording, kind=kind or "account")


async def show_explain(request: web.Request) -> web.Response:
    """An object's story, as a timeline that anyone understands."""
    try:
        found = await explain.read(request)
    except errors.ApiError as error:
        return page(
            request,
            "explain_ask.html",
            error.status,
            kinds=_kinds(),
            wording=wording,
            kind=request.match_info["kind"],
            asked=request.match_info["id"],
            fault=error,
        )
    return page(request, "explain.html", found=found, row=row(found["state"]), wording=wording)


def _kinds() -> list[str]:
    return ["account", *sorted(explained.OBJECT_KINDS)]


async def list_balances(request: web.Request) -> web.Response:
    """Balances by account; those below zero alone, if asked."""
    wanted = given(request.query)
    if len(wanted) < len(request.query):
        return see_other(address(request.path, wanted))
    account_id, _, unit = wanted.get("after", "").rpartition("|")
    async with request.app[WORLD].connection() as connection:
        rows = await desk.list_balances(
            connection, (account_id, unit), wanted.get("account"), "overdrawn" in wanted, ROWS + 1
        )
    shown = rows[:ROWS]
    after = f"{shown[-1].account_id}|{shown[-1].unit}" if len(rows) > ROWS else None
    return page(
        request,
        "balances.html",
        rows=[
            {**explain_view.balance_fields(row), "account_id": row.account_id, "kind": row.kind}
            for row in shown
        ],
        wanted=wanted,
        next_url=address(request.path, wanted, after=after) if after else None,
        first_url=address(request.path, wanted, after=None) if "after" in wanted else None,
    )


async def show_balances(request: web.Request) -> web.Response:
    """One account's balances with their postings, newest first."""
    account_id = request.match_info["id"]
    _, before_id = filters.place(request.query)
    async with request.app[WORLD].connection() as connection:
        row = await explained.read_balances(connection, account_id)
        if row is None:
            raise errors.not_found("No such account")
        movements = await desk.list_postings(connection, account_id, before_id, ROWS + 1)
    shown = movements[:ROWS]
    following = filters.encode_cursor(shown[-1].id) if len(movements) > ROWS else None
    return page(
        request,
        "account.html",
        account=explain_view.account_state(row),
        movements=[
            {
                **movement_fields(each),
                "at": each.at,
                "what": "posted",
                "log_id": each.log_id,
                "actor": each.actor,
            }
            for each in shown
        ],
        wording=wording,
        next_url=f"{request.rel_url.raw_path}?cursor={following}" if following else None,
    )
