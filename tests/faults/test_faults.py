"""Faults of the real machinery under load: kills, hangs, losses and locks, two workers at once, and exact
books after.

Every test sends shuffled and doubled stories of purchases, lets a fault strike, heals, and holds the
sender's journal and the stories' sums against what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Coroutine

import pytest

from runtime import limits
from tests.faults import faults
from tests.faults.proof import drained, findings
from tests.faults.sender import Sender
from tests.faults.stack import SECRET, Stack
from tests.faults.stories import Stories, WithholdingStories
from tests.faults.storm import draw_storm, let_loose
from tests.receiver.scratch import linux_only
from tests.support.poll import until

SEED = 20261121


@pytest.fixture
async def sender(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Sender]:
    """A sender whose load is under way; every test has stories of its own, the same in every run."""
    async with telling(stack, Stories(SEED, re.sub("[^a-z0-9]", "", request.node.name))) as sender:
        yield sender


@contextlib.asynccontextmanager
async def telling(stack: Stack, stories: Stories) -> AsyncIterator[Sender]:
    """A sender of these stories whose load is under way, stopped with the block."""
    sender = Sender(stack.port, SECRET, stories)
    try:
        await sender.start()
        yield sender
    finally:
        await sender.abort()


async def kept_every_promise(stack: Stack, sender: Sender) -> None:
    """Heal, deliver what is left, let the workers finish, and find nothing wrong."""
    await sender.reaches(len(sender.journal.acknowledged) + 50)
    await stack.healed()
    await sender.finish()
    async with stack.connected() as connection:
        await drained(connection, sender.stories.owed)
        assert await findings(connection, sender.journal, sender.stories.owed) == []


async def test_without_a_fault_the_books_are_right(stack: Stack, sender: Sender) -> None:
    """Shuffled, doubled and interleaved stories come to exactly what they sum up to."""
    await sender.reaches(600)

    await kept_every_promise(stack, sender)


async def test_f8_a_worker_killed_in_the_middle_of_a_batch(stack: Stack, sender: Sender) -> None:
    """F8: a worker that dies with half of a batch written leaves nothing behind; its events are applied
    once."""
    for worker in stack.workers:
        await faults.kill_worker_mid_batch(stack, worker)

    await kept_every_promise(stack, sender)


async def test_f7_workers_killed_at_any_moment(stack: Stack, sender: Sender) -> None:
    """F7, F9: kills at moments that nobody chose cost no event and apply none twice."""
    for worker in stack.workers * 2:
        await faults.kill(worker)

    await kept_every_promise(stack, sender)


async def test_f1_to_f6_a_receiver_killed_under_load(stack: Stack, sender: Sender) -> None:
    """F1-F6: a receiver killed four times at moments that nobody chose has a row for every 2xx it gave."""
    for _ in range(4):
        await faults.kill(stack.receiver)
        await sender.reaches(len(sender.journal.acknowledged) + 30)

    await kept_every_promise(stack, sender)


async def test_f16_everything_is_replaced_in_order(stack: Stack, sender: Sender) -> None:
    """F16: a rolling restart by SIGTERM of each process under load loses nothing."""
    for kept in stack.kept:
        await faults.stop_in_order(kept)

    await kept_every_promise(stack, sender)


async def test_f20_redis_forgets_everything(stack: Stack, sender: Sender) -> None:
    """F20: FLUSHALL in the middle of the load, again and again, loses no event."""
    for _ in range(10):
        await faults.flush_redis(stack)
        await sender.reaches(len(sender.journal.acknowledged) + 30)

    await kept_every_promise(stack, sender)


async def applied_meanwhile(stack: Stack, sender: Sender, fault: Coroutine[None, None, None]) -> None:
    """While `fault` lasts, deliveries are acknowledged and one of them reaches its final state."""
    lasting = asyncio.create_task(fault)
    try:
        await until(stack.valkey_lock.locked, 10, "the fault to begin")
        await sender.reaches(len(sender.journal.acknowledged) + 100)
        event_id = sender.journal.acknowledged[-1].event_id
        async with stack.connected() as connection:

            async def handled() -> bool:
                state: str | None = await connection.fetchval(
                    "SELECT state FROM webhook_event WHERE event_id = $1", event_id
                )
                return state not in (None, "pending")

            await until(handled, 30, f"{event_id} to be handled")
        assert not lasting.done()
    finally:
        await lasting


async def test_f21_f22_redis_is_away(stack: Stack, sender: Sender) -> None:
    """F21, F22: while Redis is dead deliveries are acknowledged and applied; nobody waits for it."""
    await applied_meanwhile(stack, sender, faults.stop_redis(stack, 8))

    await kept_every_promise(stack, sender)


async def test_f23_redis_hangs(stack: Stack, sender: Sender) -> None:
    """F23: while Redis stands still with its connections open deliveries are acknowledged and applied all
    the same."""
    await applied_meanwhile(stack, sender, faults.freeze_redis(stack, 6))

    await kept_every_promise(stack, sender)


async def test_f29_postgres_restarts(stack: Stack, sender: Sender) -> None:
    """F29: Postgres stopped without a checkpoint and started again, twice, under load: no false 2xx,
    nothing lost, and no process needs a restart."""
    restarts = [kept.restarts for kept in stack.kept]
    for away_s in (0.0, 1.5):
        await faults.restart_postgres(stack, away_s)
        await sender.reaches(len(sender.journal.acknowledged) + 50)

    assert restarts == [kept.restarts for kept in stack.kept]
    await kept_every_promise(stack, sender)


async def test_f30_all_connections_are_ended(stack: Stack, sender: Sender) -> None:
    """F30: every connection ended from the server's side, in the middle of transactions too, five times."""
    for _ in range(5):
        await faults.terminate_backends(stack)
        await sender.reaches(len(sender.journal.acknowledged) + 30)

    await kept_every_promise(stack, sender)


@linux_only
async def test_f32_postgres_hangs(stack: Stack, sender: Sender) -> None:
    """F32: Postgres stands still longer than any delivery may wait: no false 2xx, and everything goes on
    after it."""
    await faults.freeze_postgres(stack, limits.commit_deadline_s + 1)

    await kept_every_promise(stack, sender)


@pytest.mark.parametrize("table", ["webhook_event", "checkout_session"])
async def test_f19_a_table_is_locked(stack: Stack, sender: Sender, table: str) -> None:
    """F19: a lock on the inbox, or on what the workers write, held for seconds as by a careless migration."""
    await faults.lock_table(stack, table, 4)

    await kept_every_promise(stack, sender)


async def test_f14_a_worker_frozen_beyond_its_lease(stack: Stack, sender: Sender) -> None:
    """F14: a worker that stood still in the middle of a transaction for longer than its lease writes nothing
    twice when it goes on."""
    await faults.freeze_worker_mid_batch(stack, stack.workers[0], limits.claim_lease_s + 2)

    await kept_every_promise(stack, sender)


READ_IS_DUE = """
UPDATE outbox_effect SET next_attempt_at = now()
WHERE kind = 'read_refunds' AND state = 'pending' AND object_id LIKE 'pi_withheld_%'
RETURNING id
"""
WAS_READ = "SELECT state = 'done' FROM outbox_effect WHERE id = $1"


async def test_refunds_that_come_after_their_psp_was_asked_for_them(stack: Stack) -> None:
    """A fault so long that a refunded charge's refunds are asked for at the PSP, which does not know them
    either: they come at last, and nobody has been called."""
    stories = WithholdingStories(SEED, "withheld")
    async with telling(stack, stories) as sender, stack.connected() as connection:
        await sender.reaches(400)
        effect_id = await until(lambda: connection.fetchval(READ_IS_DUE), 30, "refunds to be asked for")
        for worker in stack.workers:  # whoever starts looks at once for calls that nobody can make
            await faults.kill(worker)
        await until(lambda: connection.fetchval(WAS_READ, effect_id), 30, "the PSP to have been asked")
        stories.released = True

        await kept_every_promise(stack, sender)


async def test_f73_a_storm_of_faults(stack: Stack, sender: Sender) -> None:
    """F73: several faults at once at moments drawn from a seed; what the campaign does all night, once."""
    await let_loose(stack, draw_storm(SEED, count=6, seconds=6))

    await kept_every_promise(stack, sender)
