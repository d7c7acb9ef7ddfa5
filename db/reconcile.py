"""What the reconciler looks at: rows that wait for their PSP, and what we have of an object. Reads subjects,
writes nothing but its own attempts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from db.here import Here, Wanted, type_row
from db.pool import type_connection
from db.queries import RECONCILE


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of ours to ask its PSP about: `read_kind` and `read_id` say what for; the kind is None where only
    the id is known. `waited_s` is since when.
    """

    source: str
    object_id: str
    read_kind: str | None
    read_id: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """How asking about a candidate ended: `error` is a type or code; `closed` means never again."""

    source: str
    object_id: str
    error: str | None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event about an object that has had no effect yet: its state, whether a worker is at it, its body."""

    state: str
    under_way: bool
    body: bytes


LOCK_TRIES_MAX = 3_000
LOCK_POLL_S = 0.02
"""A minute: whoever holds the lock compares and appends one page, in milliseconds or, on a bad day, seconds.
"""
UNDER_WAY_S = 60.0
"""A pending event is a worker's business for so long; then it is remarkable."""


async def claim(
    connection: type_connection,
    phase: str,
    sources: Sequence[str],
    after_s: float,
    rows_max: int,
    *,
    lease_s: float,
    hurry: bool,
    dry_run: bool,
) -> list[Candidate]:
    """The rows of a phase that have waited longest, leased to the caller. `hurry` leaves out nothing for
    having been asked about lately; a dry run leases nothing.
    """
    rows = await connection.fetch(
        RECONCILE.claim_candidates, phase, list(sources), after_s, rows_max, hurry, lease_s, dry_run
    )
    return [Candidate(*row) for row in rows]


async def settle(
    connection: type_connection,
    phase: str,
    attempts: Sequence[Attempt],
    *,
    backoff_first_s: float,
    backoff_max_s: float,
) -> None:
    """Give leases back; the pause until the next attempt doubles with each."""
    if attempts:
        await connection.execute(
            RECONCILE.settle_attempts,
            phase,
            [one.source for one in attempts],
            [one.object_id for one in attempts],
            backoff_first_s,
            backoff_max_s,
            [one.error for one in attempts],
            [one.closed for one in attempts],
        )


async def forget_attempts(connection: type_connection) -> None:
    """Remove attempts of a month ago."""
    await connection.execute(RECONCILE.forget_attempts)


async def lock_appends(connection: type_connection) -> None:
    """Wait until no other reconciler compares and appends; holds until the end of the transaction.

    Raises TimeoutError. It asks again and again, because a lock that is waited for ends with `lock_timeout`.
    """
    for _ in range(LOCK_TRIES_MAX):
        if await connection.fetchval(RECONCILE.lock_appends):
            return
        await asyncio.sleep(LOCK_POLL_S)
    raise TimeoutError("another reconciler holds the lock")


async def events_here(
    connection: type_connection, source: str, event_ids: Sequence[str]
) -> dict[str, tuple[str, float | None]]:
    """State and time of outcome (unix seconds) of those of these events that the inbox has."""
    rows = await connection.fetch(RECONCILE.events_here, source, list(event_ids))
    return {row["event_id"]: (row["state"], row["applied_at"]) for row in rows}


async def open_events_of(
    connection: type_connection, source: str, object_ids: Sequence[str]
) -> dict[str, list[Waiting]]:
    """The events about each object that have had no effect yet; objects without any are left out."""
    found: dict[str, list[Waiting]] = {}
    for row in await connection.fetch(RECONCILE.open_events_of, source, list(object_ids), UNDER_WAY_S):
        found.setdefault(row["object_id"], []).append(Waiting(row["state"], row["under_way"], row["body"]))
    return found


async def look(connection: type_connection, source: str, wanted: Wanted) -> Here:
    """What we have of all these."""

    async def rows(query: str, *ids: Iterable[str]) -> list[type_row]:
        if not any(ids):
            return []
        return [dict(row) for row in await connection.fetch(query, source, *map(list, ids))]

    payables = await rows(RECONCILE.payables_here, wanted.payments, wanted.payables)
    purchases = await rows(RECONCILE.purchases_here, wanted.checkouts, wanted.payments)
    refunds = await rows(RECONCILE.refunds_here, wanted.refunds)
    return Here(
        _by("id", payables),
        _by("payment_id", payables),
        _by("id", purchases),
        _by("payment_id", purchases),
        _by("id", refunds) | _by("psp_id", refunds),
        _by("id", await rows(RECONCILE.disputes_here, wanted.disputes)),
        _by("id", await rows(RECONCILE.subscriptions_here, wanted.subscriptions)),
        _by("id", await rows(RECONCILE.invoices_here, wanted.invoices)),
        _by("id", await rows(RECONCILE.transfers_here, wanted.transfers)),
        {
            (row["kind"], row["id"]): row
            for row in await rows(RECONCILE.paid_here, wanted.payments, wanted.payables)
        },
    )


def _by(column: str, rows: Iterable[type_row]) -> dict[str, type_row]:
    return {row[column]: row for row in rows if row[column] is not None}


async def here_since(
    connection: type_connection,
    source: str,
    kind: str,
    since: int,
    until: int,
    but: Iterable[str],
    rows_max: int,
) -> list[str]:
    """PSP's ids of objects that became known here between two times (unix seconds), but for some."""
    rows = await connection.fetch(RECONCILE.here_since, source, kind, since, until, list(but), rows_max)
    return [row["id"] for row in rows]


async def refund_call(connection: type_connection, source: str, refund_id: str) -> type_row | None:
    """A refund that we asked for with the state of its call; None when we did not."""
    row = await connection.fetchrow(RECONCILE.refund_call, source, refund_id)
    return None if row is None else dict(row)


async def to_read(connection: type_connection, kind: str, object_id: str) -> list[Candidate]:
    """What to ask which PSP for, to learn of an object of ours by its kind and id."""
    rows = await connection.fetch(RECONCILE.object_to_read, kind, object_id)
    return [Candidate(**row, waited_s=0.0) for row in rows if row["read_id"] is not None]


async def waiting(connection: type_connection, phase: str, object_id: str, after_s: float) -> list[Candidate]:
    """The rows of one object that a phase would look at."""
    rows = await connection.fetch(RECONCILE.candidates_of, phase, object_id, after_s)
    return [Candidate(*row) for row in rows]
