"""Keeps a set of programs alive and ends them in order; must never know what they do or are called."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from runtime import guardian

EXIT_BAD_SETTINGS = 78
"""EX_CONFIG of sysexits.h: starting the program again would only repeat the complaint."""

backoff_first_s = 0.2
backoff_max_s = 5.0
"""Delays between restarts double from the first to the cap."""
backoff_reset_after_s = 30.0
"""A program that lived this long begins again with the first delay."""
first_start_attempts_max = 3
"""How often a program that others wait for may die before it first answers; more only hides the reason."""
answer_poll_s = 0.05
"""How often a starting program is asked whether it is ready."""
line_bytes_max = 65_536
"""A longer line of output is shown in pieces, so that a program without line ends cannot fill our memory."""
drain_s_max = 0.5
"""How long the last words of a dead program are waited for; something else may still hold its output open."""
tail_lines_max = 20
"""Last lines of a log shown when its program failed."""

T = TypeVar("T")


class StopRequestedError(Exception):
    """Somebody asked for the end while something was being waited for."""


class StartFailedError(Exception):
    """A program that others need cannot be started; the text says why. Also what `prepare` raises."""


@dataclass(frozen=True)
class Program:
    """One program: how to start it, where its words go, how to end it.

    `wave`: low numbers end first. `log`: None means the terminal, each line behind the program's name;
    `owns_terminal` hands our own output over instead. `prepare` and `answers` may block; they run in a
    thread, before each start and until the program is ready. `signal_group`: argv is a shell that stays, so
    gentle signals must reach its children too. `hurried`: killed at once when the end is asked for a second
    time.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    wave: int
    ladder: guardian.type_ladder = guardian.ladder_app
    log: Path | None = None
    owns_terminal: bool = False
    signal_group: bool = False
    hurried: bool = False
    prepare: Callable[[], None] | None = None
    answers: Callable[[], bool] | None = None
    user: int | None = None
    group: int | None = None


@dataclass(eq=False)
class _Life:
    """A program under supervision, across its restarts."""

    program: Program
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[Any] | None = None
    failure: str = ""
    log_offset: int = 0


class Supervisor:
    """Starts programs, restarts what dies, ends everything wave by wave.

    `say` shows one line about the run itself, `show` one line of a program under its name.
    """

    def __init__(
        self, children: guardian.Children, say: Callable[[str], None], show: Callable[[str, str], None]
    ) -> None:
        self.stopping = asyncio.Event()
        self.refused = False
        self._hurry = asyncio.Event()
        self._children = children
        self._say = say
        self._show = show
        self._lives: list[_Life] = []

    def request_stop(self, again_means_hurry: bool = True) -> None:
        """Ask for the end; asked again, programs that may be hurried are killed at once."""
        if self.stopping.is_set() and again_means_hurry:
            self._hurry.set()
        self.stopping.set()

    async def start(self, program: Program) -> None:
        """Start a program and keep it alive from now on; one that has `answers` is ready on return.

        Raises StartFailedError when such a program cannot be brought up, StopRequestedError when the end
        comes first.
        """
        life = self._new_life(program)
        life.keeper = asyncio.create_task(self._keep(life), name=program.name)
        life.keeper.add_done_callback(self._keeper_ended)
        if program.answers is not None:
            await self.or_stop(life.ready.wait())
            if life.failure:
                raise StartFailedError(life.failure)

    async def run_to_end(self, program: Program) -> int:
        """Run a program once and return its exit status, negative for a signal.

        Raises StartFailedError when it cannot be started at all, StopRequestedError when the end comes first.
        """
        life = self._new_life(program)
        once: asyncio.Task[int | None] = asyncio.create_task(self._live_once(life), name=program.name)
        life.keeper = once
        try:
            # Shielded: when the end is asked for, `stop` walks the program down its ladder like any other.
            status = await self.or_stop(_outcome(asyncio.shield(once)))
        except OSError as error:
            self._lives.remove(life)
            raise StartFailedError(f"{program.name} cannot be started: {error}") from error
        if status == EXIT_BAD_SETTINGS:
            self._refuse(life)
        self._lives.remove(life)
        if status is None or self.refused:
            raise StopRequestedError
        return status

    async def or_stop(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. Cancels it and raises StopRequestedError when the end is asked for first."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise StopRequestedError
            return task.result()
        finally:
            stop.cancel()
            task.cancel()
            await asyncio.wait({task, stop})

    async def stop(self) -> None:
        """End everything, wave by wave; returns when nothing that was started is left."""
        self.stopping.set()
        faults: list[BaseException] = []
        for wave in sorted({life.program.wave for life in self._lives}):
            ending = (self._end(life) for life in self._lives if life.program.wave == wave)
            ended = await asyncio.gather(*ending, return_exceptions=True)
            faults += [fault for fault in ended if fault is not None]
        if faults:
            raise faults[0]

    def tail(self, program: Program) -> list[str]:
        """The last lines that the program has written to its log since its last start."""
        if program.log is None or not program.log.exists():
            return []
        offset = next((life.log_offset for life in self._lives if life.program is program), 0)
        written = program.log.read_bytes()[offset:]
        return written.decode(errors="replace").splitlines()[-tail_lines_max:]

    def _new_life(self, program: Program) -> _Life:
        if program.log is not None:
            program.log.parent.mkdir(parents=True, exist_ok=True)
            if program.log.exists():  # the run before this one stays readable
                program.log.replace(program.log.with_name(f"{program.log.name}.1"))
        life = _Life(program)
        self._lives.append(life)
        return life

    async def _keep(self, life: _Life) -> None:
        """Start the program again and again, ever more slowly, until the end or until it refuses to."""
        delay_s, attempts = backoff_first_s, 0
        while not self.stopping.is_set():
            began = time.monotonic()
            attempts += 1
            prepared = True
            try:
                status = await self._live_once(life)
                reason = "" if status is None else _in_words(status)
            except (StartFailedError, OSError) as error:
                status, reason, prepared = None, f"cannot be started: {error}", False
            if self.stopping.is_set():
                return
            if status == EXIT_BAD_SETTINGS:
                self._refuse(life)
                return
            answered_once = life.program.answers is None or life.ready.is_set()
            if not answered_once and (attempts == first_start_attempts_max or not prepared):
                life.failure = "\n".join([f"{life.program.name} {reason}", *self.tail(life.program)])
                life.ready.set()
                return
            if time.monotonic() - began > backoff_reset_after_s:
                delay_s = backoff_first_s
            where = f"; see {life.program.log}" if life.program.log is not None else ""
            self._say(f"{life.program.name} {reason}, restarting in {delay_s:g} s{where}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), delay_s)
            delay_s = min(delay_s * 2, backoff_max_s)

    async def _live_once(self, life: _Life) -> int | None:
        """One life from start to death; None when the end was asked for before it began."""
        program = life.program
        async with life.starting:
            if program.prepare is not None:
                await asyncio.to_thread(program.prepare)
            if self.stopping.is_set():
                return None
            process, drained = await self._spawn(life)
            life.process = process
        probe = asyncio.create_task(self._probe(life, process))
        status = await process.wait()
        life.process = None
        # What it started and did not end would fight its successor over ports and files.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._children.remove(process.pid)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(drained.wait(), drain_s_max)
        await asyncio.wait({probe})
        return status

    async def _spawn(self, life: _Life) -> tuple[asyncio.subprocess.Process, asyncio.Event]:
        """Start the process in its own session and record it; the event tells that its output has ended."""
        program = life.program
        drained = asyncio.Event()
        output: int | None = None
        if program.log is not None:
            output = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            life.log_offset = os.fstat(output).st_size
            drained.set()
        elif program.owns_terminal:
            drained.set()
        else:
            reading, output = os.pipe()
            lines = _Lines(lambda line: self._show(program.name, line), drained)
            await asyncio.get_running_loop().connect_read_pipe(lambda: lines, os.fdopen(reading, "rb"))
        try:
            process = await asyncio.create_subprocess_exec(
                *program.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                cwd=program.cwd,
                env={**program.env, guardian.CHILD_MARK: str(self._children.run_dir)},
                start_new_session=True,
                user=program.user,
                group=program.group,
                extra_groups=None if program.group is None else [],
            )
        finally:
            if output is not None:
                os.close(output)
        self._children.add(program.name, process.pid, program.wave, program.ladder)
        return process, drained

    async def _probe(self, life: _Life, process: asyncio.subprocess.Process) -> None:
        """Find out when the program is ready; ends with the process at the latest."""
        answers = life.program.answers
        if answers is None:
            return
        while process.returncode is None:
            if await asyncio.to_thread(answers):
                if life.ready.is_set():
                    self._say(f"{life.program.name} is back")
                life.ready.set()
                return
            await asyncio.sleep(answer_poll_s)

    async def _end(self, life: _Life) -> None:
        """Walk one program down its ladder and wait until its keeper has let go."""
        async with life.starting:  # a start under way is completed first, then there is something to end
            process = life.process
        if process is not None:
            gone: asyncio.Task[Any] = asyncio.create_task(process.wait())
            hurry: asyncio.Task[Any] = asyncio.create_task(self._hurry.wait())
            for number, patience_s in life.program.ladder:
                if process.returncode is not None:
                    break
                if life.program.signal_group and number != signal.SIGKILL:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, number)
                else:
                    guardian.send(process.pid, number)
                events = {gone, hurry} if life.program.hurried else {gone}
                await asyncio.wait(events, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            hurry.cancel()
        if life.keeper is not None:
            await life.keeper

    def _refuse(self, life: _Life) -> None:
        self.refused = True
        self._say(f"{life.program.name} refuses its settings (exit {EXIT_BAD_SETTINGS})")
        for line in self.tail(life.program):
            self._say(f"  {line}")
        self.stopping.set()

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        """A keeper that fell over leaves a program unwatched: all stops and `stop` raises its error."""
        if not keeper.cancelled() and keeper.exception() is not None:
            self.stopping.set()


class _Lines(asyncio.Protocol):
    """Cuts what a program writes into lines."""

    def __init__(self, show: Callable[[str], None], drained: asyncio.Event) -> None:
        self._show = show
        self._drained = drained
        self._held = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._held = (self._held + data).split(b"\n")
        if len(self._held) > line_bytes_max:
            lines, self._held = [*lines, self._held], b""
        for line in lines:
            self._show(line.decode(errors="replace").rstrip("\r"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._held:
            self._show(self._held.decode(errors="replace"))
        self._drained.set()


async def _outcome(task: asyncio.Future[T]) -> T:
    return await task


def _in_words(status: int) -> str:
    if status < 0:
        return f"was killed ({signal.Signals(-status).name})"
    return f"died (exit {status})" if status else "ended (exit 0)"
