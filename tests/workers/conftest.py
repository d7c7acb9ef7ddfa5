"""A receiver's append and a worker's drain over one fresh database, without processes in between."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from billing.commands import Command
from db import events, pool
from db.events import Delivery
from psp.envelope import Envelope
from psp.providers import RECEIVERS
from psp.reading import Expected
from psp.sluice import commands
from psp.stripe import envelope
from tests.support import stripe_events as made
from workers.drain import Drainer


def delivery(body: bytes, **changes: Any) -> Delivery:
    """A verified Stripe delivery of `body`, as the receiver would append it."""
    read = envelope.read(body)
    digest = hashlib.sha256(body).digest()
    row = Delivery(
        source="stripe",
        endpoint="stripe",
        origin="psp",
        verdict="ok",
        secret_id="00000000",
        signed_at=made.CREATED,
        event_id=read.event_id or f"sha256:{digest.hex()}",
        event_type=read.event_type,
        object_id=read.object_id,
        psp_created=read.psp_created,
        body=body,
        body_bytes=len(body),
        body_sha256=digest,
        headers=b"[]",
        source_ip="127.0.0.1",
        user_agent=None,
        request_id="test",
    )
    return row._replace(**changes)


def _envelope(read: Envelope) -> dict[str, Any]:
    return {
        "event_id": read.event_id,
        "event_type": read.event_type,
        "object_id": read.object_id,
        "psp_created": read.psp_created,
    }


@dataclass
class House:
    """The inbox and one worker."""

    dsn: str
    admin: asyncpg.Connection
    connections: asyncpg.Pool
    drainer: Drainer

    async def receive(self, *bodies: dict[str, Any] | bytes, **changes: Any) -> None:
        """Append deliveries in one group commit."""
        encoded = [body if isinstance(body, bytes) else made.encode(body) for body in bodies]
        await events.append(self.admin, [delivery(body, **changes) for body in encoded])

    async def drain(self) -> Counter[str]:
        """Apply all that is due."""
        return await self.drainer.run_once()

    async def process(self, *bodies: dict[str, Any] | bytes, **changes: Any) -> Counter[str]:
        """Receive and drain."""
        await self.receive(*bodies, **changes)
        return await self.drain()

    async def tell(self, source: str, *bodies: dict[str, Any]) -> None:
        """Append verified events of any provider in one group commit."""
        encoded = [made.encode(body) for body in bodies]
        reader = RECEIVERS[source].read_envelope
        await events.append(
            self.admin,
            [delivery(body, source=source, endpoint=source, **_envelope(reader(body))) for body in encoded],
        )

    async def order(self, *ours: Command) -> None:
        """Append commands of our own."""
        for command in ours:
            body = commands.event_body(command, made.unique("own"), made.CREATED)
            read = json.loads(body)
            named = {"event_id": read["id"], "event_type": read["type"], "psp_created": made.CREATED}
            row = delivery(body, source=commands.SOURCE, endpoint="outbox", origin="operator", **named)
            await events.append(self.admin, [row])

    async def credits(self, account: str = "cust_1") -> int:
        """The account's balance of credits; 0 when it has none."""
        query = "SELECT amount FROM balance WHERE account_id = $1 AND unit = 'credit'"
        return await self.admin.fetchval(query, account) or 0

    async def outcomes(self) -> list[tuple[str, str | None]]:
        """State and reason of every event in order of arrival."""
        rows = await self.admin.fetch("SELECT state, reason FROM webhook_event ORDER BY log_id")
        return [(row["state"], row["reason"]) for row in rows]

    async def movements(self) -> list[tuple[str, str]]:
        """Movement and money object of every ledger transaction, in order."""
        rows = await self.admin.fetch("SELECT movement, money_object FROM ledger_transaction ORDER BY id")
        return [(row["movement"], row["money_object"]) for row in rows]


@pytest.fixture
async def house(dsn: str) -> AsyncIterator[House]:
    """One worker over a fresh database."""
    admin = await asyncpg.connect(dsn)
    connections = await pool.create_pool(dsn, "sluice_worker", "test-worker", size_max=4)
    yield House(dsn, admin, connections, Drainer(connections, {"stripe": Expected()}))
    await connections.close()
    await admin.close()
