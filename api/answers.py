"""Makes responses: JSON, with the headers every answer of this port carries. Never decides what to answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from api import errors
from api.errors import ApiError

type_handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FIXED_HEADERS = {
    # Names the product, not the version of the server underneath.
    "Server": "sluice",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # Balances, payloads and who did what: nothing here may stay in a cache.
    "Cache-Control": "no-store",
    # The same for caches of HTTP/1.0; the wallet's contract names it.
    "Pragma": "no-cache",
}


def json_answer(value: object, status: int = 200) -> web.Response:
    """`value` as JSON; datetimes become ISO 8601 with `Z`."""
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


def bytes_answer(body: bytes, filename: str) -> web.Response:
    """Bytes that no browser may render."""
    answer = web.Response(body=body, content_type="application/octet-stream")
    answer.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    return answer


def refusal(error: ApiError, request_id: str) -> web.Response:
    """An error in the one shape."""
    return web.Response(
        status=error.status,
        body=errors.body(error, request_id),
        content_type="application/json",
        headers=error.headers,
    )


def complete(answer: web.StreamResponse, request_id: str) -> None:
    """Add the headers that every answer carries, unless the handler has set its own."""
    answer.headers["X-Request-Id"] = request_id
    for name, value in _FIXED_HEADERS.items():
        answer.headers.setdefault(name, value)
