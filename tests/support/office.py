"""A worker's outbox between a fresh database and a Stripe-shaped server, without any process in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from billing.decision import PspCall
from billing.facts import Cause
from db import outbox, pool
from outbox.effects import Effects
from psp.stripe.calls import StripeCalls
from psp.stripe.client import StripeApi
from tests.support import stripe_stub
from tests.support.stripe_stub import Stub

CAUSE = Cause("stripe", "evt_cause", 7, 1_790_000_000)


async def nobodys(_ids: Sequence[str]) -> set[str]:
    """Nothing at the PSP belongs to another call."""
    return set()


@dataclass
class Office:
    """A database, a PSP, and the worker's outbox between the two."""

    dsn: str
    admin: asyncpg.Connection
    connections: asyncpg.Pool
    stub: Stub
    effects: Effects
    wake: asyncio.Event

    def environment(self, redis_url: str) -> dict[str, str]:
        """For a worker as a process of its own."""
        return {
            "DATABASE_URL": self.dsn,
            "REDIS_URL": redis_url,
            "STRIPE_SECRET_KEY": "sk_test_x",
            "STRIPE_API_BASE": self.stub.url,
        }

    async def stage(self, *calls: PspCall, cause: Cause = CAUSE) -> None:
        """Stage calls as the worker's role, in one transaction."""
        async with self.connections.acquire() as connection, connection.transaction():
            await outbox.stage(connection, [(cause, call) for call in calls])

    async def transfer(self, transfer_id: str = "tr_1", status: str = "reversal_pending") -> PspCall:
        """A transfer of 700 that both sides know, and the call that reverses it."""
        self.stub.transfers[transfer_id] = 700
        await self.admin.execute(
            """WITH o AS (
                   INSERT INTO orders (source, id, buyer_id, amount_minor, currency, seller_amount_minor,
                                       licences, payment_status, status)
                   VALUES ('stripe', $1, 'buyer', 1000, 'usd', 0, '{}', 'succeeded', 'completed'))
               INSERT INTO seller_transfer (source, id, order_id, destination, amount_minor, reversed_minor,
                                            currency, status)
               VALUES ('stripe', $1, $1, 'acct_1', 700, CASE WHEN $2 = 'reversed' THEN 700 ELSE 0 END,
                       'usd', $2)""",
            transfer_id,
            status,
        )
        return PspCall("reverse_transfer", transfer_id, f"reversal:{transfer_id}:2")

    async def tie(self, subscription_id: str) -> None:
        """A subscription of which nobody knows what the latest version is."""
        await self.admin.execute(
            """INSERT INTO subscription (source, id, status, psp_status, customer_id, price_id,
                                         current_period_start, current_period_end, psp_second, versions,
                                         ambiguous)
               VALUES ('stripe', $1, 'active', 'active', 'cus_1', 'price_1', now(), now(), 5, '[]', true)""",
            subscription_id,
        )

    async def parked(self, awaited: str) -> None:
        """An event that waits for a key."""
        await self.admin.execute(
            """INSERT INTO webhook_event (source, event_id, log_id, body_sha256, state, reason, awaits,
                                          next_attempt_at)
               VALUES ('stripe', 'evt_parked', 1, '\\x00', 'parked', 'waits', $1,
                       now() + interval '1 day')""",
            awaited,
        )

    async def due(self) -> None:
        """Let the time pass that effects wait for."""
        await self.admin.execute("UPDATE outbox_effect SET next_attempt_at = now() WHERE state = 'pending'")

    async def rows(self) -> list[tuple[str, int, str | None]]:
        """State, attempts and last error of every effect, in order."""
        rows = await self.admin.fetch("SELECT state, attempts, last_error FROM outbox_effect ORDER BY id")
        return [(row["state"], row["attempts"], row["last_error"]) for row in rows]

    async def told(self) -> list[tuple[str, str, str]]:
        """Source, type and object of every event in the inbox, in order."""
        rows = await self.admin.fetch(
            "SELECT source, event_type, object_id FROM webhook_event WHERE state = 'pending' ORDER BY log_id"
        )
        return [(row["source"], row["event_type"], row["object_id"]) for row in rows]

    async def bodies(self) -> list[Mapping[str, Any]]:
        """Every body in the log, in order."""
        return [
            json.loads(row["body"])
            for row in await self.admin.fetch("SELECT body FROM webhook_log ORDER BY id")
        ]

    async def alerts(self) -> list[tuple[str, str, str | None]]:
        """The open alerts."""
        rows = await self.admin.fetch(
            "SELECT name, subject, detail FROM alert WHERE resolved_at IS NULL ORDER BY id"
        )
        return [(row["name"], row["subject"], row["detail"]) for row in rows]


@contextlib.asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Office]:
    """One worker's outbox over this database and a fresh PSP."""
    admin = await asyncpg.connect(dsn)
    connections = await pool.create_pool(dsn, "sluice_worker", "test-effects", size_max=4)
    wake = asyncio.Event()
    async with stripe_stub.serving() as stub, StripeApi("sk_test_x", stub.url) as api:
        effects = Effects(connections, "stripe", StripeCalls(api, "stripe"), wake.set, "worker")
        yield Office(dsn, admin, connections, stub, effects, wake)
    await connections.close()
    await admin.close()
