"""The limit: aiohttp that reads the body and answers, and does nothing else. Never a receiver."""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web


async def _answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=b'{"received":true}', content_type="application/json")


def main() -> None:
    """Listen on the port of the command line."""
    app = web.Application()
    app.router.add_post("/webhooks/stripe", _answer)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
