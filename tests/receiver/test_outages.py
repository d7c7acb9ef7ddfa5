"""What the receiver answers while Postgres or Redis is away, hung, locked or not durable; and that it
heals by itself."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest

from runtime import guardian
from runtime.doorbell import Doorbell
from tests.receiver.deliveries import Sender, event_body
from tests.receiver.running import receiver_environment, start_receiver
from tests.receiver.scratch import (
    ScratchPostgres,
    ScratchValkey,
    linux_only,
    scratch_postgres,
    scratch_valkey,
)
from tests.receiver.wire import Answer, NoAnswerError, exchange
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes, Running

heal_s_max = 20.0
NOT_STORED = (503, "Delivery could not be stored, please send it again", "1")


@dataclass
class World:
    """A receiver between servers that this module may break."""

    postgres: ScratchPostgres
    valkey: ScratchValkey
    processes: Processes
    port: int
    environment: dict[str, str]
    running: Running

    async def post(self, sender: Sender | None = None, signature: str | None = None) -> Answer:
        return await exchange(self.port, (sender or Sender()).post(event_body(), signature=signature))

    async def get(self, path: str) -> int:
        return (await exchange(self.port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())).status

    async def verdicts(self, sender: Sender) -> list[str]:
        connection = await asyncpg.connect(self.postgres.dsn)
        try:
            rows = await connection.fetch(
                "SELECT verdict FROM webhook_log WHERE request_id = $1", sender.request_id
            )
        finally:
            await connection.close()
        return [row["verdict"] for row in rows]

    def complaints(self) -> int:
        """How often the receiver has said that it lost its database."""
        printed = self.running.output()
        return printed.count('"database_away"') + printed.count('"commit_unknown"')

    async def taken_again(self) -> None:
        """Wait until a delivery is taken, by the same process as before."""

        async def taken() -> bool:
            return (await self.post()).status == 200

        await until(taken, heal_s_max, "a delivery to be taken again")
        assert self.running.process.poll() is None
        assert await self.get("/health/ready") == 200


@pytest.fixture(scope="module")
async def world(
    children: guardian.Children, tmp_path_factory: pytest.TempPathFactory, module_processes: Processes
) -> AsyncIterator[World]:
    """One receiver and its own two servers for the module; every test leaves them healed."""
    state = tmp_path_factory.mktemp("outages")
    async with scratch_postgres(state, children) as postgres, scratch_valkey(state, children) as valkey:
        port = free_port()
        environment = receiver_environment(postgres.dsn, valkey.url, port)
        running = await start_receiver(module_processes, environment)
        yield World(postgres, valkey, module_processes, port, environment, running)


def what_it_says(answer: Answer) -> tuple[int, str, str | None]:
    return answer.status, answer.error, answer.headers.get("retry-after")


async def test_without_postgres_nothing_is_acknowledged(world: World) -> None:
    """While Postgres is away every delivery, forged and oversized ones too, answers 503 with Retry-After,
    the process lives but is not ready; afterwards it takes deliveries again without a restart."""
    await world.postgres.stop_immediately()
    try:
        answers = await asyncio.gather(
            world.post(),
            world.post(signature="t=1,v1=00"),
            world.post(signature=""),
            exchange(world.port, Sender().head(b"Content-Length: 10000000000")),
            exchange(world.port, Sender().post(event_body(), b"Content-Encoding: gzip")),
        )
        live, ready, metrics = [
            await world.get(path) for path in ("/health/live", "/health/ready", "/nothing")
        ]
    finally:
        await world.postgres.start()

    assert [what_it_says(answer) for answer in answers] == [NOT_STORED] * 5
    assert (live, ready, metrics) == (200, 503, 404)
    await world.taken_again()


async def test_a_locked_table_is_not_waited_for(world: World) -> None:
    """While somebody holds the log's lock deliveries answer 503 and leave no row; after it they are taken."""
    senders = [Sender() for _ in range(5)]
    async with world.postgres.locked("webhook_log"):
        answers = await asyncio.gather(*(world.post(sender) for sender in senders))

    assert [what_it_says(answer) for answer in answers] == [NOT_STORED] * 5
    await world.taken_again()
    assert [await world.verdicts(sender) for sender in senders] == [[]] * 5


async def test_a_locked_inbox_is_not_waited_for(world: World) -> None:
    """A lock on the inbox alone has the same answer, and the log row of that delivery is not kept either."""
    sender = Sender()
    async with world.postgres.locked("webhook_event"):
        answer = await world.post(sender)

    assert what_it_says(answer) == NOT_STORED
    await world.taken_again()
    assert await world.verdicts(sender) == []


@linux_only
async def test_a_hung_postgres_is_not_waited_for(world: World) -> None:
    """A server that keeps its connections open and does nothing has the same answers, for more deliveries
    than one."""
    async with world.postgres.frozen():
        first = await asyncio.gather(*(world.post() for _ in range(3)))
        second = await world.post()
        live, ready = await world.get("/health/live"), await world.get("/health/ready")

    assert [what_it_says(answer) for answer in (*first, second)] == [NOT_STORED] * 4
    assert (live, ready) == (200, 503)
    await world.taken_again()


async def test_ended_connections_are_replaced(world: World) -> None:
    """After an administrator has ended all connections deliveries are taken again; none is acknowledged in
    vain."""
    await world.taken_again()
    await world.postgres.terminate_backends()
    sender = Sender()
    answer = await world.post(sender)

    assert (answer.status == 200) == (await world.verdicts(sender) == ["ok"])
    await world.taken_again()


async def test_a_server_that_stops_being_durable_is_refused(world: World) -> None:
    """When synchronous_commit is switched off under a running receiver, new connections of it take nothing
    any more."""
    database = world.postgres.dsn.rpartition("/")[2]
    await world.postgres.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    try:
        await world.postgres.terminate_backends()

        async def not_ready() -> bool:
            return await world.get("/health/ready") == 503

        await until(not_ready, heal_s_max, "the receiver to call itself not ready")
        answer = await world.post()
    finally:
        await world.postgres.execute(f"ALTER DATABASE {database} RESET synchronous_commit")

    assert what_it_says(answer) == NOT_STORED
    await world.taken_again()


async def test_without_redis_everything_is_acknowledged(world: World) -> None:
    """Redis frozen and Redis gone cost no delivery: the doorbell is cut off, the answer is 200."""
    async with world.valkey.frozen():
        frozen = [await world.post() for _ in range(5)]
    await world.valkey.stop()
    try:
        gone = [await world.post() for _ in range(5)]
    finally:
        await world.valkey.start()

    assert [answer.status for answer in (*frozen, *gone)] == [200] * 10


async def rings_around_a_restart(valkey: ScratchValkey, number: int) -> dict[str, int]:
    """What became of a ring, and of the first one after Redis was started anew; `number` of a database whose
    slots are free.
    """
    bell = Doorbell(f"{valkey.url.rpartition('/')[0]}/{number}")
    try:
        bell.ring()
        await until(lambda: bell.counts.total() == 1, heal_s_max, "a first ring")
        await valkey.stop()
        await valkey.start()
        bell.ring()
        await until(lambda: bell.counts.total() > 1, heal_s_max, "a second ring")
    finally:
        await bell.close()
    return dict(bell.counts)


async def test_the_first_ring_after_a_restart_of_redis_is_heard(world: World) -> None:
    """The line of the ring before is dead, which only shows when it is used: then it is opened anew. Three
    tries, because a busy machine may cut a ring off.
    """
    tries = [await rings_around_a_restart(world.valkey, number) for number in (1, 2, 3)]

    assert any("failed" not in counts for counts in tries), tries


@dataclass
class Journal:
    """What a sender knows: per request id the sha256 that it sent and the answer that it saw, None for
    none."""

    sent: dict[str, tuple[bytes, int | None]] = field(default_factory=dict)

    async def keep_posting(self, port: int, stop: asyncio.Event) -> None:
        """One delivery after the other, each with an id of its own, until `stop`."""
        while not stop.is_set():
            sender, body = Sender(), event_body()
            try:
                status: int | None = (await exchange(port, sender.post(body))).status
            except (OSError, NoAnswerError):
                status = None
                await asyncio.sleep(0)
            self.sent[sender.request_id] = (hashlib.sha256(body).digest(), status)

    def acknowledged(self) -> dict[str, bytes]:
        """The deliveries that were answered 2xx."""
        return {
            id_: digest for id_, (digest, status) in self.sent.items() if status is not None and status < 300
        }


async def lost_under(
    world: World, port: int, fault: Callable[[], Awaitable[None]]
) -> tuple[Journal, set[str]]:
    """Run `fault` under the load of eight senders; the journal, and the acknowledged deliveries missing in
    the log."""
    journal, stop = Journal(), asyncio.Event()
    senders = [asyncio.create_task(journal.keep_posting(port, stop)) for _ in range(8)]
    try:
        await until(lambda: len(journal.acknowledged()) > 50, heal_s_max, "the load to begin")
        await fault()
    finally:
        stop.set()
        await asyncio.gather(*senders)
    connection = await asyncpg.connect(world.postgres.dsn)
    try:
        rows = await connection.fetch("SELECT request_id, body_sha256 FROM webhook_log WHERE verdict = 'ok'")
    finally:
        await connection.close()
    stored = {(row["request_id"], row["body_sha256"]) for row in rows}
    return journal, {id_ for id_, digest in journal.acknowledged().items() if (id_, digest) not in stored}


async def test_a_restart_of_postgres_under_load_loses_nothing(world: World) -> None:
    """An immediate stop and start in the middle of a burst: every 2xx has its row with the same sha256."""

    async def restart() -> None:
        await world.postgres.stop_immediately()
        await world.postgres.start()
        await world.taken_again()

    complaints_before = world.complaints()
    _, lost = await lost_under(world, world.port, restart)

    assert set() == lost
    assert world.complaints() > complaints_before  # the fault did hit


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_ending_a_receiver_under_load_loses_nothing(world: World, number: signal.Signals) -> None:
    """A receiver that is stopped or killed in the middle of a burst leaves a row for every 2xx; one that
    is stopped ends with status 0."""
    port = free_port()
    other = await start_receiver(world.processes, world.environment | {"INGEST_PORT": str(port)})

    async def end() -> None:
        other.signal(number)
        assert (0 if number == signal.SIGTERM else -number) == await other.ended()

    _, lost = await lost_under(world, port, end)

    assert set() == lost


async def test_a_receiver_may_start_before_postgres(world: World) -> None:
    """Started while Postgres is away it lives, answers 503, and takes deliveries as soon as Postgres is
    there."""
    port = free_port()
    await world.postgres.stop_immediately()
    try:
        environment = world.environment | {"INGEST_PORT": str(port)}
        early = await world.processes.start_ready(
            "-m", "ingest", url=f"http://127.0.0.1:{port}/health/live", environment=environment
        )
        answer = await exchange(port, Sender().post(event_body()))
    finally:
        await world.postgres.start()

    assert what_it_says(answer) == NOT_STORED

    async def taken() -> bool:
        return (await exchange(port, Sender().post(event_body()))).status == 200

    await until(taken, heal_s_max, "the early receiver to take a delivery")
    early.signal(signal.SIGTERM)
    assert await early.ended() == 0
    await world.taken_again()
