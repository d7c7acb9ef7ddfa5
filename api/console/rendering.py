"""Makes the console's answers: pages that escape everything and may run nothing but our own files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp_jinja2
import jinja2
from aiohttp import web

from api.auth import Role
from api.console import assets, shown
from api.console.sessions import COOKIE, Session
from api.errors import ApiError
from api.world import WORLD

TEMPLATES = Path(__file__).with_name("templates")
SESSION = web.RequestKey("session", Session)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

NAVIGATION = (
    ("/console", "Overview"),
    ("/console/deliveries", "Deliveries"),
    ("/console/quarantine", "Quarantine"),
    ("/console/explain", "Explain"),
    ("/console/balances", "Balances"),
    ("/console/reconcile", "Reconcile"),
)


def setup(app: web.Application) -> None:
    """Give the application its templates. A name that a template does not know is an error, not a gap."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        finalize=shown.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(shown.FILTERS)
    environment.globals.update(asset=assets.url, navigation=NAVIGATION)


def page(request: web.Request, template: str, status: int = 200, **shown_values: Any) -> web.Response:
    """A page, or a part of one, for whoever is logged in."""
    session = request.get(SESSION)
    context = {
        "path": request.path,
        "session": session,
        "may_command": session is not None and session.caller.role is Role.OPS,
        **shown_values,
    }
    answer = web.Response(
        text=aiohttp_jinja2.render_string(template, request, context), content_type="text/html", status=status
    )
    answer.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return answer


def see_other(path: str) -> web.Response:
    """After a command: look there. So that a reload repeats a look and never a command."""
    return web.Response(status=303, headers={"Location": path})


def refusal(request: web.Request, error: ApiError, request_id: str) -> web.Response:
    """An error as a page; who is not logged in is sent to the door and, from there, back."""
    if error.status == 401:
        if "HX-Request" in request.headers:
            return web.Response(status=401, headers={"HX-Redirect": "/console/login"})
        here = request.path_qs if request.method == "GET" else "/console"
        return see_other(f"/console/login?{urlencode({'next': here})}")
    known = request.app[WORLD].sessions.find(request.cookies.get(COOKIE, ""), time.monotonic())
    if known is not None:  # a path that nobody knows has not asked who it is for
        request[SESSION] = known
    answer = page(request, "error.html", error.status, error=error, request_id=request_id)
    answer.headers.update(error.headers)
    return answer
