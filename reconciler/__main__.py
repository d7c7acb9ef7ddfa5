"""`python -m reconciler`: runs at every interval; `python -m reconciler run` runs once and says what it
found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from uuid import uuid4

from db import operations, pool
from db.findings import PHASES, Order
from reconciler.runs import Reconciler
from runtime import clock, limits, process, settings, telemetry
from runtime.doorbell import Doorbell

_REQUESTED_EVERY_S = 1.0
"""An operator who asks for a run looks at the page; the look-up is one probe of an index that is empty."""


async def serve(configuration: settings.Settings, stop: asyncio.Event) -> int:
    """Run at every interval until `stop`, and beat."""
    connections = await pool.create_pool(
        configuration.database_url, "sluice_reconciler", "sluice-reconciler", size_max=2
    )
    doorbell = Doorbell(configuration.redis_url)
    reconciler = Reconciler(configuration, connections, doorbell)
    started_at = clock.now()

    async def beat() -> None:
        async with connections.acquire() as connection:
            await operations.beat(connection, "reconciler", process.instance(), started_at, reconciler.totals)

    async def run_once() -> None:
        await reconciler.run_once(
            Order(uuid4(), "interval", PHASES, dry_run=False), clock.now(), process.instance()
        )

    async def run_requested() -> None:
        await reconciler.run_requested(clock.now())

    telemetry.logger().info("reconciling", every_s=configuration.reconcile_interval_s)
    loops = [
        asyncio.create_task(process.every(limits.heartbeat_interval_s, stop, "beat", beat)),
        asyncio.create_task(process.every(_REQUESTED_EVERY_S, stop, "requested", run_requested)),
    ]
    if configuration.reconcile_worker_enabled:
        loops.append(
            asyncio.create_task(
                process.every(configuration.reconcile_interval_s, stop, "reconcile", run_once)
            )
        )
    await stop.wait()
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    await doorbell.close()
    connections.terminate()
    return 0


async def run(configuration: settings.Settings, phases: list[str], dry_run: bool, wanted: str | None) -> int:
    """One run by hand; prints its counts as JSON and returns 0, or 1 when no provider can be asked."""
    if configuration.stripe_secret_key is None:
        sys.stderr.write("no provider can be asked: STRIPE_SECRET_KEY is not set\n")
        return 1
    connections = await pool.create_pool(
        configuration.database_url, "sluice_reconciler", "sluice-reconciler", size_max=2
    )
    doorbell = Doorbell(configuration.redis_url)
    run_id = uuid4()
    counts = await Reconciler(configuration, connections, doorbell).run_once(
        Order(run_id, "command line", phases or PHASES, dry_run, wanted), clock.now()
    )
    sys.stdout.write(json.dumps({"run_id": str(run_id), "dry_run": dry_run, "counts": counts}) + "\n")
    await doorbell.close()
    await connections.close()
    return 0


def main() -> int:
    """Serve, or run once when asked to; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reconciler")
    commands = parser.add_subparsers(dest="command")
    once = commands.add_parser("run", help="run once, now")
    once.add_argument("--phase", action="append", default=[], choices=PHASES)
    once.add_argument("--dry-run", action="store_true", help="write findings only")
    once.add_argument("--object", metavar="KIND:ID", help="look for what is about this object only")
    arguments = parser.parse_args()
    configuration = settings.load_or_exit()
    if arguments.command == "run":
        return process.run(
            "reconciler",
            lambda _stop: run(configuration, arguments.phase, arguments.dry_run, arguments.object),
        )
    return process.run("reconciler", lambda stop: serve(configuration, stop))


if __name__ == "__main__":
    sys.exit(main())
