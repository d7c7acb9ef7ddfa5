"""Holds what the sender knows against what is stored; finds everything that is lost, doubled, stuck or
unexplained.

Uses the sender's journal and the stories' own sums, and SQL of its own besides the product's invariants.
"""

from __future__ import annotations

import contextlib
from collections import Counter

import asyncpg

from db import checks
from tests.faults.sender import Journal
from tests.faults.stories import Owed
from tests.support.poll import until

final_s_max = 30.0
"""After everything runs again, an acknowledged event may take this long to its final state."""
shown_max = 3

WAITING = """
SELECT (SELECT count(*) FROM webhook_event
        WHERE state IN ('pending', 'parked') AND event_id = ANY($1::text[]))
     + (SELECT count(*) FROM webhook_redelivery WHERE event_id = ANY($1::text[]))
"""
ALARMS = """
SELECT name, subject, detail FROM alert
WHERE subject = ANY($1::text[]) OR NOT (subject LIKE 'stripe:evt_%' OR subject LIKE 'cust_%')
"""
"""Alarms about these stories, and about the machinery; not those of a sender that was stopped half way."""


async def drained(connection: asyncpg.Connection, owed: Owed) -> None:
    """Wait until no event or redelivery of these stories waits for a worker; returns after the bound all the
    same, for `findings` says better what is stuck.
    """
    event_ids = sorted(owed.event_ids)

    async def nothing_waits() -> bool:
        return not await connection.fetchval(WAITING, event_ids)

    with contextlib.suppress(AssertionError):
        await until(nothing_waits, final_s_max, "the inbox to be empty")


async def findings(connection: asyncpg.Connection, journal: Journal, owed: Owed) -> list[str]:
    """Everything that is wrong, one line each; empty when the run has kept every promise."""
    return [
        *_answers(journal),
        *await _lost_deliveries(connection, journal),
        *await _events(connection, journal, owed),
        *await _books(connection, owed),
        *await _refunds(connection, owed),
        *await _alarms(connection, owed),
        *[f"invariant {name}: {rows} rows" for name, rows in (await checks.run(connection)).items() if rows],
    ]


def _answers(journal: Journal) -> list[str]:
    """A genuine delivery is acknowledged, sent away for a while, or not answered at all."""
    return [
        f"answered {status}: {count}"
        for status, count in journal.answers.items()
        if status not in (200, 503, None)
    ]


async def _lost_deliveries(connection: asyncpg.Connection, journal: Journal) -> list[str]:
    """Every 2xx has its row, verified, for the same event, holding bytes with the sha256 that was sent."""
    rows = await connection.fetch(
        "SELECT request_id, event_id, sha256(body) AS sha256 FROM webhook_log"
        " WHERE verdict = 'ok' AND request_id = ANY($1::text[])",
        [entry.request_id for entry in journal.acknowledged],
    )
    stored = {(row["request_id"], row["event_id"], row["sha256"]) for row in rows}
    lost = [e for e in journal.acknowledged if (e.request_id, e.event_id, e.sha256) not in stored]
    return _shown("acknowledged, but not in the log as it was sent", [entry.event_id for entry in lost])


async def _events(connection: asyncpg.Connection, journal: Journal, owed: Owed) -> list[str]:
    """Each acknowledged event is in the inbox once, and has an outcome that needs nobody."""
    rows = await connection.fetch(
        "SELECT event_id, state, reason, last_error, attempts, conflict FROM webhook_event"
        " WHERE event_id = ANY($1::text[])",
        sorted(owed.event_ids),
    )
    states = {row["event_id"]: row["state"] for row in rows}
    acknowledged = {entry.event_id for entry in journal.acknowledged}
    unsettled = [
        f"{row['event_id']} {row['state']} ({row['reason']}, {row['last_error']}, attempt {row['attempts']})"
        for row in rows
        if row["state"] not in ("applied", "ignored", "superseded")
    ]
    return [
        *_shown("never acknowledged", owed.event_ids - acknowledged),
        *_shown("acknowledged, but not in the inbox", acknowledged - states.keys()),
        *_shown("not in a final state", unsettled),
        *_shown("flagged as a conflict", [row["event_id"] for row in rows if row["conflict"]]),
    ]


async def _books(connection: asyncpg.Connection, owed: Owed) -> list[str]:
    """Every account holds what its stories sum up to, by the balance and by its postings."""
    accounts = sorted(owed.credits)
    balances = await connection.fetch(
        "SELECT account_id, amount FROM balance WHERE unit = 'credit' AND account_id = ANY($1::text[])",
        accounts,
    )
    postings = await connection.fetch(
        "SELECT account_id, sum(amount)::bigint AS amount FROM ledger_posting"
        " WHERE unit = 'credit' AND account_id = ANY($1::text[]) GROUP BY 1",
        accounts,
    )
    wrong = []
    for name, rows in (("balance", balances), ("postings", postings)):
        held = Counter({row["account_id"]: row["amount"] for row in rows})
        wrong += [
            f"{account}: {name} {held[account]}, owed {owed.credits[account]}"
            for account in accounts
            if held[account] != owed.credits[account]
        ]
    return _shown("wrong balance", wrong)


async def _refunds(connection: asyncpg.Connection, owed: Owed) -> list[str]:
    """Every refund has the status that its last event told."""
    rows = await connection.fetch(
        "SELECT id, status FROM refund WHERE id = ANY($1::text[])", sorted(owed.refunds)
    )
    known = {row["id"]: row["status"] for row in rows}
    return _shown(
        "wrong refund",
        [
            f"{id_}: {known.get(id_)}, should be {status}"
            for id_, status in owed.refunds.items()
            if known.get(id_) != status
        ],
    )


async def _alarms(connection: asyncpg.Connection, owed: Owed) -> list[str]:
    """No fault of the machinery makes an alarm about money or events."""
    subjects = [*(f"stripe:{event_id}" for event_id in owed.event_ids), *owed.credits]
    rows = await connection.fetch(ALARMS, subjects)
    return _shown("alert", [f"{row['name']} {row['subject']} {row['detail']}" for row in rows])


def _shown(what: str, found: object) -> list[str]:
    listed = sorted(str(one) for one in found)  # type: ignore[attr-defined]  # any collection of texts
    if not listed:
        return []
    return [f"{what}: {len(listed)}, such as {'; '.join(listed[:shown_max])}"]
