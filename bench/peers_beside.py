"""Bench `peers`: the same events into what people use today, each set up as its documents say, on the same
Postgres.

Every receiver gets an event that it supports (`customer.updated`), signed with its own secret, distinct
each time.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from bench import bodies
from bench.figures import Result, Table, median, ratio, shown
from bench.installed_peers import DJSTRIPE, TUTORIAL, NotInstalledError, peers
from bench.load import Order
from bench.measured import Plan, Series, measure
from bench.psp import Psp, start_psp
from bench.rig import Rig, RigError, Running
from db import embedded

HERE = Path(__file__).parent / "peers"
ENDPOINT = "8b1a9953-c461-4296-a827-abf8c47804d7"
STRIPE_KEY = "sk_test_0123456789abcdefghijklmnop"
_PER_S_MAX = {"sluice": 45_000, "supabase": 6_000, "dj-stripe": 1_500, "tutorial": 2_500}
_SEVERAL_PROCESSES = ("dj-stripe",)
RATIOS = {"supabase": "over_supabase", "dj-stripe": "over_djstripe", "tutorial": "over_tutorial"}


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver under load; `psp` is whom it asks while it receives, if it does. `backfill` is its command
    that reads one subscription at the PSP; `{}` stands for the id.
    """

    name: str
    running: Running
    path: str
    dsn: str
    backfill: tuple[str, ...]
    psp: Psp | None = None


async def start_sluice(rig: Rig) -> Receiver:
    """Ours, one process."""
    dsn = await rig.database()
    backfill = ("-m", "reconciler", "run", "--object", "subscription:{}")
    return Receiver("sluice", await rig.start_receiver(dsn), "/webhooks/stripe", dsn, backfill)


async def start_supabase(rig: Rig) -> Receiver:
    """The engine behind Node's http server. Raises NotInstalledError, RigError."""
    folder = await peers().supabase()
    dsn, port = await rig.empty_database(), embedded.free_port()
    environment = {
        "DATABASE_URL": dsn,
        "PEER_FOLDER": str(folder),
        "STRIPE_SECRET_KEY": STRIPE_KEY,
        "STRIPE_WEBHOOK_SECRET": bodies.SECRET,
        "NODE_ENV": "production",
    }
    node = ("/usr/bin/env", "node", str(HERE / "supabase.cjs"))
    running = await rig.start_listening("supabase", *node, str(port), environment=environment, port=port)
    return Receiver("supabase", running, "/", dsn, (*node, "sync", "{}"))


async def start_djstripe(rig: Rig) -> Receiver:
    """Django under gunicorn with two workers, and a PSP to ask. Raises NotInstalledError, RigError."""
    programs = await peers().python("djstripe", DJSTRIPE)
    dsn, port, psp = await rig.empty_database(), embedded.free_port(), await start_psp(rig)
    environment = {
        "DATABASE_URL": dsn,
        "STRIPE_SECRET_KEY": STRIPE_KEY,
        "STRIPE_WEBHOOK_SECRET": bodies.SECRET,
        "STRIPE_API_BASE": psp.url,
        "PYTHONPATH": str(HERE),
    }
    site = (str(programs / "python"), str(HERE / "djstripe_site.py"))
    await rig.run_to_end("djstripe-setup", *site, environment=environment)
    running = await rig.start_listening(
        "djstripe",
        str(programs / "gunicorn"),
        "-w",
        "2",
        "-b",
        f"127.0.0.1:{port}",
        "--keep-alive",
        "75",
        "--threads",
        "32",
        "djstripe_site:application",
        environment=environment,
        port=port,
    )
    path = f"/stripe/webhook/{ENDPOINT}/"
    return Receiver("dj-stripe", running, path, dsn, (*site, "sync", "{}"), psp)


async def start_tutorial(rig: Rig) -> Receiver:
    """FastAPI under uvicorn, one worker. Raises NotInstalledError, RigError."""
    programs = await peers().python("tutorial", TUTORIAL)
    dsn, port = await rig.empty_database(), embedded.free_port()
    environment = {
        "DATABASE_URL": dsn,
        "REDIS_URL": rig.redis_url(3),
        "STRIPE_WEBHOOK_SECRET": bodies.SECRET,
        "PYTHONPATH": str(HERE),
    }
    running = await rig.start_listening(
        "tutorial",
        str(programs / "uvicorn"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--log-level",
        "warning",
        "--no-access-log",
        "tutorial:app",
        environment=environment,
        port=port,
    )
    return Receiver("tutorial", running, "/webhooks/stripe", dsn, ())


async def run(rig: Rig, plan: Plan) -> Result:
    """Measure all that can be had here, in turn."""
    missing: dict[str, str] = {}
    receivers = [await start_sluice(rig)]
    starts = {"supabase": start_supabase, "dj-stripe": start_djstripe, "tutorial": start_tutorial}
    for place, (name, start) in enumerate(starts.items()):
        plan.show("installing peers", place, len(starts))
        if plan.smoke:
            missing[name] = "a smoke run installs nothing"
            continue
        try:
            receivers.append(await start(rig))
        except (NotInstalledError, RigError) as error:
            missing[name] = str(error)
    series = {receiver.name: Series(receiver.name) for receiver in receivers}
    calls = dict.fromkeys(series, 0)
    for number in range(plan.rounds):
        for place, receiver in enumerate(receivers):
            plan.show("peers", number * len(receivers) + place, plan.rounds * len(receivers))
            before = await _psp_calls(receiver)
            pids, alone = [receiver.running.pid], receiver.name not in _SEVERAL_PROCESSES
            await rig.settle()
            await measure(rig, series[receiver.name], pids, _order(receiver, plan), alone)
            calls[receiver.name] += await _psp_calls(receiver) - before
    plan.show("peers", 1, 1)
    for receiver in receivers:
        await rig.end(receiver.running)
    return _result(series, calls, missing)


def _order(receiver: Receiver, plan: Plan) -> Order:
    seconds, warm_s = plan.seconds(2.5), plan.seconds(0.5, 0.2)
    return Order(
        port=receiver.running.port,
        path=receiver.path,
        run=secrets.token_hex(4),
        kind="customer",
        first=secrets.randbelow(90_000_000),
        seconds=seconds,
        warm_s=warm_s,
        requests_max=int(_PER_S_MAX[receiver.name] * (seconds + warm_s)),
    )


async def _psp_calls(receiver: Receiver) -> int:
    return 0 if receiver.psp is None else await receiver.psp.calls()


def _result(series: dict[str, Series], calls: dict[str, int], missing: dict[str, str]) -> Result:
    ours = series["sluice"].per_s
    ratios: dict[str, float | None] = {
        key: ratio(ours, series[name].per_s) if name in series else None for name, key in RATIOS.items()
    }
    rows = [
        (
            name,
            shown(median(each.per_s), 0),
            shown(ratio(ours, each.per_s)),
            shown(median(each.p99_ms)),
            shown(calls[name] / max(1, each.acknowledged)),
            shown(median(each.receiver_share)),
            shown(median(each.postgres_share)),
            shown(each.load_share),
            str(each.refused),
        )
        for name, each in series.items()
    ]
    columns = (
        "receiver",
        "ack/s",
        "sluice is × as fast",
        "p99 ms",
        "PSP calls an event",
        "CPU receiver",
        "CPU Postgres",
        "CPU load",
        "not acknowledged",
    )
    note = (
        "Saturated, 64 connections; dj-stripe in two processes of 32 threads on all processors, all others "
        "in one process with a processor to itself."
    )
    return Result(
        "peers",
        ratios,
        {name: each.json() | {"psp_calls": calls[name]} for name, each in series.items()},
        [Table("peers: the same 3 KB event into what people use today", columns, rows, (note,))],
        missing,
    )
