"""The rows that the journal is checked against are the transition tables of `billing`, all of them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator

import asyncpg
import pytest

from billing.order_states import TRANSFER
from billing.purchase_states import walk
from tests.db.test_schema import check_values
from tests.house.state_diagrams import MACHINES


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of a fresh database."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


async def test_the_rows_are_the_tables_of_billing(database: asyncpg.Connection) -> None:
    """A table that changes without its rows would make honest steps look like tampering, or hide it."""
    allowed = await database.fetch("SELECT kind, from_state, to_state FROM allowed_transition")
    corrections = await database.fetch("SELECT kind, rule FROM correction_rule")

    assert {tuple(row) for row in allowed} == {
        (machine.name, edge.from_state, edge.to_state) for machine in MACHINES for edge in machine.edges
    }
    assert {tuple(row) for row in corrections} == {
        (machine.name, machine.correction) for machine in MACHINES if machine.correction is not None
    }


async def test_every_kind_of_the_journal_has_a_table(database: asyncpg.Connection) -> None:
    """What the journal may hold is what some table allows."""
    assert await check_values(database, "state_transition_kind") == {machine.name for machine in MACHINES}


def test_terminal_states_can_be_told_from_the_rows() -> None:
    """The check takes for terminal what no edge leaves."""
    for machine in MACHINES:
        left = {edge.from_state for edge in machine.edges}

        assert set(machine.states) - left == set(machine.terminal), machine.name


TRANSFER_STEPS = {
    (None, "completed"), (None, "reversal_pending"), (None, "reversed"),
    ("completed", "completed"), ("completed", "reversal_pending"), ("completed", "reversed"),
    ("completed", "permanently_failed"),
    ("reversal_pending", "completed"), ("reversal_pending", "reversal_pending"),
    ("reversal_pending", "reversed"), ("reversal_pending", "permanently_failed"),
    ("permanently_failed", "permanently_failed"), ("permanently_failed", "reversed"),
}  # fmt: skip
"""Written down a second time. A transfer begins when the PSP tells of it, so nothing is pending or failed
before that, and a reversal that was given up and comes back after all is believed.
"""


async def test_every_pair_of_a_transfers_states_is_decided(database: asyncpg.Connection) -> None:
    """The whole matrix: a step is made and allowed in the database, or it is refused and told as
    tampering.
    """
    rows = await database.fetch("SELECT from_state, to_state FROM allowed_transition WHERE kind = 'transfer'")
    walked = set()
    for pair in itertools.product([None, *TRANSFER.states, "unknown"], [*TRANSFER.states, "unknown"]):
        with contextlib.suppress(AssertionError):
            walk(TRANSFER, "tr_1", 1, *pair)
            walked.add(pair)

    assert walked == TRANSFER_STEPS
    assert {tuple(row) for row in rows} == TRANSFER_STEPS
    assert await check_values(database, "seller_transfer_status") == set(TRANSFER.states)
