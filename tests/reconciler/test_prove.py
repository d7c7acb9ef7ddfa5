"""Proving: the log, applied again by today's rules, makes the live state; one wrong row anywhere is named."""

from __future__ import annotations

import asyncio
import os
import pty
import random
import secrets
import signal
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from db import events
from db.migrate import migrate
from db.prove import COMPARED
from reconciler.prove_compare import DISORDERED, Flags, compare
from tests.reconciler.lived import (
    STORIES,
    Life,
    living,
    mirrored,
    noise,
    off_session,
    order,
    plan,
    said,
    top_up,
)
from tests.reconciler.planted import LEFT_OUT, PLANTED
from tests.support import stripe_events as made
from tests.support.poll import until
from tests.support.processes import Processes

prove_s_max = 60.0


@pytest.fixture
async def life(dsn: str) -> AsyncIterator[Life]:
    """A fresh database and two workers."""
    await migrate(dsn)
    async with living(dsn) as life:
        yield life


async def prove(life: Life, processes: Processes, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run the command to its end: exit status and output."""
    where: dict[str, str | None] = {"DATABASE_URL": life.dsn, "REDIS_URL": "redis://127.0.0.1:1/0"}
    run = processes.start("-m", "reconciler", "prove", *arguments, environment=where | environment)
    return await run.ended(prove_s_max), run.output()


def rows(output: str) -> dict[str, tuple[int, int, int, int]]:
    """The table of the answer: rows, different, by order, from before."""
    found = {}
    for line in output.splitlines():
        name, *counts = line.split()[:5] or [""]
        if name in COMPARED and len(counts) == 4:
            found[name] = tuple(map(int, counts))
    return found  # type: ignore[return-value]  # four of them


async def scratch_databases(life: Life) -> list[str]:
    """What is left on the server of any rebuild."""
    listed = await life.owner.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'sluice_prove_%'")
    return [row["datname"] for row in listed]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_bad_day_is_rebuilt_without_a_difference(life: Life, processes: Processes, seed: int) -> None:
    """Every family, jumbled, doubled, by two workers, beside what our API and operators have made."""
    dice = random.Random(seed)
    stories = [STORIES[number % len(STORIES)](f"cust_{dice.randrange(4)}") for number in range(60)]
    stories.append(await life.open_session("cust_own"))
    await life.open_session("cust_never_paid")
    await life.grant("cust_own", 70_000_000)
    await life.bad_day(stories, dice)
    await life.grant("cust_1", 5)

    status, output = await prove(life, processes)

    assert status == 0, output
    assert list(COMPARED) == list(rows(output))
    assert all(counts[0] > 0 and counts[1] == counts[3] == 0 for counts in rows(output).values()), output
    assert "2 checkout sessions as our API opened them" in output
    assert "2 movements of money by hand" in output


async def test_every_column_is_compared_or_left_out_on_purpose(life: Life) -> None:
    """A column that a migration adds is compared, or a person has decided that it is not."""
    for table, (query, keys) in COMPARED.items():
        compared = [one.name for one in (await life.owner.prepare(query)).get_attributes()]
        columns = await life.owner.fetch(
            """SELECT attname FROM pg_attribute
               WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped""",
            table,
        )
        left_out = LEFT_OUT["*"] | LEFT_OUT.get(table, set())

        assert {row["attname"] for row in columns} - left_out <= {name.removeprefix("~") for name in compared}
        assert keys < len(compared)


@pytest.mark.books_left_broken(reason="one wrong row is planted in every table")
async def test_one_wrong_row_in_each_table_is_named(life: Life, processes: Processes) -> None:
    """Planted as the owner with triggers off: each table's first difference is that row."""
    for story in (
        top_up("a_top"),
        off_session("a_off"),
        order("a_buyer"),
        plan("a_plan"),
        mirrored("a_sub"),
        noise("a"),
    ):
        await life.live(story)
    assert (await prove(life, processes))[0] == 0
    keys = {}
    async with life.owner.transaction():
        await life.owner.execute("SET LOCAL session_replication_role = replica")
        for table, plant in PLANTED.items():
            (row,) = await life.owner.fetch(plant.statement)
            keys[table] = "/".join(str(part) for part in row)

    status, output = await prove(life, processes)

    assert status == 1, output
    assert list(COMPARED) == list(PLANTED)
    for table, plant in PLANTED.items():
        where = f" column {plant.column}:" if plant.column else ""
        assert f"first difference: table {table} key {keys[table]}{where} {plant.values}" in output, output
        assert rows(output)[table][1] == 1, output
    assert "outcome ignored (planted) -> applied: 1 events" in output
    assert await scratch_databases(life) == []


async def test_other_rules_tell_what_they_would_change(life: Life, processes: Processes) -> None:
    """Run with rules that hold test events back, it counts the outcomes that would be others."""
    for account in ("a", "b"):
        await life.live([one._replace(endpoint="eu") for one in off_session(account)])
    await life.live(top_up("c"))

    status, output = await prove(
        life,
        processes,
        WEBHOOK_ENDPOINTS='[{"path":"eu","provider":"stripe","mode":"live","secrets":["whsec_0123456789abcdef"]}]',
    )

    assert status == 1, output
    assert "outcome applied -> quarantined (wrong_mode): 4 events" in output
    assert "first difference: table checkout_session key stripe/" in output


async def test_what_retention_has_taken_is_no_difference(life: Life, processes: Processes) -> None:
    """Without the payloads of a past it cannot say; from a time after them on, it proves the rest."""
    past, later = top_up("a"), mirrored("a")
    await life.live(past[:3])
    await life.live(later[:2])
    gone_until = await life.owner.fetchval("SELECT clock_timestamp()")
    await until(lambda: passed(life.owner, gone_until), 5, "the clock to move on")
    await life.live(past[3:])
    await life.live(later[2:])
    await life.live(top_up("a"))
    await life.live(off_session("b"))
    since = gone_until.isoformat()

    assert (await prove(life, processes))[0] == 0
    async with life.owner.transaction():
        await life.owner.execute("SET LOCAL session_replication_role = replica")
        await life.owner.execute("DELETE FROM webhook_log WHERE received_at <= $1", gone_until)
    unsure, told = await prove(life, processes)
    status, output = await prove(life, processes, "--since", since)

    assert unsure == 2, told
    assert "cannot say more; --since 20" in told
    assert "retention has taken the payloads of 5 events" in told
    assert status == 0, output
    assert rows(told) == rows(output)
    assert rows(output)["checkout_session"] == (3, 0, 0, 1), output
    async with life.owner.transaction():
        await life.owner.execute("SET LOCAL session_replication_role = replica")
        await life.owner.execute("UPDATE checkout_session SET credits = 1 WHERE account_id = 'b'")
    assert (await prove(life, processes, "--since", since))[0] == 1
    await life.owner.execute("UPDATE checkout_session SET credits = 250 WHERE account_id = 'b'")
    for delivery in (*past[:3], *later[:2]):  # the books of the test are checked against the log
        await life.receive([delivery])
    await life.settle()


async def passed(connection: asyncpg.Connection, moment: Any) -> bool:
    """Whether the database's clock is well beyond."""
    return bool(
        await connection.fetchval("SELECT clock_timestamp() > $1::timestamptz + interval '20 ms'", moment)
    )


async def test_waits_that_ended_and_replays_are_rebuilt(life: Life, processes: Processes) -> None:
    """A refund waited in vain; its payment came later and an operator replayed it."""
    session = made.checkout()
    refund = said("refund.created", made.refund(session["payment_intent"], 289))
    await life.live([refund])
    await life.owner.execute("UPDATE webhook_event SET next_attempt_at = now() - interval '1 second'")
    await shift_into_the_past(life.owner)
    await events.expire_parked(life.owner)
    await life.workers[0].run_once()
    await life.live([said("checkout.session.completed", session)])
    assert await life.owner.fetchval("SELECT count(*) FROM webhook_event WHERE state = 'quarantined'") == 1
    status, output = await prove(life, processes)
    assert status == 0, output
    await life.live([refund._replace(origin="operator", actor="ops:ada")])

    status, output = await prove(life, processes)

    assert await life.owner.fetchval("SELECT count(*) FROM webhook_event WHERE state <> 'applied'") == 0
    assert status == 0, output


async def shift_into_the_past(connection: asyncpg.Connection) -> None:
    """Let the whole log be four days older than it is."""
    shift = f"- ({4 * 86_400_000}::bigint << 20), received_at = received_at - interval '4 days'"
    for statement in (
        f"UPDATE webhook_log SET id = id {shift}",
        f"UPDATE webhook_event SET log_id = log_id {shift}",
    ):
        await connection.execute(statement)


async def sides(*rows: dict[str, object]) -> AsyncIterator[dict[str, object]]:
    """One side of a table."""
    for row in rows:
        yield row


@pytest.mark.parametrize(
    ("table", "changed", "found"),
    [
        ("refund", {"version": 2}, (0, 1)),
        ("refund", {"status": "failed"}, (1, 0)),
        ("refund", {"status": "failed", "version": 2}, (1, 0)),
        ("ledger_posting", {"status": "failed"}, (0, 1)),
        ("webhook_event", {"state": "superseded", "reason": "known"}, (0, 1)),
        ("webhook_event", {"state": "quarantined", "reason": "known"}, (1, 0)),
        ("balance", {"amount": 6}, (1, 0)),
    ],
)
async def test_order_excuses_no_state(table: str, changed: dict[str, object], found: tuple[int, int]) -> None:
    """Where events of an object came in another order, its journal may differ, and never what it is."""
    row = {
        "source": "stripe",
        "id": "x",
        "status": "succeeded",
        "version": 1,
        "state": "applied",
        "reason": None,
        "account_id": "a",
        "amount": 5,
    }
    where = {} if table == "balance" else {"~log_id": 7}
    ordered = await compare(
        table, 2, sides(row | where), sides(row | changed | where), Flags(events={7: DISORDERED})
    )
    strict = await compare(table, 2, sides(row | where), sides(row | changed | where), Flags())
    from_before = await compare(table, 2, sides(row | where), sides(), Flags(from_id=8))

    assert (ordered.different, ordered.ordered) == found
    assert (strict.different, strict.ordered) == (1, 0)
    assert (from_before.different, from_before.before) == ((1, 0) if table == "balance" else (0, 1))


async def test_what_an_operator_resolved_is_given(life: Life, processes: Processes) -> None:
    """An event that was taken off the list by hand is named as given, and only when there is a note of it."""
    await life.live(noise("a"))
    resolve = "UPDATE webhook_event SET state = 'ignored', reason = 'resolved' WHERE state = 'quarantined'"
    await life.owner.execute(resolve)
    assert (await prove(life, processes))[0] == 1
    await life.owner.execute(
        """INSERT INTO event_note (source, event_id, what, actor)
           SELECT source, event_id, 'resolved', 'ops' FROM webhook_event WHERE reason = 'resolved'"""
    )

    status, output = await prove(life, processes)

    assert status == 0, output
    assert "2 events resolved by operators" in output


async def test_it_cleans_up_when_it_is_stopped(life: Life, processes: Processes) -> None:
    """Stopped half way it cannot say, and leaves neither a scratch database nor a rebuild behind."""
    await life.bad_day([story("a") for story in STORIES], random.Random(5))
    where: dict[str, str | None] = {"DATABASE_URL": life.dsn, "REDIS_URL": "redis://127.0.0.1:1/0"}
    run = processes.start("-m", "reconciler", "prove", environment=where)
    rebuilding = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'sluice_prove_%'"
    await until(lambda: life.owner.fetchval(rebuilding), 20, "a rebuild")
    run.signal(signal.SIGTERM)

    assert await run.ended() == 2, run.output()
    assert await scratch_databases(life) == []
    assert await life.owner.fetchval(rebuilding) == 0


async def test_a_login_that_may_make_no_database_is_told(
    life: Life, processes: Processes, admin: asyncpg.Connection
) -> None:
    """It cannot say, and says what is missing."""
    name = f"sluice_login_{secrets.token_hex(4)}"
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE sluice_reconciler")
    try:
        host = urlsplit(life.dsn).netloc.rpartition("@")[2]
        dsn = urlunsplit(urlsplit(life.dsn)._replace(netloc=f"{name}:x@{host}"))
        status, output = await prove(life, processes, DATABASE_URL=dsn)
    finally:
        await admin.execute(f"DROP ROLE {name}")

    assert status == 2, output
    assert "may not make a scratch database" in output


async def test_it_proves_a_database_that_is_being_written(life: Life, processes: Processes) -> None:
    """Everything is seen in one snapshot: what happens meanwhile makes no difference."""
    dice = random.Random(4)
    await life.bad_day([story("a") for story in STORIES], dice)
    proving = asyncio.create_task(prove(life, processes))
    while not proving.done():
        await life.bad_day([dice.choice(STORIES)("a")], dice)
    status, output = await proving

    assert status == 0, output


async def test_the_bar_is_for_a_terminal(life: Life, processes: Processes) -> None:
    """On a terminal it shows how far it is; elsewhere nothing but the answer is written."""
    await life.live(off_session("a"))
    _, quiet = await prove(life, processes)
    leader, follower = pty.openpty()
    where: dict[str, str | None] = {"DATABASE_URL": life.dsn, "REDIS_URL": "redis://127.0.0.1:1/0"}
    run = processes.start("-m", "reconciler", "prove", environment=where, output=follower)
    # `output` takes standard error as well.
    status = await run.ended(prove_s_max)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    os.close(follower)

    assert status == 0, shown
    assert "rebuilding [" in shown
    assert "\r" not in quiet
