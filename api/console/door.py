"""The console's door: log in with an ops token, log out, and who is behind a request's cookie.

A command must carry the session's CSRF token, as a form field or a header; a page of another site can send
the cookie's owner here, but it cannot read that token.
"""

from __future__ import annotations

import hmac
import secrets
import time

from aiohttp import web

from api import auth, errors
from api.auth import Caller, Role
from api.console import sessions
from api.console.rendering import SESSION, page, see_other
from api.errors import ApiError
from api.world import CALLER, WORLD, access
from db import reads

_LOGIN_COOKIE = "sluice_login"
_LOGIN_S = 600
"""A login form that was left open longer is asked for anew."""
TOKEN_CHARACTERS_MAX = 512
"""Longer is no token."""


async def identify(request: web.Request, roles: frozenset[Role]) -> Caller:
    """Who is logged in, when the page is for them. Raises ApiError 401 or 403."""
    session = request.app[WORLD].sessions.find(request.cookies.get(sessions.COOKIE, ""), time.monotonic())
    if session is None:
        raise errors.unauthorized("UNAUTHORIZED", "Log in first")
    request[SESSION] = session
    if session.caller.role not in roles:
        raise errors.forbidden(f"This is not for the role {session.caller.role}")
    if request.method != "GET":
        _refuse_other_sites(request)
        shown = request.headers.get("X-CSRF-Token") or await field(request, "csrf")
        if not _same(shown, session.csrf):
            raise errors.forbidden("This command did not come from a page of this session; reload the page")
    return session.caller


async def ask(request: web.Request) -> web.Response:
    """The login form."""
    return _form(request, _inside(request.query.get("next", "")), None)


async def log_in(request: web.Request) -> web.Response:
    """Exchange an ops token for a session."""
    world = request.app[WORLD]
    _refuse_other_sites(request)
    following = _inside(await field(request, "next"))
    if not _same(await field(request, "csrf"), request.cookies.get(_LOGIN_COOKIE, "")):
        return _form(request, following, "The form was open for too long; please try again", 403)
    address = world.sender_address.of(request) or "unknown"
    if world.logins.take(address, time.monotonic()) > 0:
        return _form(request, following, "Too many attempts; please wait a little", 429)
    caller = auth.ops_caller((await field(request, "token")).strip()[:TOKEN_CHARACTERS_MAX], world.keys)
    if caller is None:
        return _form(request, following, "This is not a token of OPS_TOKENS", 403)
    request[CALLER] = caller
    async with world.connection() as connection:
        await reads.log_access(connection, access(request, "login", "console"))
    answer = see_other(following)
    token = world.sessions.open(caller, time.monotonic())
    _set_cookie(request, answer, sessions.COOKIE, token, int(sessions.lifetime_s))
    answer.del_cookie(_LOGIN_COOKIE, path="/console")
    return answer


async def log_out(request: web.Request) -> web.Response:
    """End the session."""
    request.app[WORLD].sessions.close(request.cookies.get(sessions.COOKIE, ""))
    answer = see_other("/console/login")
    answer.del_cookie(sessions.COOKIE, path="/console")
    return answer


async def field(request: web.Request, name: str) -> str:
    """A text field of the form; empty when it is absent or a file."""
    if request.content_type != "application/x-www-form-urlencoded":
        return ""
    value = (await request.post()).get(name, "")
    return value if isinstance(value, str) else ""


def _form(request: web.Request, following: str, fault: str | None, status: int = 200) -> web.Response:
    csrf = secrets.token_urlsafe(32)
    answer = page(request, "login.html", status, fault=fault, csrf=csrf, next=following)
    _set_cookie(request, answer, _LOGIN_COOKIE, csrf, _LOGIN_S)
    return answer


def _inside(path: str) -> str:
    """`path` when it leads to a page of the console, else the console's first page."""
    inside = path == "/console" or path.startswith(("/console/", "/console?"))
    return path if inside and path.isascii() and path.isprintable() else "/console"


def _set_cookie(request: web.Request, answer: web.Response, name: str, value: str, seconds: int) -> None:
    # Whoever lies about the scheme only makes their own cookie stricter.
    secure = request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
    answer.set_cookie(
        name, value, max_age=seconds, path="/console", httponly=True, samesite="Strict", secure=secure
    )


def _refuse_other_sites(request: web.Request) -> None:
    """The browser's own word on where a command comes from; where it says none, the page's origin."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin", "null")
    if site is not None:
        here = site in ("same-origin", "none")
    else:  # `null` is what our own forms send: their pages tell nobody where they stand
        hosts = (request.host, request.headers.get("X-Forwarded-Host", ""))
        here = origin == "null" or origin.partition("://")[2] in hosts
    if not here:
        raise ApiError(403, "CROSS_SITE", "This command came from another site")


def _same(shown: str, expected: str) -> bool:
    return expected != "" and hmac.compare_digest(
        shown.encode("utf-8", "surrogateescape"), expected.encode("utf-8", "surrogateescape")
    )
