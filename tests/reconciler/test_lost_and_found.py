"""Receiver, worker and reconciler as processes over a Postgres of their own: what never came, and what a real
restore of a real backup has lost, is found at the PSP again.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from runtime import clock, guardian
from tests.receiver.scratch import ScratchPostgres, scratch_postgres, scratch_valkey
from tests.reconciler.trade import a_busy_hour, agrees_with_the_psp
from tests.sandbox.worlds import KEY, SECRET, World, world_at
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes, processes_in

FINAL = ("applied", "ignored", "superseded")


@dataclass
class House:
    """A receiver and a worker over a Postgres of their own, and the PSP that sends them its webhooks."""

    postgres: ScratchPostgres
    world: World
    processes: Processes
    environment: dict[str, str]

    async def back_up(self, to: Path) -> None:
        """A base backup of the running server, file by file, as `pg_basebackup` takes it: the copy of the
        log comes last, and the label tells the restored server where to begin.
        """
        data = self.postgres.server.data_dir
        connection = await asyncpg.connect(self.postgres.dsn)
        await connection.execute("SELECT pg_backup_start('tests', true)")
        await _copy(data, to)
        label = await connection.fetchval("SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)")
        await connection.close()
        await _copy(data / "pg_wal", to / "pg_wal.last")
        shutil.rmtree(to / "pg_wal")
        (to / "pg_wal.last").rename(to / "pg_wal")
        (to / "postmaster.pid").unlink()
        (to / "backup_label").write_text(label, encoding="utf-8")

    async def restore(self, backup: Path) -> None:
        """The server dies with all its files, and starts from the backup; nobody else is told."""
        data = self.postgres.server.data_dir
        await asyncio.to_thread(self.postgres.server.kill)
        await until(lambda: not guardian.working_in(data), 20, "the dead server's processes to end")
        shutil.rmtree(data)
        await _copy(backup, data)
        await self.postgres.start()

    async def acknowledged(self) -> set[str]:
        """The events that the PSP has been answered 2xx for."""
        return {entry["id"] for entry in (await self.world.get("journal"))["items"] if entry["acknowledged"]}

    async def all_told(self) -> None:
        """Wait until everything that the PSP has to say was acknowledged, and has had its outcome."""
        await self.world.settled()
        connection = await asyncpg.connect(self.postgres.dsn)

        async def done() -> bool:
            waiting = "SELECT count(*) FROM webhook_event WHERE NOT state = ANY($1::text[])"
            return int(await connection.fetchval(waiting, FINAL)) == 0

        await until(done, 60, "every event to have its outcome")
        await connection.close()

    async def reconcile(self) -> dict[str, Any]:
        """One cycle from the command line; what it says of itself."""
        newest = max(event["created"] for event in await self.world.events())
        await until(lambda: clock.now_unix_s() > newest + 2, 20, "the last event to be older than the grace")
        run = self.processes.start("-m", "reconciler", "run", environment=self.environment, name="run")
        assert await run.ended(60) == 0, run.output()
        told: dict[str, Any] = json.loads(run.output().splitlines()[-1])
        return told


async def _copy(source: Path, to: Path) -> None:
    """Owners and modes included. A file that the running server has just taken away is no fault of a copy."""
    done = await asyncio.to_thread(
        subprocess.run, ("cp", "-a", str(source), str(to)), check=False, capture_output=True, text=True
    )
    gone = all("No such file" in line for line in done.stderr.splitlines())
    assert done.returncode == 0 or gone, done.stderr


@pytest.fixture
async def house(tmp_path: Path, children: guardian.Children) -> AsyncIterator[House]:
    """Everything runs, nothing has been sold."""
    port = free_port()
    async with (
        scratch_postgres(tmp_path / "servers", children) as postgres,
        scratch_valkey(tmp_path / "servers", children) as valkey,
        world_at(tmp_path / "psp", f"http://127.0.0.1:{port}/webhooks/stripe") as world,
        processes_in(tmp_path, children) as processes,
    ):
        environment = {
            "DATABASE_URL": postgres.dsn,
            "REDIS_URL": valkey.url,
            "INGEST_PORT": str(port),
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "STRIPE_SECRET_KEY": KEY,
            "STRIPE_API_BASE": world.url,
            "SWEEP_INTERVAL": "1s",
            "RECONCILE_INTERVAL": "1s",
        }
        ready = f"http://127.0.0.1:{port}/health/ready"
        await processes.start_ready("-m", "ingest", url=ready, environment=environment)
        processes.start("-m", "workers", environment=environment)
        yield House(postgres, world, processes, environment)


async def test_what_was_acknowledged_after_the_backup_is_found_and_repaired(
    house: House, tmp_path: Path
) -> None:
    """The PSP calls these events delivered and will never send them again. One cycle finds each of them, the
    books are its books to the unit, and a second cycle repairs nothing.
    """
    first = await house.world.order(500, orderId="order-0", sellerId="seller-1")
    await house.world.post(f"payment_intents/{first.id}/pay")
    await house.world.buy()
    await house.all_told()
    await house.back_up(tmp_path / "backup")
    await a_busy_hour(house.world)
    await house.all_told()
    acknowledged = await house.acknowledged()
    await house.restore(tmp_path / "backup")
    connection = await asyncpg.connect(house.postgres.dsn)

    async def here() -> dict[str, str]:
        return {
            row["event_id"]: row["state"]
            for row in await connection.fetch("SELECT event_id, state FROM webhook_event")
        }

    lost = acknowledged - (await here()).keys()
    one = await house.reconcile()
    await house.all_told()
    two = await house.reconcile()
    states = await here()
    found = await connection.fetch(
        "SELECT object_id FROM reconcile_finding WHERE class = 'missing_event' AND repaired"
    )

    assert len(lost) > 20
    assert lost <= {row["object_id"] for row in found}
    assert {states[event_id] for event_id in acknowledged} <= set(FINAL)
    assert (one["status"], one["counts"]["repaired"]) == ("succeeded", len(lost))
    assert (two["status"], two["counts"].get("repaired", 0)) == ("succeeded", 0)
    await agrees_with_the_psp(house.world, connection)
    await connection.close()


async def test_a_while_without_any_webhook_is_made_good_by_one_cycle(house: House) -> None:
    """The PSP delivers nothing and sells on: one cycle, and its books are ours; a second repairs nothing."""
    await house.world.buy()
    await house.all_told()
    await house.world.post("chaos", seed=1, rates={"drop": 1.0})
    before = await house.acknowledged()
    await a_busy_hour(house.world)
    await house.world.settled()
    after = await house.acknowledged()
    one = await house.reconcile()
    await house.all_told()
    two = await house.reconcile()
    connection = await asyncpg.connect(house.postgres.dsn)

    assert after == before
    assert (one["status"], one["counts"]["repaired"] > 10) == ("succeeded", True)
    assert (two["status"], two["counts"].get("repaired", 0)) == ("succeeded", 0)
    await agrees_with_the_psp(house.world, connection)
    await connection.close()
