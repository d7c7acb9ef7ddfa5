"""Checks the checker: whatever is taken away, doubled, altered or left behind after a clean run, the proof
finds it."""

from __future__ import annotations

import dataclasses
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from db import embedded
from runtime import guardian
from tests.faults.proof import drained, findings
from tests.faults.sender import Journal, Sender
from tests.faults.stack import SECRET, running_stack
from tests.faults.stories import Owed, Stories
from tests.receiver.scratch import ScratchPostgres, scratch_postgres


@dataclass
class CleanRun:
    """A finished run whose processes have ended: its database to copy, and what its sender knows."""

    postgres: ScratchPostgres
    journal: Journal
    owed: Owed


@pytest.fixture(scope="module")
async def clean_run(
    children: guardian.Children, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[CleanRun]:
    """Five hundred deliveries without a fault, all applied."""
    directory = tmp_path_factory.mktemp("proof")
    async with running_stack(directory, children, workers=1, sweep_interval="1s") as stack:
        sender = Sender(stack.port, SECRET, Stories(1, "proof"))
        try:
            await sender.start(warm=500)
            await sender.finish()
        finally:
            await sender.abort()
        async with stack.connected() as connection:
            await drained(connection, sender.stories.owed)
    # The processes have ended with the block, and the server too: started again, nobody is connected to it.
    async with scratch_postgres(directory / "servers", children) as postgres:
        yield CleanRun(postgres, sender.journal, sender.stories.owed)


@pytest.fixture
async def copy(clean_run: CleanRun) -> AsyncIterator[asyncpg.Connection]:
    """A copy of the clean run's database, in which rows may be altered that no process could alter."""
    name = f"copy_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(clean_run.postgres.server.url_of("postgres"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {embedded.DATABASE}")
    connection = await asyncpg.connect(clean_run.postgres.server.url_of(name))
    await connection.execute("SET session_replication_role = replica")  # triggers would refuse what we plant
    yield connection
    await connection.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def test_a_clean_run_has_no_findings(clean_run: CleanRun, copy: asyncpg.Connection) -> None:
    """After five hundred deliveries without a fault nothing is found."""
    assert len(clean_run.journal.acknowledged) >= 500
    assert await findings(copy, clean_run.journal, clean_run.owed) == []


DOUBLED_TOPUP = """
WITH doubled AS (
    INSERT INTO ledger_transaction (source, movement, money_object, actor)
    SELECT source, movement, money_object || '_again', 'planted' FROM ledger_transaction
    WHERE movement = 'topup' ORDER BY id LIMIT 1 RETURNING id, money_object
), legs AS (
    INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
    SELECT d.id, p.account_id, p.unit, p.amount FROM doubled d
    JOIN ledger_transaction t ON t.money_object || '_again' = d.money_object AND t.movement = 'topup'
    JOIN ledger_posting p ON p.transaction_id = t.id RETURNING account_id, unit, amount
)
UPDATE balance b SET amount = b.amount + l.amount FROM legs l
WHERE b.account_id = l.account_id AND b.unit = l.unit
"""
"""A second credit for one purchase, in perfect double entry: only the sums that are owed can tell."""

LAST_LOG_ROW = "WHERE id = (SELECT max(id) FROM webhook_log)"
LAST_EVENT = "WHERE log_id = (SELECT max(log_id) FROM webhook_event)"
LAST_TRANSITION = (
    "SELECT kind, object_id, seq FROM state_transition ORDER BY kind DESC, object_id, seq DESC LIMIT 1"
)

PLANTED = {
    "a_log_row_is_gone": (f"DELETE FROM webhook_log {LAST_LOG_ROW}", "acknowledged, but not in the log"),
    "stored_bytes_differ": (
        f"UPDATE webhook_log SET body = body || ' ', body_bytes = body_bytes + 1 {LAST_LOG_ROW}",
        "acknowledged, but not in the log",
    ),
    "an_event_is_gone": (f"DELETE FROM webhook_event {LAST_EVENT}", "acknowledged, but not in the inbox"),
    "an_event_still_waits": (
        f"UPDATE webhook_event SET state = 'pending' {LAST_EVENT}",
        "not in a final state",
    ),
    "an_event_is_in_quarantine": (
        f"UPDATE webhook_event SET state = 'quarantined', reason = 'planted' {LAST_EVENT}",
        "not in a final state",
    ),
    "a_balance_is_one_too_high": (
        "UPDATE balance SET amount = amount + 1 WHERE account_id LIKE 'cust_proof_%'",
        "invariant balance_is_sum_of_postings",
    ),
    "a_purchase_is_credited_twice": (DOUBLED_TOPUP, "wrong balance"),
    "a_refund_ended_otherwise": (
        "UPDATE refund SET status = 'canceled' WHERE id = (SELECT min(id) FROM refund)",
        "wrong refund",
    ),
    "an_alarm_was_raised": ("INSERT INTO alert (name, subject) VALUES ('planted', 'x')", "alert"),
    "a_transition_is_missing": (
        f"DELETE FROM state_transition WHERE (kind, object_id, seq) = ({LAST_TRANSITION})",
        "invariant state_is_last_transition",
    ),
}


@pytest.mark.parametrize(("statement", "found"), PLANTED.values(), ids=PLANTED.keys())
async def test_what_is_planted_in_the_database_is_found(
    clean_run: CleanRun, copy: asyncpg.Connection, statement: str, found: str
) -> None:
    """One altered or missing row in a clean run is named by the proof."""
    await copy.execute(statement)

    told = await findings(copy, clean_run.journal, clean_run.owed)

    assert [line for line in told if found in line] != []


async def test_a_lying_receiver_is_found(clean_run: CleanRun, copy: asyncpg.Connection) -> None:
    """A 2xx for a delivery that was never stored, or was stored with other bytes, and any unexpected
    answer are found."""
    real = clean_run.journal.acknowledged
    never_stored = dataclasses.replace(real[0], request_id="never_stored")
    other_bytes = dataclasses.replace(real[1], sha256=bytes(32))
    journal = Journal([*real, never_stored, other_bytes], clean_run.journal.answers + Counter({500: 1}))

    told = await findings(copy, journal, clean_run.owed)

    assert (
        len([line for line in told if line.startswith("acknowledged, but not in the log as it was sent: 2,")])
        == 1
    )
    assert "answered 500: 1" in told


async def test_a_wrong_sum_is_found(clean_run: CleanRun, copy: asyncpg.Connection) -> None:
    """An account that is owed one credit more than it holds, and an event that was never acknowledged, are
    found."""
    account = min(clean_run.owed.credits)
    owed = Owed(
        clean_run.owed.credits + Counter({account: 1}),
        clean_run.owed.refunds,
        clean_run.owed.event_ids | {"evt_lost"},
    )

    told = await findings(copy, clean_run.journal, owed)

    assert len([line for line in told if line.startswith(f"wrong balance: 2, such as {account}")]) == 1
    assert "never acknowledged: 1, such as evt_lost" in told
