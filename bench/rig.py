"""The scratch world of the benches: real Postgres and Valkey in folders of their own, databases, processes.
Must never touch the data in `.local` or a server
that somebody gave us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

from bench import bodies, machine
from bench.load import Order, Outcome
from db import embedded, pool
from db.migrate import migrate
from db.pool import type_connection
from db.queries import Queries
from runtime import guardian

RIG = Queries(str(Path(__file__).parent / "sql" / "rig.sql"))
ready_s_max = 60.0
"""A receiver of a bench that does not listen by then has failed: the slowest, Django under gunicorn, takes
5 s.
"""
_POLL_S = 0.02


class RigError(Exception):
    """Something of the scratch world does not work; the text says what."""


@dataclass
class Running:
    """A started process of a bench."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    port: int = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def tail(self) -> str:
        """The last it wrote, for an error message."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-1_500:]


class Rig:
    """Two servers and whatever a bench starts beside them; use it as `async with rig_in(folder)`."""

    def __init__(
        self, folder: Path, postgres: embedded.Postgres, valkey: embedded.Valkey, children: guardian.Children
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.valkey = valkey
        self._children = children
        self._started: list[Running] = []
        self._databases = 0
        self._template = ""

    # --- databases ------------------------------------------------------------------------------------------

    def dsn_of(self, database: str) -> str:
        """A database of the scratch server, as superuser."""
        return urlunsplit(urlsplit(self.postgres.url)._replace(path=f"/{database}"))

    def redis_url(self, number: int) -> str:
        """A database of the scratch Valkey: 0 is for our processes, others for what they are compared
        with.
        """
        return urlunsplit(urlsplit(self.valkey.url)._replace(path=f"/{number}"))

    @contextlib.asynccontextmanager
    async def connected(self, dsn: str) -> AsyncIterator[type_connection]:
        """A connection as superuser."""
        connection = await pool.connect(dsn, None, "sluice-bench")
        try:
            yield connection
        finally:
            await connection.close()

    async def empty_database(self) -> str:
        """A fresh database without any table; returns its dsn."""
        return await self._create("TEMPLATE template0")

    async def database(self) -> str:
        """A fresh database with our schema, as production has it; returns its dsn."""
        if not self._template:
            dsn = await self._create("")
            await migrate(dsn)
            self._template = urlsplit(dsn).path[1:]
        return await self._create(f"TEMPLATE {self._template}")

    async def _create(self, how: str) -> str:
        self._databases += 1
        name = f"bench_{self._databases}_{secrets.token_hex(3)}"
        async with self.connected(self.postgres.url_of("postgres")) as connection:
            await connection.execute(f"CREATE DATABASE {name} {how}")
        return self.dsn_of(name)

    async def drop(self, dsn: str) -> None:
        """Give the disk back."""
        async with self.connected(self.postgres.url_of("postgres")) as connection:
            await connection.execute(f"DROP DATABASE {urlsplit(dsn).path[1:]} WITH (FORCE)")

    async def checkpoint(self) -> None:
        """Write what is dirty now, so that no round pays for what another wrote."""
        async with self.connected(self.postgres.url_of("postgres")) as connection:
            await connection.execute(RIG.checkpoint)

    async def settle(self) -> None:
        """The same, and wait until it is on the disk: a commit behind a flood of pages waits for all."""
        await self.checkpoint()
        await asyncio.to_thread(os.sync)

    @property
    def postgres_pid(self) -> int:
        """The server; its backends are its children."""
        return int(self.postgres.pid_file.read_text(encoding="ascii").split("\n", 1)[0])

    @property
    def valkey_pid(self) -> int:
        """The server."""
        return int(self.valkey.pid_file.read_text(encoding="ascii"))

    # --- processes ------------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        *argv: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path = machine.ROOT,
        port: int = 0,
    ) -> Running:
        """Start a program with our Python (or the one that `argv` begins with, when that is a path)."""
        log = self.folder / "log" / f"{len(self._started)}-{name}.log"
        log.parent.mkdir(exist_ok=True)
        command = argv if argv[0].startswith("/") else (sys.executable, *argv)
        with log.open("wb") as kept:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=kept,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**_clean(), **(environment or {}), guardian.CHILD_MARK: str(self._children.run_dir)},
                start_new_session=True,
            )
        self._children.add(name, process.pid)
        running = Running(name, process, log, tuple(argv), environment or {}, cwd, port)
        self._started.append(running)
        return running

    async def start_listening(
        self,
        name: str,
        *argv: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path = machine.ROOT,
        port: int = 0,
    ) -> Running:
        """The same, and wait until its port takes connections."""
        running = self.start(name, *argv, environment=environment, cwd=cwd, port=port)
        deadline = time.monotonic() + ready_s_max
        while True:
            if running.process.poll() is not None:
                raise RigError(f"{name} ended with {running.process.returncode}:\n{running.tail()}")
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return running
            if time.monotonic() > deadline:
                raise RigError(f"{name} does not listen:\n{running.tail()}")
            await asyncio.sleep(_POLL_S)

    async def start_receiver(self, dsn: str, processes: int = 1) -> Running:
        """Our receiver, as production runs it."""
        port = embedded.free_port()
        return await self.start_listening(
            f"ingest-{processes}",
            "-m",
            "ingest",
            environment=self.environment(dsn)
            | {"INGEST_PORT": str(port), "INGEST_PROCESSES": str(processes)},
            port=port,
        )

    async def start_worker(self, dsn: str, sweep_interval: str = "5s") -> Running:
        """Our worker, as production runs it, waited for until it works."""
        running = self.start(
            "worker", "-m", "workers", environment=self.environment(dsn) | {"SWEEP_INTERVAL": sweep_interval}
        )
        deadline = time.monotonic() + ready_s_max
        while '"event":"working"' not in running.tail():
            if running.process.poll() is not None or time.monotonic() > deadline:
                raise RigError(f"the worker does not work:\n{running.tail()}")
            await asyncio.sleep(_POLL_S)
        return running

    def environment(self, dsn: str) -> dict[str, str]:
        """Settings of our processes."""
        return {
            "DATABASE_URL": dsn,
            "REDIS_URL": self.redis_url(0),
            "STRIPE_WEBHOOK_SECRETS": bodies.SECRET,
            "RECONCILE_WORKER_ENABLED": "false",
        }

    async def run_program(self, name: str, *argv: str, environment: Mapping[str, str] | None = None) -> bytes:
        """Run one of our programs to its end and return its output. Raises RigError when it fails."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *argv,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=machine.ROOT,
            env={**_clean(), **(environment or {})},
        )
        out, errors = await child.communicate()
        if child.returncode != 0:
            raise RigError(
                f"{name} ended with {child.returncode}:\n{errors.decode(errors='replace')[-1_500:]}"
            )
        return out

    async def run_to_end(self, name: str, *argv: str, environment: Mapping[str, str]) -> None:
        """Run a program with an environment of its own to its end. Raises RigError when it fails."""
        running = self.start(name, *argv, environment=environment)
        status = await asyncio.to_thread(running.process.wait)
        if status != 0:
            raise RigError(f"{name} ended with {status}: {running.tail()[-300:].strip()}")

    def kill(self, running: Running) -> None:
        """SIGKILL for the process and all that it started."""
        guardian.send(running.pid, signal.SIGKILL)
        running.process.wait()
        self._children.remove(running.pid)
        self._started.remove(running)

    async def start_again(self, running: Running) -> Running:
        """What was killed, with the same command, settings and port; waited for if it listens."""
        start = self.start_listening if running.port else self._start_quiet
        return await start(
            running.name,
            *running.command,
            environment=running.environment,
            cwd=running.cwd,
            port=running.port,
        )

    async def _start_quiet(
        self, name: str, *argv: str, environment: Mapping[str, str], cwd: Path, port: int
    ) -> Running:
        return self.start(name, *argv, environment=environment, cwd=cwd, port=port)

    async def end(self, running: Running) -> None:
        """End one process in order."""
        leftover = [child for child in self._children.recorded() if child.pid == running.pid]
        await asyncio.to_thread(guardian.end, leftover)
        running.process.wait()
        self._children.remove(running.pid)
        self._started.remove(running)

    async def end_all(self) -> None:
        """End every process that was started here, the servers excepted."""
        for running in list(self._started):
            await self.end(running)


def _clean() -> dict[str, str]:
    """Our environment without the settings of a Sluice that somebody has configured in this shell."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


async def send(order: Order) -> Outcome:
    """Carry out an order in a process of its own. Raises RigError."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=machine.ROOT,
        env=_clean(),
    )
    out, errors = await child.communicate(msgspec.json.encode(order))
    if child.returncode != 0:
        raise RigError(f"the load generator failed:\n{errors.decode(errors='replace')[-1_500:]}")
    return msgspec.json.decode(out, type=Outcome)


def _watch(children: guardian.Children) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "runtime.guardian", str(children.run_dir)],
        stdin=subprocess.PIPE,
        cwd=machine.ROOT,
        start_new_session=True,
    )


@contextlib.asynccontextmanager
async def rig_in(settings: Mapping[str, str] | None = None) -> AsyncIterator[Rig]:
    """The scratch world for the block: as durable as production, gone afterwards.

    A guardian ends everything of it should this process be killed.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        children = guardian.Children(folder / "run")
        watcher = _watch(children)
        durable = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
        postgres = embedded.Postgres(folder, settings={**durable, **(settings or {})}, children=children)
        valkey = embedded.Valkey(folder, children=children)
        rig = Rig(folder, postgres, valkey, children)
        try:
            await asyncio.to_thread(postgres.start)
            await asyncio.to_thread(valkey.start)
            yield rig
        finally:
            await rig.end_all()
            await asyncio.to_thread(valkey.stop)
            await asyncio.to_thread(postgres.stop)
            assert watcher.stdin is not None
            watcher.stdin.close()
            watcher.wait()
