"""`python -m tests.faults.campaign --runs N --seed S`: storms of faults for as long as you like, each with
a proof.

Prints one line per run with its seed; the same seed draws the same storm and the same stories, though not
the same interleaving of processes. Exit status 1 when any run broke a promise; its logs are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from runtime import guardian
from tests.faults.proof import drained, findings
from tests.faults.sender import Sender
from tests.faults.stack import SECRET, Stack, running_stack
from tests.faults.stories import Stories
from tests.faults.storm import draw_storm, let_loose
from tests.support.processes import ROOT

run_s_max = 240.0
"""A run that takes longer has failed."""


@dataclass
class Outcome:
    """What one run came to."""

    seed: int
    acknowledged: int = 0
    sent_away: int = 0
    unanswered: int = 0
    restarts: int = 0
    settled_s: float = 0.0
    faults: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "ok    " if not self.broken else "BROKEN"
        counts = (
            f"{self.acknowledged} acknowledged, {self.sent_away} sent away, {self.unanswered} unanswered, "
            f"{self.restarts} restarts, settled after {self.settled_s:.1f} s"
        )
        lines = [f"seed {self.seed}: {verdict} {counts}; {', '.join(self.faults)}"]
        return "\n".join([*lines, *(f"    {line}" for line in self.broken)])


async def weather(stack: Stack, outcome: Outcome, count: int, seconds: float) -> None:
    """One storm over a running stack, with its proof; fills in the outcome."""
    storm = draw_storm(outcome.seed, count, seconds)
    sender = Sender(stack.port, SECRET, Stories(outcome.seed, f"run{outcome.seed}"))
    try:
        await sender.start()
        outcome.faults = await let_loose(stack, storm)
        await stack.healed()
        healed = time.monotonic()
        await sender.finish()
        async with stack.connected() as connection:
            await drained(connection, sender.stories.owed)
            outcome.settled_s = time.monotonic() - healed
            outcome.broken += await findings(connection, sender.journal, sender.stories.owed)
    finally:
        await sender.abort()
        outcome.acknowledged = len(sender.journal.acknowledged)
        outcome.sent_away = sender.journal.answers[503]
        outcome.unanswered = sender.journal.answers[None]
        outcome.restarts = sum(kept.restarts for kept in stack.kept)


async def one_run(
    seed: int, count: int, seconds: float, directory: Path, children: guardian.Children
) -> Outcome:
    """A fresh stack, a storm, and what it came to; a run that cannot be finished is a broken one."""
    outcome = Outcome(seed)
    try:
        async with asyncio.timeout(run_s_max), running_stack(directory, children, workers=2) as stack:
            await weather(stack, outcome, count, seconds)
    except Exception as error:  # noqa: BLE001 - whatever a run meets is that run's outcome
        outcome.broken.append(f"{type(error).__name__}: {error}")
    return outcome


@contextlib.contextmanager
def guarded(directory: Path) -> Iterator[guardian.Children]:
    """A record of children that a guardian ends should this process be killed."""
    children = guardian.Children(directory)
    watcher = subprocess.Popen(
        [sys.executable, "-m", "runtime.guardian", str(children.run_dir)],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        yield children
    finally:
        assert watcher.stdin is not None
        watcher.stdin.close()
        watcher.wait()


def main() -> int:
    """Run the campaign; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="how many storms (default 10)")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the first; the next ones count up (default 1)"
    )
    parser.add_argument("--faults", type=int, default=6, help="faults per storm (default 6)")
    parser.add_argument("--seconds", type=float, default=12.0, help="within which they strike (default 12)")
    chosen = parser.parse_args()
    broken = acknowledged = 0
    for seed in range(chosen.seed, chosen.seed + chosen.runs):
        directory = Path(tempfile.mkdtemp(prefix=f"sluice-campaign-{seed}-"))
        with guarded(directory / "run") as children:
            outcome = uvloop.run(one_run(seed, chosen.faults, chosen.seconds, directory, children))
        print(outcome, flush=True)
        acknowledged += outcome.acknowledged
        if outcome.broken:
            broken += 1
            print(f"    logs: {directory}", flush=True)
        else:
            shutil.rmtree(directory)
    print(f"{chosen.runs} runs, {acknowledged} acknowledged deliveries, {broken} broken runs")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
