"""Deliveries that are here as a whole take a shorter way through the receiver: answers, order and rows are
those of the long way, whatever else comes on the connection meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from tests.receiver.deliveries import SECRET, Sender, event_body, header_for
from tests.receiver.running import Receiver, start_receiver
from tests.receiver.wire import connected
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes

waiting_s_max = 10.0


@contextlib.asynccontextmanager
async def commits_held(receiver: Receiver) -> AsyncIterator[None]:
    """For the block nothing is committed: somebody holds the log. It must be over before the lock timeout."""
    async with receiver.rows.connection.transaction():
        await receiver.rows.connection.execute("LOCK TABLE webhook_log IN ACCESS EXCLUSIVE MODE")
        yield


async def somebody_waits(receiver: Receiver) -> None:
    """Until a receiver stands before the lock with what it has taken."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database IS NOT NULL"
    await until(lambda: receiver.rows.connection.fetchval(query), waiting_s_max, "a receiver to wait")


def headers_without_date(head: bytes) -> list[bytes]:
    return sorted(line for line in head.lower().split(b"\r\n") if not line.startswith(b"date:"))


async def test_both_ways_answer_alike_and_leave_the_same_row(receiver: Receiver, sender: Sender) -> None:
    """The same delivery as a whole, and in chunks, which take the long way: one answer, byte for byte but for
    the clock, and rows that differ in nothing but how the body was framed."""
    body = event_body()
    async with receiver.connected() as wire:
        await wire.send(sender.post(body))
        short = await wire.answer()
        await wire.send(sender.post_chunked(body, 50))
        long = await wire.answer()

    first, second = await receiver.rows.of_request(sender.request_id)
    same = ("verdict", "event_id", "event_type", "object_id", "body", "body_sha256", "address", "secret_id")
    assert headers_without_date(short.head) == headers_without_date(long.head)
    assert (short.status, short.body) == (long.status, long.body)
    assert [first[column] for column in same] == [second[column] for column in same]


async def test_what_comes_while_a_delivery_waits_is_answered_behind_it(
    receiver: Receiver, sender: Sender
) -> None:
    """A forgery and half of a third request arrive while the first waits for its commit: nothing is answered
    before it, and all three in their order."""
    third = sender.post(event_body())
    async with receiver.connected() as wire:
        async with commits_held(receiver):
            await wire.send(sender.post(event_body()))
            await somebody_waits(receiver)
            await wire.send(sender.post(event_body(), signature=header_for(b"another", SECRET)) + third[:100])
            early = await wire.answer_within(0.2)
        statuses = [(await wire.answer()).status for _ in range(2)]
        await wire.send(third[100:])
        statuses.append((await wire.answer()).status)

    assert early is None
    assert statuses == [200, 400, 200]
    assert sorted(await receiver.rows.verdicts(sender.request_id)) == ["bad_sig", "ok", "ok"]


async def test_a_sender_that_leaves_while_its_delivery_waits_has_its_row(
    receiver: Receiver, sender: Sender
) -> None:
    """What was taken is committed whether or not anybody is there to be told."""
    async with commits_held(receiver), receiver.connected() as wire:
        await wire.send(sender.post(event_body()))
        await somebody_waits(receiver)

    async def kept() -> bool:
        return await receiver.rows.verdicts(sender.request_id) == ["ok"]

    await until(kept, waiting_s_max, "the row of a sender that has left")


async def test_a_receiver_that_is_stopped_answers_what_it_has_taken(
    receiver: Receiver, sender: Sender, module_processes: Processes
) -> None:
    """SIGTERM while a delivery waits for its commit: the answer comes, then the process ends, status 0."""
    port = free_port()
    other = await start_receiver(module_processes, {**receiver.environment, "INGEST_PORT": str(port)})
    async with connected(port) as wire:
        async with commits_held(receiver):
            await wire.send(sender.post(event_body()))
            await somebody_waits(receiver)
            other.signal(signal.SIGTERM)
            await asyncio.sleep(0.2)  # it has begun to end: nothing outside tells when
        answer = await wire.answer()

    assert (answer.status, await other.ended()) == (200, 0)
    assert await receiver.rows.verdicts(sender.request_id) == ["ok"]
