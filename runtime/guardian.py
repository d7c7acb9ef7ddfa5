"""Ends the processes of a run when nobody else can; must never touch what it cannot prove to be ours.

Standard library only and free of our other modules: `run.py` uses it before there is a virtual environment.
As a program (`python -m runtime.guardian DIR`) it waits until its standard input closes, then ends what DIR
records: the test suite's safety net against its own sudden death.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

CHILD_MARK = "SLUICE_CHILD_OF"
"""Environment variable that every child carries, with the run's directory as value. It finds children of
children, and a child whose parent was killed between starting and recording it (Linux; elsewhere the record
must do)."""

LIFELINE_VARIABLE = "SLUICE_LIFELINE"
"""Names the file descriptor of a pipe whose other end only `run.py` holds: end of file means that it is
gone."""

poll_s = 0.03
"""How often a process that was told to go is looked at; nobody notices a thirtieth of a second."""
previous_run_wait_s = 30.0
"""How long a start waits for a run that is shutting down: Postgres may write a checkpoint meanwhile."""
holder_grace_s = 1.0
"""How long a healthy-looking holder gets to notice that its front was killed, before we refuse to start."""

type_say = Callable[[str], None]
type_ladder = tuple[tuple[int, float], ...]
"""Signals that end a process, each with the seconds before the next; SIGKILL goes to the whole group."""

ladder_app: type_ladder = ((signal.SIGTERM, 12.0), (signal.SIGKILL, 5.0))
"""Applications drain for at most 10 s by themselves; 12 s is that plus a slow machine."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of ours; `born` tells it from a later one with the same pid, low `wave`s end first."""

    name: str
    pid: int
    born: str
    wave: int
    ladder: type_ladder


def state_dir(root: Path, environment: Mapping[str, str]) -> Path:
    """Where a clone keeps its data, secrets and logs: `.local`, or SLUICE_STATE_DIR."""
    return Path(environment.get("SLUICE_STATE_DIR") or root / ".local").resolve()


def born(pid: int) -> str | None:
    """When the process started, as a text that differs after pid reuse or a reboot; None when it is gone."""
    if sys.platform == "linux":
        try:
            # The program's name stands in parentheses and may itself hold spaces and parentheses.
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            fields = stat.rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        return None if fields[0] in ("Z", "X") else f"{boot}/{fields[19]}"
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    state, _, started = shown.partition(" ")
    return None if state.startswith("Z") else started.strip() or None


def command_line(pid: int) -> str:
    """The program and arguments of a process, joined by spaces; empty when it is gone or not ours to see."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    return subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout


def working_in(directory: Path) -> list[int]:
    """Processes whose current directory is exactly `directory` (Linux; elsewhere always empty)."""
    found = []
    for entry in _proc_entries():
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd") == str(directory):
                found.append(int(entry.name))
    return found


def marked(run_dir: Path) -> list[int]:
    """Processes with the mark of `run_dir`, without this one and its parent (Linux; elsewhere empty)."""
    mark = f"{CHILD_MARK}={run_dir}".encode()
    found = []
    for entry in _proc_entries():
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return [pid for pid in found if pid not in (os.getpid(), os.getppid()) and born(pid) is not None]


def _proc_entries() -> list[Path]:
    if sys.platform != "linux":
        return []
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def send(pid: int, number: int) -> None:
    """Send a signal; SIGKILL goes to the group that the process leads, so that nothing of it is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if number == signal.SIGKILL and os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def end(children: Iterable[Child]) -> list[Child]:
    """Walk every child's ladder at the same time until it is gone; returns those that would not die."""
    alive = {child: 0 for child in children if born(child.pid) == child.born}
    due = dict.fromkeys(alive, 0.0)
    while alive:
        now = time.monotonic()
        for child in [child for child in alive if now >= due[child]]:
            step = alive[child]
            if step == len(child.ladder):
                del alive[child]
                continue
            number, patience_s = child.ladder[step]
            send(child.pid, number)
            alive[child], due[child] = step + 1, now + patience_s
        time.sleep(poll_s)
        alive = {child: step for child, step in alive.items() if born(child.pid) == child.born}
    return [child for child in due if born(child.pid) == child.born]


class Children:
    """The children of one run, kept in the file `children` of its directory for a survivor to end them."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir.resolve()
        self._file = self.run_dir / "children"
        self._known: dict[int, Child] = {}

    def add(self, name: str, pid: int, wave: int = 0, ladder: type_ladder = ladder_app) -> None:
        """Record a child that was just started; one that is already gone is not recorded."""
        started = born(pid)
        if started is not None:
            self._known[pid] = Child(name, pid, started, wave, ladder)
            self._write()

    def remove(self, pid: int) -> None:
        """Forget a child that has ended."""
        if self._known.pop(pid, None) is not None:
            self._write()

    def recorded(self) -> list[Child]:
        """What the file says; a missing or torn file is an empty one, the mark finds the rest."""
        try:
            rows = [json.loads(line) for line in self._file.read_text(encoding="utf-8").splitlines()]
            return [Child(**{**row, "ladder": tuple((n, s) for n, s in row["ladder"])}) for row in rows]
        except (OSError, ValueError, TypeError, KeyError):
            return []

    def end_leftovers(self, say: type_say) -> None:
        """End every recorded child wave by wave, then whatever else carries the mark; empty the record."""
        recorded = [child for child in self.recorded() if born(child.pid) == child.born]
        if recorded:
            say(f"stopping what an earlier run left behind: {', '.join(child.name for child in recorded)}")
        stubborn: list[Child] = []
        for wave in sorted({child.wave for child in recorded}):
            stubborn += end(child for child in recorded if child.wave == wave)
        strays = [Child("stray", pid, born(pid) or "", 0, ladder_app) for pid in marked(self.run_dir)]
        stubborn += end(strays)
        for child in stubborn:
            say(f"{child.name} (pid {child.pid}) of an earlier run does not end; end it by hand")
        self._known.clear()
        with contextlib.suppress(FileNotFoundError):
            self._file.unlink()

    def _write(self) -> None:
        self.run_dir.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(
            "".join(json.dumps(asdict(child)) + "\n" for child in self._known.values()), encoding="utf-8"
        )
        fresh.replace(self._file)


class RunHeldError(Exception):
    """Another run holds the state directory; the text says which and what to do."""


class RunLock:
    """One run at a time per state directory: an flock that dies with its holder and tells its state."""

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._file = run_dir / "lock"
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_take(self, state: str = "running") -> bool:
        """Take the lock if it is free and mark it with what we are doing."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self.mark(state)
        return True

    def take(self, say: type_say) -> None:
        """Take the lock, waiting only for a holder that is stopping; raises RunHeldError."""
        began = time.monotonic()
        told = False
        while not self.try_take():
            pid, _, state = self._file.read_text(encoding="ascii", errors="replace").strip().partition(" ")
            waited_s = time.monotonic() - began
            if state != "stopping" and waited_s > holder_grace_s:
                where = self._file.parent.parent
                raise RunHeldError(f"another run (pid {pid or 'unknown'}) is using {where}; stop it first")
            if waited_s > previous_run_wait_s:
                raise RunHeldError(f"the previous run (pid {pid}) is still stopping after {waited_s:.0f} s")
            if state == "stopping" and not told:
                say(f"waiting at most {previous_run_wait_s:.0f} s for the previous run (pid {pid}) to stop")
                told = True
            time.sleep(poll_s)

    def mark(self, state: str) -> None:
        """Tell who waits what the holder is doing: `running` or `stopping`."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()} {state}\n".encode(), 0)

    def close(self) -> None:
        """Give the lock up."""
        os.close(self._descriptor)


def main() -> None:
    """Wait for the end of standard input, then end the children recorded in the directory given."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it must outlive the Ctrl-C that ends its parent
    sys.stdin.buffer.read()
    Children(Path(sys.argv[1])).end_leftovers(lambda _: None)


if __name__ == "__main__":
    main()
