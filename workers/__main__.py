"""`python -m workers`: wires the drain loop, the sweep, the doorbell and retention into one process."""

from __future__ import annotations

import asyncio
import sys

from db import operations, pool
from psp import providers
from runtime import process, settings, telemetry
from workers import bell
from workers.drain import Drainer
from workers.sweep import Retention, Sweep

_RETENTION_EVERY_S = 3600.0
_STOP_S = 10.0


async def work(configuration: settings.Settings, stop: asyncio.Event) -> int:
    """Run all loops of a worker until `stop`."""
    try:
        modes = {path: endpoint.mode for path, endpoint in providers.endpoints(configuration).items()}
    except providers.EndpointError as error:
        settings.refuse_to_start([str(error)])
    connections = await pool.create_pool(
        configuration.database_url, "sluice_worker", "sluice-worker", size_max=4
    )
    drainer = Drainer(connections, modes)
    sweep = Sweep(connections, drainer)
    retention = Retention(configuration, connections)
    telemetry.logger().info("working", instance=process.instance())
    loops = [
        asyncio.create_task(drainer.run(stop, configuration.sweep_interval_s)),
        asyncio.create_task(process.every(configuration.sweep_interval_s, stop, "sweep", sweep.run_once)),
        asyncio.create_task(process.every(_RETENTION_EVERY_S, stop, "retention", retention.run_once)),
        asyncio.create_task(bell.run(configuration.redis_url, drainer, stop)),
    ]
    await stop.wait()
    await asyncio.wait(loops, timeout=_STOP_S)
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    try:
        async with asyncio.timeout(1), connections.acquire() as connection:
            await operations.stop_beating(connection, "worker", process.instance())
    except (*pool.WORLD_IS_BUSY, pool.REFUSED):
        telemetry.logger().warning("heartbeat_left_behind")
    connections.terminate()
    telemetry.logger().info("stopped")
    return 0


def main() -> int:
    """Run a worker to its end; returns the exit code."""
    configuration = settings.load_or_exit()
    return process.run("worker", lambda stop: work(configuration, stop))


if __name__ == "__main__":
    sys.exit(main())
