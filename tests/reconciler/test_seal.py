"""The log's seals: whatever is changed in a sealed log is found, and its first bad row named."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO

import asyncpg
import pytest

from db import pool
from db.migrate import migrate
from reconciler.prove_progress import Progress
from reconciler.seal import Sealer
from reconciler.seal_check import Fault, Report, verify
from runtime import clock
from tests.reconciler.sealed import fill, seal_everything
from tests.support.processes import Processes

ROWS, PER_SEAL = 300, 50
NEVER = datetime(2000, 1, 1, tzinfo=UTC)
"""Retention that takes nothing."""


async def checked(
    connection: asyncpg.Connection, anchor: bytes | None = None, keep_from: datetime = NEVER
) -> Report:
    """A verification without a bar."""
    return await verify(connection, keep_from, anchor, Progress(StringIO()))


@dataclass
class Log:
    """A sealed log, its ids in order and the head that somebody has written down."""

    dsn: str
    owner: asyncpg.Connection
    ids: list[int]
    anchor: bytes

    async def verify(self) -> Report:
        """A verification that knows the head."""
        return await checked(self.owner, self.anchor)


@pytest.fixture
async def log(dsn: str) -> AsyncIterator[Log]:
    """300 rows of yesterday under six seals, and a connection that may do anything to them."""
    await migrate(dsn)
    owner = await asyncpg.connect(dsn)
    await fill(owner, ROWS, clock.now() - timedelta(days=1))
    await seal_everything(dsn, PER_SEAL)
    ids = [row["id"] for row in await owner.fetch("SELECT id FROM webhook_log ORDER BY id")]
    anchor = await owner.fetchval("SELECT seal FROM log_seal ORDER BY number DESC LIMIT 1")
    yield Log(dsn, owner, ids, anchor)
    await owner.close()


async def test_an_untouched_log_is_whole(log: Log) -> None:
    """Every row is vouched for, and what came after the last seal is counted and not blamed."""
    await fill(log.owner, 3, clock.now())

    assert Report(None, 6, ROWS, 0, 3, log.anchor, log.ids[-1], True) == await log.verify()


EDITS = (
    "body = body || 'x'::bytea, body_bytes = body_bytes + 1",
    "body = set_byte(body, 0, 91)",
    "verdict = 'stale_ts'",
    "event_id = event_id || 'x'",
    "event_type = NULL",
    "object_id = NULL",
    "source = 'hyperswitch'",
    "endpoint = 'other'",
    "origin = 'operator'",
    "body_sha256 = sha256('x')",
    "headers = '[[]]'",
    "source_ip = '127.0.0.2'",
    "user_agent = ''",
    "request_id = ''",
    "actor = 'me'",
    "requests = 2",
    "signed_at = 0",
    "secret_id = ''",
    "batch_ordinal = batch_ordinal + 1",
    "received_at = received_at + interval '1 microsecond'",
)
"""One for each column but the id."""

COPY_OF_A_ROW = """
INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, body, body_bytes, headers, request_id,
                         batch_ordinal)
SELECT id + 1048576, received_at - $2::interval, source, endpoint, verdict, body, body_bytes, headers, 'x', 0
FROM webhook_log WHERE id = $1
"""

CHANGED_DIGEST = """
UPDATE log_seal SET row_digests = set_byte(row_digests, 0, 255 - get_byte(row_digests, 0)) WHERE number = $1
"""

type_tampering = Callable[[Log, random.Random], Awaitable[Fault]]


async def edit(log: Log, dice: random.Random) -> Fault:
    """Change one column of one row."""
    row_id = dice.choice(log.ids)
    await log.owner.execute(f"UPDATE webhook_log SET {dice.choice(EDITS)} WHERE id = $1", row_id)
    return Fault("edited", row_id, "")


async def renumber(log: Log, dice: random.Random) -> Fault:
    """Give a row another id that sorts into the same place."""
    row_id = dice.choice(log.ids)
    await log.owner.execute("UPDATE webhook_log SET id = id + 1048576 WHERE id = $1", row_id)
    return Fault("missing", row_id, "")


async def delete(log: Log, dice: random.Random) -> Fault:
    """Take some rows away, neighbours or not."""
    gone = dice.sample(log.ids, dice.choice((1, 1, 2, 20)))
    await log.owner.execute("DELETE FROM webhook_log WHERE id = ANY($1::bigint[])", gone)
    return Fault("missing", min(gone), "")


async def insert(log: Log, dice: random.Random) -> Fault:
    """Put a row beside another one."""
    row_id = dice.choice(log.ids[:-1])
    await log.owner.execute(
        COPY_OF_A_ROW,
        row_id,
        timedelta(0),
    )
    return Fault("inserted", row_id + 1048576, "")


async def swap(log: Log, dice: random.Random) -> Fault:
    """Two rows change places: all that they hold but id and time."""
    pair = sorted(dice.sample(log.ids, 2))
    await log.owner.execute(
        """UPDATE webhook_log l SET body = o.body, body_bytes = o.body_bytes, body_sha256 = o.body_sha256,
                                    event_id = o.event_id, object_id = o.object_id, request_id = o.request_id,
                                    batch_ordinal = o.batch_ordinal
           FROM webhook_log o
           WHERE l.id IN ($1, $2) AND o.id IN ($1, $2) AND l.id <> o.id""",
        *pair,
    )
    return Fault("edited", pair[0], "")


async def cut_rows(log: Log, dice: random.Random) -> Fault:
    """Take away the end of the log."""
    first = dice.randrange(1, ROWS)
    await log.owner.execute("DELETE FROM webhook_log WHERE id >= $1", log.ids[first])
    return Fault("missing", log.ids[first], "")


async def cut_with_seals(log: Log, dice: random.Random) -> Fault:
    """Take away the end of the log and, with triggers off, every seal that knew of it."""
    seals = dice.randrange(0, ROWS // PER_SEAL)
    kept = log.ids[seals * PER_SEAL - 1] if seals else 0
    await log.owner.execute("SET LOCAL session_replication_role = replica")
    await log.owner.execute("DELETE FROM log_seal WHERE number > $1", seals)
    await log.owner.execute("DELETE FROM webhook_log WHERE id > $1", kept)
    return Fault("cut", kept, "")


async def lose_a_seal(log: Log, dice: random.Random) -> Fault:
    """Take away a seal in the middle, or change one."""
    number = dice.randrange(1, ROWS // PER_SEAL)
    await log.owner.execute("SET LOCAL session_replication_role = replica")
    await log.owner.execute(
        dice.choice(
            (
                "DELETE FROM log_seal WHERE number = $1",
                CHANGED_DIGEST,
                "UPDATE log_seal SET previous = sha256('x') WHERE number = $1",
                "UPDATE log_seal SET seal = sha256('x') WHERE number = $1",
            )
        ),
        number,
    )
    return Fault("seal", log.ids[(number - 1) * PER_SEAL - 1] if number > 1 else 0, "")


TAMPERINGS: list[type_tampering] = [
    edit, edit, renumber, delete, insert, swap, cut_rows, cut_with_seals, lose_a_seal,
]  # fmt: skip


async def test_a_thousand_tamperings_are_found_and_their_first_row_named(log: Log) -> None:
    """Random edits, deletes, insertions, swaps and tail cuts, one at a time: each is found."""
    dice = random.Random(6)
    wrong = []
    for number in range(1000):
        tampering = TAMPERINGS[number % len(TAMPERINGS)]
        undone = log.owner.transaction()
        await undone.start()
        planted = await tampering(log, dice)
        found = (await log.verify()).fault
        await undone.rollback()
        if found is None or (found.what, found.log_id) != (planted.what, planted.log_id):
            wrong.append(f"{tampering.__name__}: {planted} was reported as {found}")

    assert wrong == []
    assert None is (await log.verify()).fault


async def test_a_row_out_of_its_time_is_found(log: Log) -> None:
    """A row whose time is not that of its id hides from look-ups by id, and is told all the same."""
    await log.owner.execute(
        COPY_OF_A_ROW,
        log.ids[100],
        timedelta(days=30),
    )

    found = (await log.verify()).fault
    assert found is not None
    assert ("inserted", log.ids[100] + 1048576) == (found.what, found.log_id)


async def test_what_retention_has_taken_stays_vouched_for(log: Log) -> None:
    """Rows older than retention keeps may be gone; the chain over them stays whole."""
    await log.owner.execute("DELETE FROM webhook_log WHERE id = ANY($1::bigint[])", log.ids[10:60])
    at = clock.now()

    assert (await log.verify()).fault.what == "missing"  # type: ignore[union-attr]  # it is there, or the test fails
    after_retention = await checked(log.owner, log.anchor, keep_from=at)
    assert (after_retention.fault, after_retention.gone, after_retention.rows) == (None, 50, ROWS - 50)
    await log.owner.execute("UPDATE webhook_log SET request_id = 'x' WHERE id = $1", log.ids[5])
    assert (await checked(log.owner, keep_from=at)).fault.what == "edited"  # type: ignore[union-attr]  # as above


async def test_nobody_may_change_a_seal(log: Log) -> None:
    """Not the reconciler, which appends them, and not even the owner while triggers are on."""
    for role in (None, "sluice_reconciler", "sluice_worker", "sluice_api", "sluice_retention"):
        async with log.owner.transaction():
            if role is not None:
                await log.owner.execute(f"SET LOCAL ROLE {role}")
            for statement in (
                "UPDATE log_seal SET seal = previous",
                "DELETE FROM log_seal",
                "TRUNCATE log_seal",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with log.owner.transaction():
                        await log.owner.execute(statement)


async def test_a_late_commit_is_waited_for(dsn: str) -> None:
    """A row that was begun before the horizon and is committed after the sealer looked is never left out."""
    await migrate(dsn)
    slow, owner = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    connections = await pool.create_pool(dsn, "sluice_reconciler", "test-sealer", size_max=1)
    sealer = Sealer(connections)
    async with slow.transaction():
        await fill(slow, 1, clock.now() - timedelta(minutes=2))
        await fill(owner, 1, clock.now() - timedelta(minutes=1))
        turn = asyncio.create_task(sealer.run_once())
        blocked = await turn
    sealed = await sealer.run_once()
    report = await checked(owner)
    await connections.close()
    await owner.close()
    await slow.close()

    assert dict(blocked) == {"blocked": 1}
    assert dict(sealed) == {"seals": 1, "rows": 2}
    assert (report.fault, report.rows, report.unsealed) == (None, 2, 0)


async def test_two_sealers_make_one_chain(dsn: str) -> None:
    """However many reconcilers run, a number is taken once, and the chain holds every row once."""
    await migrate(dsn)
    owner = await asyncpg.connect(dsn)
    await fill(owner, ROWS, clock.now() - timedelta(hours=1))
    await asyncio.gather(*[seal_everything(dsn, 7) for _ in range(4)])
    await seal_everything(dsn, 7)
    report = await checked(owner)
    await owner.close()

    assert (report.fault, report.rows, report.unsealed) == (None, ROWS, 0)


async def test_speed_is_told(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Sealing and verifying a log of 20,000 bodies of 1 KiB: the figures are printed, not judged."""
    await migrate(dsn)
    rows = 20_000
    owner = await asyncpg.connect(dsn)
    await fill(owner, rows, clock.now() - timedelta(hours=1), body_bytes=1024)
    began = time.monotonic()
    await seal_everything(dsn, rows_max=1000)
    sealed = time.monotonic()
    report = await checked(owner)
    verified = time.monotonic()
    kept = await owner.fetchval("SELECT pg_total_relation_size('log_seal') / $1::float8", float(rows))
    await owner.close()
    with capsys.disabled():
        print(
            f"\nseal: {rows / (sealed - began):,.0f} rows/s,"
            f" verify: {rows / (verified - sealed):,.0f} rows/s, {kept:.0f} bytes a row"
        )

    assert (None, rows) == (report.fault, report.rows)


async def test_the_commands_name_the_head_and_the_first_bad_row(log: Log, processes: Processes) -> None:
    """0 for a whole log, 1 with the first bad row; a head written down proves that nothing was cut."""
    environment: dict[str, str | None] = {"DATABASE_URL": log.dsn, "REDIS_URL": "redis://127.0.0.1:1/0"}

    async def run(*arguments: str) -> tuple[int, str]:
        started = processes.start("-m", "reconciler", *arguments, environment=environment)
        return await started.ended(), started.output()

    status, head = await run("seal-head")
    assert (0, f"{log.anchor.hex()} 6 {log.ids[-1]}") == (status, head.strip())
    status, output = await run("verify-log", "--anchor", head.split()[0])
    assert (status, "the log is whole" in output) == (0, True)
    async with log.owner.transaction():
        await log.owner.execute("SET LOCAL session_replication_role = replica")
        await log.owner.execute("DELETE FROM log_seal WHERE number > 4")
        await log.owner.execute("DELETE FROM webhook_log WHERE id > $1", log.ids[199])
    assert (await run("verify-log"))[0] == 0
    status, output = await run("verify-log", "--anchor", log.anchor.hex())
    assert (status, f"after log row {log.ids[199]}" in output) == (1, True)
    await log.owner.execute("UPDATE webhook_log SET verdict = 'stale_ts' WHERE id = $1", log.ids[70])
    status, output = await run("verify-log")
    assert (status, f"log row {log.ids[70]} was edited" in output) == (1, True)
    opened = await log.owner.fetch("SELECT name, subject FROM alert WHERE resolved_at IS NULL ORDER BY id")
    assert [("log_tampered", f"log:{log.ids[199]}"), ("log_tampered", f"log:{log.ids[70]}")] == [
        tuple(row) for row in opened
    ]
    assert (await run("verify-log", "--anchor", "nonsense"))[0] == 2
