"""Wires the sandbox's desk to HTTP; it must never hold a rule."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from runtime import telemetry

from . import api, control, control_sales, hosted, hosted_invoice, limits
from .desk import Desk
from .hyperswitch import app as hyperswitch
from .hyperswitch.api import answers as hyperswitch_answers


def build(desk: Desk) -> web.Application:
    """The application of one desk. Starting it starts the deliveries, stopping it stops them."""
    app = web.Application(
        client_max_size=limits.request_bytes_max,
        middlewares=[api.stripe_answers, control.control_answers, hyperswitch_answers],
    )
    app[api.DESK] = desk
    app.add_routes(api.routes())
    app.add_routes(control.routes())
    app.add_routes(control_sales.routes())
    app.add_routes(hosted.routes())
    app.add_routes(hosted_invoice.routes())
    hyperswitch.add_to(app, desk)
    app.cleanup_ctx.append(_deliveries)
    return app


async def _deliveries(app: web.Application) -> AsyncIterator[None]:
    """Runs the deliveries beside the server; what an earlier process left undelivered goes first."""
    desk = app[api.DESK]
    resumed = desk.deliverer.resume()
    if resumed:
        telemetry.logger().info("deliveries_resumed", events=resumed)
    task = asyncio.create_task(desk.deliverer.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    desk.store.close()


async def serve(desk: Desk, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    runner = web.AppRunner(build(desk), access_log=None, shutdown_timeout=limits.shutdown_s)
    await runner.setup()
    try:
        site = web.TCPSite(runner, desk.settings.host, desk.settings.port)
        await site.start()
        telemetry.logger().info("sandbox_listens", host=desk.settings.host, port=desk.settings.port)
        await stop.wait()
    finally:
        await runner.cleanup()
