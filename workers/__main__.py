"""`python -m workers`: wires drain, sweep, doorbell, outbox, partitions and retention into one process."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Mapping

from db import operations, pool
from outbox.effects import Effects, look_for_unconfigured
from psp import callers, providers
from psp.calls import Caller
from psp.reading import Expected
from runtime import limits, process, settings, telemetry
from workers import bell
from workers.drain import Drainer
from workers.sweep import Partitions, Retention, Sweep

_RETENTION_EVERY_S = 3600.0
_PARTITIONS_EVERY_S = 60.0
"""Nearly always there is nothing to make; what could not be made must not wait for another hour."""
_EFFECTS_EVERY_S = 1.0
"""A call that was staged waits this long at most; looking costs one read of a small index."""
_STOP_S = 10.0
_GC_OBJECTS = 100_000
"""New objects until the collector looks for cycles. A batch makes some ten thousand that its end frees
without it; at Python's own 700 it took a fifth of the worker's time (measured).
"""
_CONNECTIONS_MAX = limits.drain_helpers + 5
"""The helpers, and one each for drain, sweep, partitions and the outbox of two PSPs."""


async def work(configuration: settings.Settings, stop: asyncio.Event) -> int:
    """Run all loops of a worker until `stop`."""
    try:
        expected = {
            path: Expected(endpoint.mode, endpoint.account)
            for path, endpoint in providers.endpoints(configuration).items()
        }
    except providers.EndpointError as error:
        settings.refuse_to_start([str(error)])
    connections = await pool.create_pool(
        configuration.database_url, "sluice_worker", "sluice-worker", size_max=_CONNECTIONS_MAX
    )
    drainer = Drainer(connections, expected)
    sweep = Sweep(connections, drainer)
    partitions, retention = Partitions(connections), Retention(configuration)
    telemetry.logger().info("working", instance=process.instance())
    async with callers.opened(configuration) as calling:
        loops = [
            asyncio.create_task(drainer.run(stop, configuration.sweep_interval_s)),
            asyncio.create_task(process.every(configuration.sweep_interval_s, stop, "sweep", sweep.run_once)),
            asyncio.create_task(process.every(_PARTITIONS_EVERY_S, stop, "partitions", partitions.run_once)),
            asyncio.create_task(process.every(_RETENTION_EVERY_S, stop, "retention", retention.run_once)),
            asyncio.create_task(bell.run(configuration.redis_url, drainer, stop)),
            *_outbox_loops(connections, calling, drainer, stop),
        ]
        await stop.wait()
        await asyncio.wait(loops, timeout=_STOP_S)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    await operations.stop_beating(connections, "worker", process.instance())
    connections.terminate()
    telemetry.logger().info("stopped")
    return 0


def _outbox_loops(
    connections: pool.type_pool, calling: Mapping[str, Caller], drainer: Drainer, stop: asyncio.Event
) -> list[asyncio.Task[None]]:
    """One loop per PSP, so that a slow one holds up no other, and one that tells of calls nobody can make."""
    loops = [
        process.every(
            _EFFECTS_EVERY_S,
            stop,
            f"effects {source}",
            Effects(connections, source, caller, drainer.wake.set, "worker").run_once,
        )
        for source, caller in calling.items()
    ]

    async def unconfigured() -> None:
        await look_for_unconfigured(connections, calling)

    loops.append(process.every(limits.effect_unconfigured_every_s, stop, "unconfigured", unconfigured))
    return [asyncio.create_task(loop) for loop in loops]


def main() -> int:
    """Run a worker to its end; returns the exit code."""
    configuration = settings.load_or_exit()
    gc.freeze()  # what start-up has made stays until the end
    gc.set_threshold(_GC_OBJECTS)
    return process.run("worker", lambda stop: work(configuration, stop))


if __name__ == "__main__":
    sys.exit(main())
