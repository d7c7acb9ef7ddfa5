"""A scratch copy of the project whose processes are small programs of a test: the stack is real, its cargo is
not."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import run
from runtime import guardian
from tests.support.poll import until
from tests.support.ports import free_ports
from tests.support.processes import ROOT, Processes, Running

start_s = 30.0
"""A stack is up in about two seconds; the rest is for a machine that does something else."""
end_s = 30.0

PLAIN_PROCFILE = """\
release: python -c "print('released')"
ingest: python -m http.server $INGEST_PORT --bind 127.0.0.1 --directory web
worker: python witness.py worker
"""

WITNESS = '''
"""Writes down its starts and its end; `holds` seconds pass between the request to end and the end."""
import os, signal, socket, sys, time
from urllib.parse import urlsplit
name, holds = sys.argv[1], float((sys.argv[2:] or ["0"])[0])
def note(what):
    with open("witnessed", "a") as out:
        out.write(f"{name} {what} {os.getpid()}\\n")
def end(*_):
    address = urlsplit(os.environ["DATABASE_URL"])
    socket.create_connection((address.hostname, address.port), 2).close()
    time.sleep(holds)
    note("ended")
    raise SystemExit(0)
signal.signal(signal.SIGTERM, end)
note("started")
while True:
    time.sleep(60)
'''


class Clone:
    """The copy, with a virtual environment of its own that borrows the packages of ours."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        self.root = directory / "clone"
        self.state = self.root / ".local"
        self._processes = processes
        self.ingest_port, self.api_port, self.sandbox_port = free_ports(3)
        self.root.mkdir()
        for part in ("db", "runtime", "requirements"):
            shutil.copytree(ROOT / part, self.root / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "run.py", self.root)
        self.write("witness.py", WITNESS)
        self.write("web/health/ready", "yes")
        self.write("Procfile", PLAIN_PROCFILE)

    def borrow_packages(self) -> None:
        """Make `.venv` as if run.py had installed the product's packages there."""
        venv = self.root / ".venv"
        (venv / "bin").mkdir(parents=True)
        shutil.copy(Path(sys.prefix) / "pyvenv.cfg", venv)
        (venv / "lib").symlink_to(Path(sys.prefix) / "lib")
        (venv / "bin" / "python").symlink_to(Path(sys.executable).resolve())
        (venv / run.STAMP.name).write_text(run.lock_key("run.lock") + "\n", encoding="ascii")

    def write(self, name: str, text: str) -> None:
        """Write a file of the copy."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def run(self, *arguments: str, output: int | None = None, **environment: str | None) -> Running:
        """Start `run.py` with `arguments`; servers are embedded unless the environment names others."""
        # Nothing of this machine's shell may decide what the stack does.
        inherited = {
            name: None for name in os.environ if re.match("STRIPE_|SANDBOX_|RECONCILE_|SLUICE_", name)
        }
        settings: dict[str, str | None] = {
            **inherited,
            "DATABASE_URL": None,
            "REDIS_URL": None,
            "OPS_TOKENS": None,
            "INGEST_PORT": str(self.ingest_port),
            "API_PORT": str(self.api_port),
            "SANDBOX_PORT": str(self.sandbox_port),
            **environment,
        }
        program = str(self.root / "run.py")
        return self._processes.start(
            program, *arguments, environment=settings, name="run.py", cwd=self.root, output=output
        )

    async def up(self, **environment: str | None) -> Running:
        """`run.py up`, waited for until it says that it is up and its witnesses have written down their
        start."""
        witnesses = (self.root / "Procfile").read_text(encoding="ascii").count("python witness.py")
        before = sum(line.endswith("started") for line in self.witnessed())
        running = self.run("up", output=None, **environment)
        await self.says(running, "Ctrl-C stops everything")
        await until(
            lambda: sum(line.endswith("started") for line in self.witnessed()) >= before + witnesses,
            start_s,
            f"the start of {witnesses} witnesses",
        )
        return running

    async def says(self, running: Running, text: str, seconds: float = start_s) -> None:
        """Wait until the output of a run holds `text`."""
        await until(lambda: text in running.output(), seconds, f"{text!r} in:\n{running.output()}")

    def children(self) -> dict[str, int]:
        """The recorded processes of the stack that are alive: name and pid."""
        recorded = guardian.Children(self.state / "run").recorded()
        return {child.name: child.pid for child in recorded if guardian.born(child.pid) == child.born}

    def supervisor(self) -> int:
        """The pid of the stack's supervisor, which holds the lock."""
        return int((self.state / "run" / "lock").read_text(encoding="ascii").split()[0])

    def everything(self) -> list[int]:
        """Whatever of the stack is alive, recorded or not, its supervisor included."""
        run_dir = (self.state / "run").resolve()
        found = set(guardian.marked(run_dir)) | set(self.children().values())
        found |= set(guardian.working_in(self.state.resolve() / "pg"))
        if (self.state / "run" / "lock").exists() and guardian.born(self.supervisor()) is not None:
            found.add(self.supervisor())
        return sorted(found)

    async def nothing_left(self, seconds: float = end_s) -> None:
        """Wait until no process of the stack is left."""
        await until(
            lambda: not self.everything(), seconds, f"the end of all processes, now {self.everything()}"
        )

    def witnessed(self) -> list[str]:
        """What the witnesses wrote down so far: `name started` and `name ended`, oldest first."""
        file = self.root / "witnessed"
        lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
        return [line.rpartition(" ")[0] for line in lines]

    async def stop(self, running: Running, number: int = signal.SIGINT) -> int:
        """End a run as a person would, and return its exit status."""
        running.signal(number)
        return await running.ended(end_s)
