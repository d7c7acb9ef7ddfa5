"""The whole pipeline on servers of its own, kept alive by a harness that starts again whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from runtime import guardian
from tests.receiver.scratch import ScratchPostgres, ScratchValkey, scratch_postgres, scratch_valkey
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes, Running, processes_in

SECRET = "whsec_fault_tests_0123456789abcdef"
KEY = "sk_test_fault_tests"
start_s_max = 30.0
RESTART_PAUSE_S = 0.2


class Kept:
    """One of our processes under the harness: killed ones are started again, with the same settings."""

    def __init__(self, processes: Processes, module: str, environment: dict[str, str], ready: str) -> None:
        """`ready` is the event that the process logs once it works."""
        self.module = module
        self.restarts = 0
        self._processes = processes
        self._environment = environment
        self._ready = f'"event":"{ready}"'
        self._running = self._start()
        self._keeper = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int:
        """Of its present life."""
        return self._running.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its present life; to a dead one it does nothing."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def works(self) -> None:
        """Wait until its present life says that it works."""
        await until(
            lambda: self._running.process.poll() is None and self._ready in self._running.output(),
            start_s_max,
            f"{self.module} to work:\n{self._running.output()[-3_000:]}",
        )

    async def let_go(self) -> None:
        """Start it no more; whoever made its Processes ends it."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)

    def _start(self) -> Running:
        return self._processes.start("-m", self.module, environment=self._environment)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RESTART_PAUSE_S)
            if self._running.process.poll() is not None:
                self.restarts += 1
                self._running = self._start()


async def sandbox_running(directory: Path, processes: Processes, webhook_url: str) -> str:
    """A PSP to be asked, which no fault strikes; its URL. It has sold nothing, and knows of no refund: those
    of the stories are only told.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "SANDBOX_DIR": str(directory / "sandbox"),
        "SANDBOX_PORT": str(port),
        "SANDBOX_WEBHOOK_URL": webhook_url,
        "STRIPE_WEBHOOK_SECRETS": SECRET,
        "STRIPE_SECRET_KEY": KEY,
    }
    await processes.start_ready("-m", "psp.sandbox", url=f"{url}/health/live", environment=environment)
    return url


@dataclass
class Stack:
    """Two servers, a receiver and workers, all of which a test may hurt."""

    postgres: ScratchPostgres
    valkey: ScratchValkey
    port: int
    receiver: Kept
    workers: list[Kept]
    postgres_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever stops Postgres: two stops at once would be one."""
    valkey_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def kept(self) -> list[Kept]:
        """All of our processes."""
        return [self.receiver, *self.workers]

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection as superuser."""
        connection = await asyncpg.connect(self.postgres.dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def healed(self) -> None:
        """Wait until everything runs again after faults."""
        for kept in self.kept:
            kept.signal(signal.SIGCONT)
        for kept in self.kept:
            await kept.works()


@contextlib.asynccontextmanager
async def running_stack(
    directory: Path, children: guardian.Children, workers: int = 2, sweep_interval: str = "5s"
) -> AsyncIterator[Stack]:
    """A stack with its own data directories under `directory`, ended with the block."""
    async with (
        scratch_postgres(directory / "servers", children) as postgres,
        scratch_valkey(directory / "servers", children) as valkey,
        processes_in(directory, children) as processes,
    ):
        port = free_port()
        sandbox_url = await sandbox_running(directory, processes, f"http://127.0.0.1:{port}/webhooks/stripe")
        environment = {
            "DATABASE_URL": postgres.dsn,
            "REDIS_URL": valkey.url,
            "INGEST_PORT": str(port),
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "STRIPE_SECRET_KEY": KEY,
            "STRIPE_API_BASE": sandbox_url,
            "SWEEP_INTERVAL": sweep_interval,
        }
        receiver = Kept(processes, "ingest", environment, "listening")
        kept = [Kept(processes, "workers", environment, "working") for _ in range(workers)]
        stack = Stack(postgres, valkey, port, receiver, kept)
        try:
            await stack.healed()
            yield stack
        finally:
            for one in stack.kept:
                await one.let_go()
                one.signal(signal.SIGCONT)
