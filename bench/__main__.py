"""`python -m bench`: runs benches, prints tables, writes JSON and `docs/benchmarks.md`. Measures nothing
itself.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TextIO

import msgspec
import structlog
import uvloop

from bench import apply, conformance, end_to_end, growth, machine, peers_beside, receive
from bench.document import write_section
from bench.figures import Result
from bench.measured import Plan, place
from bench.rig import Rig, RigError, rig_in
from db.wheels import EmbeddedError
from psp.sandbox.demo_progress import Progress
from runtime import clock

type_bench = Callable[[Rig, Plan], Awaitable[Result]]

BENCHES: dict[str, type_bench] = {
    "receive": receive.run,
    "apply": apply.run,
    "end_to_end": end_to_end.run,
    "peers": peers_beside.run,
    "conformance": conformance.run,
    "growth": growth.run,
}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The bench and its options."""
    parser = argparse.ArgumentParser(
        prog="python3 run.py bench", description="Ratios in one run on one machine."
    )
    parser.add_argument("name", nargs="?", default="all", choices=[*BENCHES, "all"])
    parser.add_argument("--json", metavar="PATH", help="write the figures there; - for standard output")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes; proves nothing")
    parser.add_argument("--rows-max", type=int, default=10_000_000, help="largest database of growth")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace, out: TextIO) -> dict[str, Result]:
    """Run the chosen benches in one scratch world and print each one's tables at once."""
    async with rig_in(end_to_end.settings) as rig:
        return await _run_on(rig, options, out)


async def _run_on(rig: Rig, options: argparse.Namespace, out: TextIO) -> dict[str, Result]:
    progress = Progress(sys.stderr)
    plan = Plan(options.smoke, progress.show, options.rows_max)
    results = {}
    for name in BENCHES if options.name == "all" else [options.name]:
        place(rig, [], apart=False)  # whatever the bench before has asked for
        results[name] = await BENCHES[name](rig, plan)
        await rig.end_all()
        progress.end()
        out.writelines(f"\n{table.text()}\n" for table in results[name].tables)
        out.writelines(f"\nnot measured: {what}: {why}\n" for what, why in results[name].missing.items())
        out.write(f"\nratios of {name}: {_shown(results[name])}\n")
        out.flush()
        if options.write_docs and not options.smoke:
            write_section(results[name], report({}, smoke=False))
    return results


def _shown(result: Result) -> str:
    return ", ".join(f"{name} {'-' if value is None else value}" for name, value in result.ratios.items())


def report(results: dict[str, Result], smoke: bool) -> dict[str, object]:
    """The JSON: the `ratios` of all benches that ran, whose names differ, then what each was made of."""
    return {
        "at": clock.now().isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "machine": machine.described(),
        "smoke": smoke,
        "ratios": {name: value for result in results.values() for name, value in result.ratios.items()},
        "benches": {name: result.json() for name, result in results.items()},
    }


def main() -> int:
    """The exit status: 1 when something of the scratch world failed."""
    options = parse(sys.argv[1:])
    out = sys.stderr if options.json == "-" else sys.stdout
    # What works in this process tells of every round; the table is what is asked for.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            results = runner.run(run(options, out))
    except (RigError, EmbeddedError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    whole = report(results, options.smoke)
    if options.json == "-":
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")
    elif options.json:
        Path(options.json).write_bytes(msgspec.json.format(msgspec.json.encode(whole)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
