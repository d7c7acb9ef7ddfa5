"""The faults: each one strikes a running stack, lasts as long as it is told, and is healed when it
returns."""

from __future__ import annotations

import signal
import time

import asyncpg
import redis.asyncio

from tests.faults.stack import Kept, Stack
from tests.support.poll import until

blocked_s_max = 10.0
restart_s_max = 45.0
"""A process may be frozen when it is told to end, and then has its own time to do so."""


WORKERS_WAIT = """
SELECT count(*) >= $1 AND bool_or(query LIKE '%ledger_posting%') FROM pg_stat_activity
WHERE application_name = 'sluice-worker' AND wait_event_type = 'Lock'
"""


class NotCarriedOutError(Exception):
    """The circumstances that a fault needs did not come about, because of another fault: nothing has been
    hurt."""


async def hold(seconds: float) -> None:
    """Let a fault last."""
    end = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= end, seconds + 10, "the time to pass")


async def kill(kept: Kept) -> None:
    """SIGKILL; the harness starts it again."""
    restarts = kept.restarts
    kept.signal(signal.SIGKILL)
    await until(lambda: kept.restarts > restarts, 10, f"{kept.module} to be started again")
    await kept.works()


async def stop_in_order(kept: Kept) -> None:
    """SIGTERM, as a deploy sends it; the harness starts it again."""
    restarts = kept.restarts
    kept.signal(signal.SIGTERM)
    await until(lambda: kept.restarts > restarts, restart_s_max, f"{kept.module} to end and be started again")
    await kept.works()


async def freeze(kept: Kept, seconds: float) -> None:
    """SIGSTOP, and SIGCONT after so many seconds: a process that believes no time has passed."""
    kept.signal(signal.SIGSTOP)
    try:
        await hold(seconds)
    finally:
        kept.signal(signal.SIGCONT)


async def workers_in_the_middle(stack: Stack) -> asyncpg.Connection:
    """Hold all workers where they have claimed events and begun to write: the first posting to a balance
    waits for a lock, and so does whoever needs what that one has written. The caller strikes, then closes
    the returned connection to release them."""
    holder = None
    try:
        holder = await asyncpg.connect(stack.postgres.dsn, command_timeout=blocked_s_max)
        await holder.execute("BEGIN; LOCK TABLE balance IN SHARE MODE")
        async with stack.connected() as watcher:  # in the holder's transaction the view would stand still

            async def waiting() -> bool:
                return bool(await watcher.fetchval(WORKERS_WAIT, len(stack.workers)))

            await until(waiting, blocked_s_max, "every worker to be in the middle of a batch")
    except (AssertionError, TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if holder is not None:
            holder.terminate()
        raise NotCarriedOutError(str(error)) from error
    return holder


async def kill_worker_mid_batch(stack: Stack, worker: Kept) -> None:
    """SIGKILL a worker that has claimed a batch and written half of it. Raises NotCarriedOutError."""
    async with stack.postgres_lock:
        holder = await workers_in_the_middle(stack)
        worker.signal(signal.SIGKILL)
        holder.terminate()
    await kill(worker)


async def freeze_worker_mid_batch(stack: Stack, worker: Kept, seconds: float) -> None:
    """SIGSTOP a worker in the middle of a transaction, longer than its claims are leased, then let it go on.
    Raises NotCarriedOutError.
    """
    async with stack.postgres_lock:
        holder = await workers_in_the_middle(stack)
        worker.signal(signal.SIGSTOP)
        holder.terminate()
    await freeze(worker, seconds)


async def flush_redis(stack: Stack) -> None:
    """FLUSHALL: every job, lease and counter in Redis is gone at once."""
    client = redis.asyncio.Redis.from_url(stack.valkey.url, socket_timeout=2, socket_connect_timeout=2)
    try:
        await client.flushall()
    except (redis.RedisError, OSError):
        pass  # it is away or hangs: nothing can be taken from it now
    finally:
        await client.aclose()


async def stop_redis(stack: Stack, seconds: float) -> None:
    """Redis is killed and stays away."""
    async with stack.valkey_lock:
        await stack.valkey.stop()
        try:
            await hold(seconds)
        finally:
            await stack.valkey.start()


async def freeze_redis(stack: Stack, seconds: float) -> None:
    """Redis hangs with its connections open."""
    async with stack.valkey_lock, stack.valkey.frozen():
        await hold(seconds)


async def restart_postgres(stack: Stack, seconds: float = 0.0) -> None:
    """Postgres stops without a checkpoint, stays away, and recovers."""
    async with stack.postgres_lock:
        await stack.postgres.stop_immediately()
        try:
            await hold(seconds)
        finally:
            await stack.postgres.start()


async def freeze_postgres(stack: Stack, seconds: float) -> None:
    """Postgres hangs with its connections open."""
    async with stack.postgres_lock, stack.postgres.frozen():
        await hold(seconds)


async def terminate_backends(stack: Stack) -> None:
    """An administrator ends every connection."""
    async with stack.postgres_lock:
        await stack.postgres.terminate_backends()


async def lock_table(stack: Stack, table: str, seconds: float) -> None:
    """Somebody holds a table's strongest lock."""
    async with stack.postgres_lock, stack.postgres.locked(table):
        await hold(seconds)
