"""Lets pages of other origins call the routes that have a preflight; never with anybody's cookies."""

from __future__ import annotations

from aiohttp import web

HEADERS = {
    # Callers prove themselves with a header that no browser adds by itself, so any page may ask.
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Idempotent-Replayed, Retry-After, X-Request-Id",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, X-Api-Key, X-Request-Id",
    "Access-Control-Max-Age": "600",
}


async def preflight(_request: web.Request) -> web.Response:
    """What a browser asks before it sends a POST of another origin."""
    return web.Response(headers=_PREFLIGHT)
