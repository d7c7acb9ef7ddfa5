"""`python -m reconciler`: runs at every interval and when asked to; `run` runs once and says what it found,
`explain` says why an object is what it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import datetime
from uuid import uuid4

from db import explain, operations, pool
from db.findings import PHASES, Order
from psp import providers
from reconciler import prove_commands, seal, seal_commands, watch
from reconciler.run import INTERVAL
from reconciler.runs import NOBODY_TO_ASK, Reconciler
from runtime import clock, limits, process, settings, telemetry
from runtime.doorbell import Doorbell

_REQUESTED_EVERY_S = 1.0
"""An operator who asks for a run looks at the page; the look-up is one probe of an index that is empty."""
COMMAND_LINE = "command line"
"""Who asked for a run by hand."""


async def serve(configuration: settings.Settings, stop: asyncio.Event) -> int:
    """Run at every interval and when asked, watch, and beat, until `stop`."""
    connections = await pool.create_pool(
        configuration.database_url, "sluice_reconciler", "sluice-reconciler", size_max=3
    )
    doorbell = Doorbell(configuration.redis_url)
    reconciler = Reconciler(configuration, connections, doorbell)
    started_at = clock.now()

    async def beat() -> None:
        async with connections.acquire() as connection:
            await operations.beat(connection, "reconciler", process.instance(), started_at, reconciler.totals)

    async def run_once() -> None:
        await reconciler.run_once(
            Order(uuid4(), INTERVAL, PHASES, dry_run=False), clock.now(), process.instance()
        )

    async def run_requested() -> None:
        await reconciler.run_requested(clock.now())

    async def look() -> None:
        await watch.watch_sources(connections, clock.now())

    telemetry.logger().info("reconciling", every_s=configuration.reconcile_interval_s)
    sealer = seal.Sealer(connections)
    loops = [
        process.every(limits.heartbeat_interval_s, stop, "beat", beat),
        process.every(_REQUESTED_EVERY_S, stop, "requested", run_requested),
        process.every(seal.seal_every_s, stop, "seal", sealer.run_once),
    ]
    if configuration.reconcile_worker_enabled:
        loops.append(process.every(configuration.reconcile_interval_s, stop, "reconcile", run_once))
        loops.append(process.every(configuration.sweep_interval_s, stop, "watch", look))
    tasks = [asyncio.create_task(loop) for loop in loops]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await operations.stop_beating(connections, "reconciler", process.instance())
    await doorbell.close()
    connections.terminate()
    telemetry.logger().info("stopped")
    return 0


async def run(configuration: settings.Settings, order: Order) -> int:
    """One run by hand; prints its record as JSON and returns 0 when it succeeded, else 1."""
    connections = await pool.create_pool(
        configuration.database_url, "sluice_reconciler", "sluice-reconciler", size_max=2
    )
    doorbell = Doorbell(configuration.redis_url)
    try:
        status, counts = await Reconciler(configuration, connections, doorbell).run_once(order, clock.now())
    finally:
        await doorbell.close()
        await connections.close()
    if not (configuration.stripe_secret_key or configuration.hyperswitch_enabled):
        sys.stderr.write(f"{NOBODY_TO_ASK}\n")
    told = {"run_id": str(order.id), "status": status, "dry_run": order.dry_run, "counts": dict(+counts)}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0 if status == "succeeded" else 1


async def explain_object(configuration: settings.Settings, named: str) -> int:
    """Print today's row of an object and everything that made it so, oldest first; 1 when there is none."""
    kind, _, object_id = named.partition(":")
    connection = await pool.connect(configuration.database_url, "sluice_reconciler", "sluice-explain")
    try:
        found = await explained(connection, kind, object_id)
    finally:
        await connection.close()
    for one in found:
        sys.stdout.write(json.dumps(one, default=_shown, indent=2) + "\n")
    if not found:
        sys.stderr.write(f"nothing is known of {named}\n")
    return 0 if found else 1


async def explained(connection: pool.type_connection, kind: str, object_id: str) -> list[dict[str, object]]:
    """The object, one per source, each with its history."""
    if kind == "account":
        account = await explain.read_account(connection, object_id)
        rows = [] if account is None else [(account[0], account[1])]
        return [{"kind": kind, "state": row, **_history(history)} for row, history in rows]
    if kind not in explain.OBJECT_KINDS:
        return []
    objects = await explain.read_object(connection, kind, object_id, None)
    return [{"kind": kind, "state": row, **_history(history)} for row, history in objects]


def _history(history: explain.History) -> dict[str, object]:
    transitions = sorted(history.transitions, key=lambda one: (one.at, one.log_id or 0, one.seq))
    movements = sorted(history.movements, key=lambda one: one.id)
    return {
        "transitions": transitions,
        "movements": movements,
        "calls": history.calls,
        "complete": history.complete,
    }


def _shown(value: object) -> object:
    """What JSON has no word for: times as ISO 8601, our rows by field."""
    if isinstance(value, datetime):
        return value.isoformat()
    slots = getattr(value, "__dataclass_fields__", None)
    return {name: getattr(value, name) for name in slots} if slots is not None else str(value)


def main() -> int:
    """Serve, or do once what is asked; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reconciler")
    commands = parser.add_subparsers(dest="command")
    once = commands.add_parser("run", help="run once, now")
    once.add_argument("--phase", action="append", default=[], choices=PHASES)
    once.add_argument("--dry-run", action="store_true", help="write findings only")
    once.add_argument("--object", metavar="KIND:ID", help="read that one object at the PSP, and repair it")
    why = commands.add_parser("explain", help="say why an object is what it is")
    why.add_argument("object", metavar="KIND:ID")
    prove_commands.add_to(commands)
    seal_commands.add_to(commands)
    arguments = parser.parse_args()
    configuration = settings.load_or_exit()
    try:
        providers.endpoints(configuration)
    except providers.EndpointError as error:
        settings.refuse_to_start([str(error)])
    if arguments.command == "prove":
        return process.run(
            "reconciler", lambda stop: prove_commands.run(configuration, arguments.since, stop)
        )
    if arguments.command == "verify-log":
        return _by_hand(lambda _stop: seal_commands.check(configuration, arguments.anchor))
    if arguments.command == "seal-head":
        return _by_hand(lambda _stop: seal_commands.head(configuration))
    if arguments.command == "run":
        order = Order(uuid4(), COMMAND_LINE, arguments.phase or PHASES, arguments.dry_run, arguments.object)
        return _by_hand(lambda _stop: run(configuration, order))
    if arguments.command == "explain":
        return _by_hand(lambda _stop: explain_object(configuration, arguments.object))
    return process.run("reconciler", lambda stop: serve(configuration, stop))


def _by_hand(command: process.type_main) -> int:
    """A command's exit status; 2 where the database does not answer, which says nothing about log or
    object.
    """
    away = (*pool.WORLD_IS_BUSY, pool.REFUSED)
    try:
        return process.run("reconciler", command, raises=away)
    except away as error:
        sys.stderr.write(f"cannot say: the database: {type(error).__name__}\n")
        return seal_commands.CANNOT_SAY


if __name__ == "__main__":
    sys.exit(main())
