"""Fills a test's database as the product does: deliveries are appended, and a real worker applies them."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

import asyncpg

from db import events, log_ids, pool
from db.events import Delivery
from psp.reading import Expected
from psp.stripe import envelope, signature
from tests.api.house import WEBHOOK_SECRET
from tests.support.stripe_events import encode
from workers.drain import Drainer

_LATEST = "SELECT id FROM webhook_log ORDER BY id DESC LIMIT 1"
_OLD_ROW = """
INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, body, body_bytes, headers, request_id,
                         batch_ordinal)
VALUES ($1, $2, 'stripe', 'stripe', 'bad_sig', '', 0, '[]', $3, 0)
"""

MEASURED = """
INSERT INTO completeness_measure (run_id, source, since, until, in_time_s, begun, types)
SELECT id, 'stripe', floor(extract(epoch FROM now())) - 3600, floor(extract(epoch FROM now())), 60, true,
       '{"charge.refunded": [4, 1], "refund.created": [6, 6]}'
FROM reconcile_run ORDER BY seq DESC LIMIT 1
"""
"""What the latest run has measured of the last hour: seven events of ten were in time."""


def delivery(body: bytes, **changes: Any) -> Delivery:
    """A verified Stripe delivery of these bytes, as the receiver would append it."""
    read = envelope.read(body)
    made: dict[str, Any] = {
        "source": "stripe",
        "endpoint": "stripe",
        "origin": "psp",
        "verdict": "ok",
        "secret_id": "0a1b2c3d",
        "signed_at": 1_795_000_000,
        "event_id": read.event_id or f"sha256:{hashlib.sha256(body).hexdigest()}",
        "event_type": read.event_type,
        "object_id": read.object_id,
        "psp_created": read.psp_created,
        "body": body,
        "body_bytes": len(body),
        "body_sha256": hashlib.sha256(body).digest(),
        "headers": kept_headers([("content-type", "application/json")]),
        "source_ip": "192.0.2.7",
        "user_agent": "Stripe/1.0",
        "request_id": "req-of-the-sender",
    }
    return Delivery(**(made | changes))


def refused(body: bytes, verdict: str = "bad_sig", **changes: Any) -> Delivery:
    """A refused delivery; nothing but its claim of an event id is known."""
    return delivery(body, **({"verdict": verdict, "secret_id": None, "signed_at": None} | changes))


def kept_headers(pairs: list[tuple[str, str]]) -> bytes:
    """Headers as the log keeps them."""
    return json.dumps(pairs).encode()


def signed_headers(body: bytes, timestamp: int, secret: str = WEBHOOK_SECRET) -> bytes:
    """The kept headers of a delivery that was signed with `secret`."""
    return kept_headers([("stripe-signature", signature.sign(body, secret.encode(), timestamp))])


class Seed:
    """Writes into one test's database and reads back what the API must not be asked for."""

    def __init__(self, connection: asyncpg.Connection, workers: asyncpg.Pool) -> None:
        self.connection = connection
        self._workers = workers

    async def append(self, *deliveries: Delivery) -> list[int]:
        """Append deliveries one commit each; returns their ids in order."""
        ids = []
        for each in deliveries:
            await events.append(self.connection, [each])
            ids.append(int(await self.connection.fetchval(_LATEST)))
        return ids

    async def event(self, body: object) -> int:
        """Append the verified delivery of one event; returns the delivery's id."""
        return (await self.append(delivery(encode(body))))[0]

    async def drain(self) -> dict[str, int]:
        """Let a real worker apply what is due; returns how many events ended in which state."""
        return dict(await Drainer(self._workers, {"stripe": Expected()}).run_once())

    async def applied(self, body: object) -> int:
        """Append and apply one event; returns the delivery's id."""
        log_id = await self.event(body)
        await self.drain()
        return log_id

    async def row_at(self, at: datetime, request_id: str) -> int:
        """A refused row that came at a time of the past."""
        log_id = (int(at.timestamp() * 1000) << log_ids.SEQUENCE_BITS) | 1
        await self.connection.execute(_OLD_ROW, log_id, at, request_id)
        return log_id

    async def grant(self, account_id: str, unit: str, amount: int) -> None:
        """Post `amount` minor units from the house to an account, as a grant."""
        async with self.connection.transaction():
            await self.connection.execute(
                "INSERT INTO account (id) VALUES ($1) ON CONFLICT DO NOTHING", account_id
            )
            transaction = await self.connection.fetchval(
                "INSERT INTO ledger_transaction (source, movement, money_object, actor) "
                "VALUES ('tests', 'grant', gen_random_uuid()::text, 'tests') RETURNING id"
            )
            await self.connection.execute(
                "INSERT INTO ledger_posting (transaction_id, account_id, unit, amount) "
                "VALUES ($1, 'system:grants', $3, -$4::bigint), ($1, $2, $3, $4)",
                transaction,
                account_id,
                unit,
                amount,
            )

    async def value(self, query: str, *arguments: object) -> Any:
        """The single value of a query."""
        return await self.connection.fetchval(query, *arguments)

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """All rows of a query."""
        return [dict(row) for row in await self.connection.fetch(query, *arguments)]


async def worker_pool(dsn: str) -> asyncpg.Pool:
    """A pool as the worker's role."""
    return await pool.create_pool(dsn, "sluice_worker", "tests-worker", 4)
