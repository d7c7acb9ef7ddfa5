"""A shop over a fresh database with the sandbox as its PSP: webhooks that a test lets through or loses, a
worker, its outbox, and a reconciler; without any process in between.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from billing.commands import Command, OrderPlaced, RefundRequested
from billing.terms import OrderTerms
from db import checks, events, pool
from db.events import Delivery
from db.findings import PHASES, Order
from outbox.effects import Effects
from psp import callers
from psp.reading import Expected
from psp.sandbox.settings import HyperswitchSettings
from psp.sluice import commands
from reconciler.runs import Reconciler
from runtime import clock, settings
from runtime.doorbell import Doorbell
from runtime.values import Secret
from tests.sandbox.worlds import KEY, Receiver, World, world_at
from tests.support.poll import until
from tests.support.ports import free_port
from tests.workers.conftest import delivery
from workers.drain import Drainer

HYPERSWITCH_KEY = "snd_0123456789abcdef"
HYPERSWITCH_SECRET = "hyperswitch-tests-0123456789abcdef"
LATE = ("ORDER_STUCK", "REFUND_STUCK", "REFUND_ORPHAN", "SUBSCRIPTION_STUCK", "CHECKOUT_STUCK")
"""What can be late, by the names of its settings."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run said of itself."""

    id: str
    status: str
    counts: Counter[str]
    errors: list[str]
    findings: list[tuple[str, str, bool]]
    """Class, object id and whether it was repaired, in order."""
    details: list[str]
    record: Mapping[str, Any]


@dataclass
class Shop:
    """Everything that a test of the reconciler touches."""

    dsn: str
    redis_url: str
    admin: asyncpg.Connection
    workers: asyncpg.Pool
    reconcilers: asyncpg.Pool
    drainer: Drainer
    world: World
    receiver: Receiver
    environment: dict[str, str] = field(default_factory=dict)
    _let_through: int = 0

    async def webhooks(self, *types: str) -> Counter[str]:
        """Let through whatever webhooks the PSP has sent since the last time, and apply; with `types` only
        those of these types, and the others never come.
        """
        await self.world.settled()
        letters, self._let_through = self.receiver.letters[self._let_through :], len(self.receiver.letters)
        for letter in letters:
            if types and letter.event["type"] not in types:
                continue
            await events.append(self.admin, [delivery(letter.body, psp_created=letter.event["created"])])
        return await self.drain()

    async def lose_webhooks(self) -> None:
        """What the PSP has sent since the last time never comes."""
        await self.world.settled()
        self._let_through = len(self.receiver.letters)

    async def drain(self) -> Counter[str]:
        """Apply what is due."""
        return await self.drainer.run_once()

    async def say(self, command: Command, event_id: str | None = None) -> None:
        """A command of ours, as the API appends it; applied."""
        event_id = event_id or f"cmd_{uuid4().hex}"
        body = commands.event_body(command, event_id, clock.now_unix_s())
        row: Delivery = delivery(body, source="sluice", endpoint="api", event_id=event_id, secret_id=None)
        await events.append(self.admin, [row])
        await self.drain()

    async def place_order(
        self, order_id: str = "order-1", amount: int = 1_000, seller: str | None = None, pays: bool = False
    ) -> str:
        """An order that our API has placed, with its payment at the PSP; the payment's id."""
        terms = OrderTerms(order_id, "buyer-1", seller, amount, "usd", amount if seller else 0, ())
        names = {"orderId": order_id} | ({"sellerId": seller} if seller else {})
        payment = await self.world.order(amount, **names)
        await self.say(OrderPlaced("stripe", payment.id, terms))
        if pays:
            await self.world.post(f"payment_intents/{payment.id}/pay")
        return payment.id

    async def ask_refund(self, refund_id: str, order_id: str = "order-1", amount: int | None = None) -> None:
        """A refund that our API has asked for; the call waits in the outbox."""
        await self.say(RefundRequested("stripe", order_id, refund_id, amount))

    @contextlib.asynccontextmanager
    async def outbox(self, source: str) -> AsyncIterator[Effects]:
        """The outbox of a worker."""
        async with callers.opened(self.settings()) as calling:
            yield Effects(self.workers, source, calling[source], lambda: None, "worker")

    async def do_calls(self, source: str = "stripe") -> Counter[str]:
        """Do what the outbox holds, now, and apply how it ended."""
        await self.admin.execute("UPDATE outbox_effect SET next_attempt_at = now() WHERE state = 'pending'")
        async with self.outbox(source) as effects:
            counts = await effects.run_once()
        await self.drain()
        return counts

    def settings(self, **changes: str) -> settings.Settings:
        """Settings under which everything counts as stuck after a second, and webhooks are never on their
        way.
        """
        late = {f"RECONCILE_{name}_AFTER": "1s" for name in LATE}
        return settings.load(
            {
                "DATABASE_URL": self.dsn,
                "REDIS_URL": self.redis_url,
                "STRIPE_SECRET_KEY": KEY,
                "STRIPE_API_BASE": self.world.url,
                "RECONCILE_INTERVAL": "1s",
            }
            | late
            | self.environment
            | changes
        )

    async def age(self, seconds: int = 3_600) -> None:
        """Everything that waits has waited for longer by now."""
        for table, column in (
            ("orders", "created_at"),
            ("refund", "created_at"),
            ("subscription", "created_at"),
            ("checkout_session", "created_at"),
            ("outbox_effect", "finished_at"),
        ):
            await self.admin.execute(
                f"UPDATE {table} SET {column} = {column} - make_interval(secs => $1)", float(seconds)
            )

    async def settle_down(self) -> None:
        """Let everything become older than the time for which a webhook may be on its way."""
        newest = max([event["created"] for event in await self.world.events()] or [0])
        await until(lambda: clock.now_unix_s() > newest + 2, 20, "the last event to be older than the grace")

    async def reconcile(
        self,
        *phases: str,
        dry_run: bool = False,
        named: str | None = None,
        by: str = "tests",
        later_s: int = 0,
        **changes: str,
    ) -> Ran:
        """One run as asked for, by a clock that is so many seconds on; its repairs are not applied yet."""
        order = Order(uuid4(), by, phases or PHASES, dry_run, named)
        doorbell = Doorbell(self.redis_url)
        try:
            reconciler = Reconciler(self.settings(**changes), self.reconcilers, doorbell)
            now = clock.now() + timedelta(seconds=later_s)
            status, counts = await reconciler.run_once(order, now)
        finally:
            await doorbell.close()
        return await self.record(str(order.id), status, counts)

    async def record(self, run_id: str, status: str, counts: Counter[str]) -> Ran:
        """A run as it stands on record."""
        async with self.reconcilers.acquire() as connection:  # several runs may be told at the same time
            row = await connection.fetchrow("SELECT * FROM reconcile_run WHERE id = $1", run_id)
            found = await connection.fetch(
                "SELECT * FROM reconcile_finding WHERE run_id = $1 ORDER BY id", run_id
            )
        assert row is not None
        assert status == row["status"]
        return Ran(
            run_id,
            status,
            counts,
            json.loads(row["errors"]),
            [(one["class"], one["object_id"], one["repaired"]) for one in found],
            [one["detail"] for one in found],
            dict(row) | {"counts": json.loads(row["counts"])},
        )

    async def repair(self, *phases: str, **changes: Any) -> Ran:
        """One run, and the worker applies what it appended."""
        ran = await self.reconcile(*phases, **changes)
        await self.drain()
        return ran

    async def value(self, query: str, *arguments: object) -> Any:
        """One value of our database."""
        return await self.admin.fetchval(query, *arguments)

    async def status(self, table: str, object_id: str) -> str | None:
        """The state of one of our objects."""
        found: str | None = await self.admin.fetchval(f"SELECT status FROM {table} WHERE id = $1", object_id)
        return found

    async def everything(self) -> list[tuple[str, ...]]:
        """All our objects, balances and postings, to compare before with after."""
        queries = (
            "SELECT 'order', id, status, payment_status FROM orders",
            "SELECT 'refund', id, status, coalesce(psp_id, '') FROM refund",
            "SELECT 'subscription', id, status, '' FROM subscription",
            "SELECT 'checkout', id, status, '' FROM checkout_session",
            "SELECT 'dispute', id, status, '' FROM dispute",
            "SELECT 'transfer', id, status, reversed_minor::text FROM seller_transfer",
            "SELECT 'balance', account_id, unit, amount::text FROM balance",
            "SELECT 'event', event_id, state, '' FROM webhook_event",
        )
        return sorted([tuple(row) for query in queries for row in await self.admin.fetch(query)])

    async def broken(self) -> dict[str, int]:
        """Invariants that do not hold."""
        return {name: rows for name, rows in (await checks.run(self.admin)).items() if rows}

    async def psp_refunds(self, payment_id: str) -> list[dict[str, Any]]:
        """The refunds of a payment in the PSP's own books, oldest first."""
        listed = await self.world.stripe.v1.refunds.list_async({"payment_intent": payment_id, "limit": 100})
        return [refund.to_dict() for refund in reversed(listed.data)]


@contextlib.asynccontextmanager
async def opened(dsn: str, redis_url: str, directory: Path, receiver: Receiver) -> AsyncIterator[Shop]:
    """A shop whose PSP sends its webhooks to `receiver`."""
    admin = await asyncpg.connect(dsn)
    workers = await pool.create_pool(dsn, "sluice_worker", "test-worker", size_max=4)
    reconcilers = await pool.create_pool(dsn, "sluice_reconciler", "test-reconciler", size_max=4)
    # Hyperswitch's webhooks go where nobody listens.
    merchant = HyperswitchSettings(
        f"http://127.0.0.1:{free_port()}/nobody", Secret(HYPERSWITCH_SECRET), Secret(HYPERSWITCH_KEY)
    )
    async with world_at(directory, receiver.url, hyperswitch=merchant) as world:
        yield Shop(
            dsn,
            redis_url,
            admin,
            workers,
            reconcilers,
            Drainer(workers, {"stripe": Expected(), "hyperswitch": Expected()}),
            world,
            receiver,
        )
    await workers.close()
    await reconcilers.close()
    await admin.close()
