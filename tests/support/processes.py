"""Starts our processes as real children of a test and never lets one outlive it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from runtime import guardian
from tests.support.poll import until

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Running:
    """A started process: its pid, its output so far, and the ways to end it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def output(self) -> str:
        """What it has written to standard output and error so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: int) -> None:
        """Send it a signal; SIGKILL goes to its whole group."""
        guardian.send(self.pid, number)

    async def ended(self, seconds: float = 20.0) -> int:
        """Wait for its end and return the exit status, negative for a signal."""
        await until(
            lambda: self.process.poll() is not None, seconds, f"the end of {self.name}:\n{self.output()}"
        )
        return self.process.wait()


class Processes:
    """Makes Running processes for one test; `children` lets a guardian end them should the test run be
    killed."""

    def __init__(self, directory: Path, children: guardian.Children) -> None:
        self._directory = directory
        self._children = children
        self._started: list[Running] = []

    def start(
        self,
        *arguments: str,
        environment: Mapping[str, str | None],
        name: str = "",
        cwd: Path = ROOT,
        output: int | None = None,
    ) -> Running:
        """Run our Python with `arguments`, such as `"-m", "ingest"`; a variable set to None is taken away.

        Its output is kept for `Running.output()`, unless a descriptor is given that takes it instead.
        """
        name = name or arguments[-1]
        log = self._directory / f"{len(self._started)}-{name.replace('/', '_')}.log"
        merged = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        with log.open("wb") as kept:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=kept if output is None else output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={key: value for key, value in merged.items() if value is not None}
                | {guardian.CHILD_MARK: str(self._children.run_dir)},
                start_new_session=True,
            )
        running = Running(name, process, log)
        self._started.append(running)
        self._children.add(name, process.pid)
        return running

    async def start_ready(
        self, *arguments: str, url: str, environment: Mapping[str, str | None], seconds: float = 30.0
    ) -> Running:
        """The same, then wait until `url` answers 200."""
        running = self.start(*arguments, environment=environment)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as client:

            async def answers() -> bool:
                assert running.process.poll() is None, f"{running.name} ended early:\n{running.output()}"
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(url) as response:
                        return response.status == 200
                return False

            await until(answers, seconds, f"{url} to answer 200:\n{running.output()}")
        return running

    async def end_all(self) -> None:
        """End everything that was started here and still runs, gently first."""
        pids = [running.pid for running in self._started]
        leftover = [child for child in self._children.recorded() if child.pid in pids]
        await asyncio.to_thread(guardian.end, leftover)
        for running in self._started:
            running.process.wait()
            self._children.remove(running.pid)


@contextlib.asynccontextmanager
async def processes_in(directory: Path, children: guardian.Children) -> AsyncIterator[Processes]:
    """Processes that are ended when the block is left, whatever happened inside."""
    processes = Processes(directory, children)
    try:
        yield processes
    finally:
        await processes.end_all()
