"""Several receiver processes on one port: all serve, one that dies is replaced, and none outlives its
parent."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from runtime import guardian
from tests.receiver.deliveries import Sender, event_body
from tests.receiver.running import receiver_environment, start_receiver
from tests.receiver.wire import NoAnswerError, connected, exchange
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes, Running

COUNT = 2
change_s_max = 20.0


class Fleet:
    """A running fleet and its children, as its own log tells them."""

    def __init__(self, running: Running, port: int, dsn: str) -> None:
        self.running = running
        self.port = port
        self.dsn = dsn

    def children(self) -> list[int]:
        """Pids of the children that listen, in the order of their start, those that have died left out."""
        lines = [json.loads(line) for line in self.running.output().splitlines() if line.startswith("{")]
        pids = [int(line["instance"].rpartition(":")[2]) for line in lines if line["event"] == "listening"]
        return [pid for pid in pids if guardian.born(pid) is not None]

    async def all_listen(self) -> list[int]:
        """Wait until as many children listen as are wanted; their pids."""
        await until(lambda: len(self.children()) == COUNT, change_s_max, f"{COUNT} children to listen")
        return self.children()

    async def status(self) -> int | None:
        """The answer to one genuine delivery on a connection of its own; None when it was dropped."""
        try:
            return (await exchange(self.port, Sender().post(event_body()))).status
        except (OSError, NoAnswerError):
            return None

    async def committing(self) -> int:
        """How many connections of receivers have appended deliveries and are still there."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(
                await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice-ingest' "
                    "AND datname = current_database() AND query LIKE '%INSERT INTO webhook_log%'"
                )
            )
        finally:
            await connection.close()


@pytest.fixture
async def fleet(dsn: str, redis_url: str, processes: Processes, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Two receivers under one parent, on a database of their own."""
    port = free_port()
    environment = receiver_environment(
        dsn, redis_url, port, INGEST_PROCESSES=str(COUNT), TMPDIR=str(tmp_path)
    )
    running = await start_receiver(processes, environment)
    fleet = Fleet(running, port, dsn)
    await fleet.all_listen()
    yield fleet
    # The database is dropped behind this fixture: nobody may still be writing to it.
    running.signal(signal.SIGTERM)
    await running.ended()


async def metric(fleet: Fleet, sample: str) -> float:
    async with connected(fleet.port) as wire:
        await wire.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        _, body = await wire.raw_answer()
    found = re.search(rf"^{re.escape(sample)} (\S+)$", body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_all_processes_serve_and_are_counted_together(fleet: Fleet) -> None:
    """Deliveries over many connections reach every process, each commits its own, and /metrics of any one
    tells the sum of all."""
    answered = 0

    async def all_have_committed() -> bool:
        nonlocal answered
        answered += [await fleet.status() for _ in range(10)].count(200)
        return await fleet.committing() == COUNT

    await until(all_have_committed, change_s_max, "every process to commit deliveries")
    counts = {
        await metric(fleet, 'sluice_deliveries_total{endpoint="stripe",verdict="ok"}') for _ in range(10)
    }

    assert {float(answered)} == counts


async def test_a_process_that_is_killed_is_replaced(fleet: Fleet) -> None:
    """A killed child is replaced by a new one while its sibling goes on; then every delivery is taken
    again."""
    before = await fleet.all_listen()
    os.kill(before[0], signal.SIGKILL)
    await until(lambda: before[0] not in fleet.children(), change_s_max, "the child to die")
    after = await fleet.all_listen()

    assert before[1] in after
    assert before[0] not in after
    assert [await fleet.status() for _ in range(30)] == [200] * 30
    assert await metric(fleet, "sluice_commit_queue_rows") == 0.0


async def test_no_child_outlives_a_killed_parent(fleet: Fleet) -> None:
    """SIGKILL of the parent alone ends all its children, and the port is free."""
    children = await fleet.all_listen()
    os.kill(fleet.running.pid, signal.SIGKILL)
    await until(lambda: fleet.children() == [], change_s_max, "the children to end")

    assert [pid for pid in children if guardian.born(pid) is not None] == []
    assert None is await fleet.status()


async def test_a_fleet_that_is_stopped_under_load_loses_nothing(fleet: Fleet) -> None:
    """SIGTERM to the parent in the middle of a burst: everybody ends, status 0, and every 2xx has its row."""
    acknowledged: list[str] = []

    async def keep_posting() -> None:
        while True:
            sender = Sender()
            try:
                answer = await exchange(fleet.port, sender.post(event_body()))
            except (OSError, NoAnswerError):
                return
            if answer.status == 200:
                acknowledged.append(sender.request_id)

    children = await fleet.all_listen()
    senders = [asyncio.create_task(keep_posting()) for _ in range(8)]
    await until(lambda: len(acknowledged) > 50, change_s_max, "the load to begin")
    fleet.running.signal(signal.SIGTERM)
    status = await fleet.running.ended()
    await asyncio.gather(*senders)
    connection = await asyncpg.connect(fleet.dsn)
    try:
        rows = await connection.fetch("SELECT request_id FROM webhook_log WHERE verdict = 'ok'")
    finally:
        await connection.close()

    assert status == 0
    assert [pid for pid in children if guardian.born(pid) is not None] == []
    assert set() == set(acknowledged) - {row["request_id"] for row in rows}
