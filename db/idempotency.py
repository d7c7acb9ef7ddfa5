"""Rows of idempotency keys: claim one, keep its answer, or let it go. Knows nothing of what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from db.pool import type_connection
from db.queries import Queries

IDEMPOTENCY = Queries("idempotency.sql")


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the work of a key now. `operation_id` is the same on every attempt."""

    caller: str
    key: str
    operation_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands under a key; `status` and `body` are None while the work is under way."""

    request_sha256: bytes
    state: str
    status: int | None
    body: bytes | None


async def claim(
    connection: type_connection, caller: str, key: str, request_sha256: bytes, lease_s: float
) -> Claim | Standing:
    """Take the key for `lease_s` seconds, or tell what stands there."""
    while True:
        row = await connection.fetchrow(IDEMPOTENCY.claim_key, caller, key, request_sha256, lease_s)
        if row is not None:
            return Claim(caller, key, row["operation_id"], row["attempt"])
        found = await connection.fetchrow(IDEMPOTENCY.read_key, caller, key)
        if found is not None:  # else retention has just taken it: it can be claimed
            return Standing(*found)


async def answer(connection: type_connection, claim: Claim, status: int, body: bytes) -> None:
    """Keep the answer as long as its key; one that comes after another attempt has taken over is dropped."""
    await connection.execute(IDEMPOTENCY.answer_key, claim.caller, claim.key, claim.attempt, status, body)


async def release(connection: type_connection, claim: Claim) -> None:
    """Let the next request try again at once."""
    await connection.execute(IDEMPOTENCY.release_key, claim.caller, claim.key, claim.attempt)
