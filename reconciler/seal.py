"""Seals the log off the hot path: hashes its rows in order, chained over the seal before. Appends seals and
never touches a row of the log.

A seal is the sha256 of its number, the seal before, and id and sha256 of every row it vouches for. Which rows
may be sealed needs care: an id tells when its transaction began, and rows become visible in any order.

1. Nothing younger than `seal_after_s` is sealed, by the database's clock, which ids are made from.
2. Whoever is writing to the log at that moment is waited for, and only then does the sealer look. So one that
   began before the horizon and hangs in its commit, however long, cannot slip in behind a seal.
3. What is left is a transaction that began before the horizon and has not touched the log yet. Ours append at
   once, or after one short statement, and `seal_after_s` is longer than any statement of ours may take.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence

from db import seals
from db.pool import LOST_RACE, type_connection, type_pool
from db.seals import Head
from runtime import limits, telemetry

seal_every_s = 5.0
"""Between two looks; what is in the log can be changed without a trace for this and `seal_after_s`."""
seal_after_s = 15.0
"""Rows younger than this are left for a later seal."""
seal_rows_max = 1_000
"""Rows of one seal: bodies are at most 256 KiB, and all of a seal's are held while they are hashed."""
writers_wait_s = 2.0
"""How long a turn waits for whoever is writing; then it seals nothing and the next turn asks again."""
writers_poll_s = 0.02
before_the_first = bytes(32)
_KIND = b"sluice log seal 1\n"

assert seal_after_s > limits.command_timeout_s, "an append may follow another statement of its transaction"
assert seal_after_s * 1000 > limits.idle_in_transaction_timeout_ms


def digests_of(rows: Sequence[tuple[int, bytes]]) -> bytes:
    """The sha256 of every row's binary form, one after the other."""
    return b"".join(hashlib.sha256(binary).digest() for _, binary in rows)


def seal_of(number: int, previous: bytes, row_ids: Sequence[int], row_digests: bytes) -> bytes:
    """The seal over rows, given by id and digest, as the one of this number after `previous`."""
    hashed = hashlib.sha256(_KIND + number.to_bytes(8, "big") + previous)
    hashed.update(b"".join(row_id.to_bytes(8, "big") for row_id in row_ids))
    hashed.update(row_digests)
    return hashed.digest()


class Sealer:
    """One per reconciler; any number may run, because a number can be taken once only."""

    def __init__(self, connections: type_pool, rows_max: int = seal_rows_max) -> None:
        """`rows_max`: how many rows a seal vouches for at most."""
        self._connections = connections
        self._rows_max = rows_max

    async def run_once(self, after_s: float = seal_after_s) -> Counter[str]:
        """Seal everything older than `after_s` seconds; returns how many seals and rows that made.

        Returns `blocked` instead when somebody holds the log for longer than a turn waits.
        """
        counts: Counter[str] = Counter()
        async with self._connections.acquire(timeout=limits.pool_acquire_s) as connection:
            horizon_id, writers = await seals.horizon(connection, after_s)
            if not await _written(connection, writers):
                telemetry.logger().warning("seal_blocked", writers=len(writers))
                return Counter(blocked=1)
            head = await seals.head(connection)
            while made := await _seal_next(connection, head, horizon_id, self._rows_max):
                head, rows = made
                counts += Counter(seals=1, rows=rows)
        if counts and head is not None:
            # The log of this process is one place outside the database where the head is written down.
            telemetry.logger().info(
                "log_sealed", seal=head.number, last_id=head.last_id, head=head.seal.hex(), **counts
            )
        return counts


async def _written(connection: type_connection, writers: list[str]) -> bool:
    """Wait until these transactions have ended; False when one has not in time."""
    for _ in range(int(writers_wait_s / writers_poll_s)):
        writers = await seals.still_writing(connection, writers)
        if not writers:
            return True
        await asyncio.sleep(writers_poll_s)
    return False


async def _seal_next(
    connection: type_connection, head: Head | None, horizon_id: int, rows_max: int
) -> tuple[Head, int] | None:
    """Seal the next rows; the new head and how many, or None when there is nothing to do."""
    number, after_id, previous = (
        (1, 0, before_the_first) if head is None else (head.number + 1, head.last_id, head.seal)
    )
    if after_id >= horizon_id:
        return None
    rows = await seals.rows_to_hash(connection, after_id, horizon_id - 1, rows_max)
    if not rows:
        return None
    row_ids, row_digests = [row_id for row_id, _ in rows], digests_of(rows)
    seal = seal_of(number, previous, row_ids, row_digests)
    try:
        await seals.add(connection, number, row_ids, row_digests, previous, seal)
    except LOST_RACE:
        return None  # another sealer goes on from here
    return Head(number, row_ids[-1], seal), len(rows)
