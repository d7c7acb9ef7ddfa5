"""Puts the API together: pool, doorbell, keys, routes. Must start and stay up without Postgres or Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from fractions import Fraction

from aiohttp import web

from api import guard, house_metrics, routes
from api.auth import Keys
from api.bodies import BYTES_MAX
from api.buckets import TokenBuckets
from api.console import rendering
from api.console.sessions import Sessions
from api.customers import return_urls
from api.house_metrics import House
from api.invariants import Invariants
from api.metrics import Metrics
from api.receiver import Receiver
from api.serving import Listener
from api.world import WORLD, World
from billing.fees import Fee
from db import checks, gauges, operations, pool
from outbox.effects import Effects
from psp import callers, providers
from psp.panda.client import PandaApi
from runtime import clock, limits, ports, process, telemetry
from runtime.doorbell import Doorbell
from runtime.sender_address import SenderAddress
from runtime.settings import Settings, refuse_to_start

ROLE = "sluice_api"
DEV_ENVIRONMENTS = ("dev", "test")
"""Values of APP_ENV in which nothing is real."""
pool_connections_max = 8
"""Connections of this process; a ninth request waits a second for one, then it is answered 503."""
customer_requests_burst_max = 10
customer_requests_per_s = 1.0
"""Per user (contract, section 5)."""
logins_burst_max = 10
logins_per_s = 0.2
"""Per address: a person mistypes a token a few times, a program would try for ever."""


def create(settings: Settings) -> web.Application:
    """The application; its pool and doorbell live from start-up to clean-up. Raises EndpointError."""
    endpoints = providers.endpoints(settings)
    patience = gauges.Patience(
        settings.reconcile_refund_orphan_after_s,
        settings.reconcile_refund_stuck_after_s,
        settings.reconcile_checkout_stuck_after_s,
        settings.reconcile_subscription_stuck_after_s,
        settings.reconcile_order_stuck_after_s,
    )
    app = web.Application(middlewares=[guard.observe, guard.guard], client_max_size=BYTES_MAX)
    rendering.setup(app)
    routes.register(app)

    async def world(app: web.Application) -> AsyncIterator[None]:
        connections = await pool.create_pool(settings.database_url, ROLE, "sluice-api", pool_connections_max)

        async def check() -> dict[str, int]:
            async with connections.acquire(timeout=limits.pool_acquire_s) as connection:
                return await checks.run(connection)

        doorbell = Doorbell(settings.redis_url)
        invariants = Invariants(check)
        calls = contextlib.AsyncExitStack()
        nothing_is_real = settings.app_env in DEV_ENVIRONMENTS

        async def sample() -> gauges.Gauges:
            async with connections.acquire(timeout=limits.pool_acquire_s) as connection:
                return await gauges.read(connection, patience, house_metrics.waits_window_s)

        metrics = Metrics(House(sample, lambda: invariants.glance().found))
        metrics.holds_connections(lambda: connections.get_size() - connections.get_idle_size())
        app[WORLD] = World(
            pool=connections,
            doorbell=doorbell,
            endpoints=endpoints,
            keys=Keys(settings),
            buckets=TokenBuckets(customer_requests_burst_max, customer_requests_per_s),
            metrics=metrics,
            invariants=invariants,
            sender_address=SenderAddress(settings.trusted_proxies),
            receiver=Receiver(settings),
            providers=await _outboxes(settings, calls, connections, doorbell),
            stripe_stands_in=settings.stripe_api_base is not None,
            panda=await _panda(settings, calls),
            fee=Fee(Fraction(settings.credit_fee_percent), settings.credit_fee_fixed_cents),
            return_urls=return_urls.allowed(settings.return_url_origins, nothing_is_real),
            dev_endpoints=nothing_is_real and settings.dev_endpoints_enabled,
            sessions=Sessions(),
            logins=TokenBuckets(logins_burst_max, logins_per_s),
        )
        yield
        await calls.aclose()
        await invariants.close()
        await doorbell.close()
        connections.terminate()

    app.cleanup_ctx.append(world)
    return app


async def _outboxes(
    settings: Settings, calls: contextlib.AsyncExitStack, connections: pool.type_pool, doorbell: Doorbell
) -> dict[str, Effects]:
    """What this process may do at once at each provider, in the order of preference."""
    calling = await calls.enter_async_context(callers.opened(settings))
    return {
        source: Effects(connections, source, caller, doorbell.ring, "api")
        for source, caller in calling.items()
    }


async def _panda(settings: Settings, calls: contextlib.AsyncExitStack) -> PandaApi | None:
    url, key = settings.panda_api_url, settings.panda_api_key
    if url is None or key is None:
        return None
    return await calls.enter_async_context(PandaApi(url, key.reveal()))


async def serve(settings: Settings, stop: asyncio.Event) -> int:
    """Listen until `stop`; returns the exit code."""
    try:
        app = create(settings)
    except providers.EndpointError as error:
        refuse_to_start([str(error)])
    listener = Listener(app)
    try:
        port = await listener.start(settings.api_host, settings.api_port)
    except OSError as error:
        telemetry.logger().error("cannot_listen", port=settings.api_port, exc_info=error)
        where = f"{settings.api_host}:{settings.api_port}"
        refuse_to_start([f"{ports.setting('API', error)}: {where} cannot be listened on: {error.strerror}"])
    telemetry.logger().info("listening", port=port, instance=process.instance())
    await _beat_until(stop, app[WORLD])
    await listener.stop()
    telemetry.logger().info("stopped")
    return 0


async def _beat_until(stop: asyncio.Event, world: World) -> None:
    """Say every few seconds that this process is alive; take that back at an orderly end."""
    started_at = clock.now()

    async def beat() -> None:
        async with world.connection() as connection:
            await operations.beat(connection, "api", process.instance(), started_at, world.metrics.totals)

    await process.every(limits.heartbeat_interval_s, stop, "heartbeat", beat)
    await operations.stop_beating(world.pool, "api", process.instance())
