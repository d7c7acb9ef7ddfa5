"""What a customer has started is finished whatever becomes of the API that was asked: real processes, killed
between the commit and the call, before the provider has worked and after it; one object there, one here.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from runtime import limits
from tests.api import house as house_module
from tests.api.house import ENVIRONMENT, OPS, Answer, House, customer
from tests.api.seed import Seed
from tests.customers.market import BOOK, BUYER, ORDERS
from tests.customers.providers import Forwarder, forwarding
from tests.customers.switch import API_KEY, WEBHOOK_SECRET, Switch, switching
from tests.sandbox.worlds import KEY, SECRET, World, world_at
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes, Running

SUBSCRIPTIONS = "/api/v1/subscriptions"
SESSIONS = "/api/credits/sessions"
STARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "order": (ORDERS, {"product_id": "book", "provider": "stripe"}),
    "order at hyperswitch": (ORDERS, {"product_id": "book", "provider": "hyperswitch"}),
    "subscription": (SUBSCRIPTIONS, {"plan_id": "pro"}),
    "checkout": (SESSIONS, {"successUrl": "https://shop.example/thanks", "credits": 250}),
}
"""What is asked for, by name. The subscription is paid at Hyperswitch, which is preferred."""

HOLD_UP = """
CREATE FUNCTION held_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(4711);
    RETURN new;
END
$$;
CREATE TRIGGER held_up BEFORE UPDATE ON outbox_effect FOR EACH ROW
    WHEN (current_user = 'sluice_api') EXECUTE FUNCTION held_up();
SELECT pg_advisory_lock(4711);
"""
"""An API that would claim a call waits for this connection, until its own is ended."""
LET_GO = "DROP TRIGGER held_up ON outbox_effect; SELECT pg_advisory_unlock(4711)"
HELD_UP = "FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"


@dataclass
class Town:
    """Both providers behind wires, a receiver and a worker as processes, and an API that can be killed."""

    seed: Seed
    psp: World
    switch: Switch
    wires: tuple[Forwarder, Forwarder]
    environment: dict[str, str | None]
    processes: Processes
    client: aiohttp.ClientSession
    apis: list[Running] = field(default_factory=list)

    @property
    def house(self) -> House:
        """The API's port."""
        return House(int(str(self.environment["API_PORT"])), self.client)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Every POST that reached a provider's wire: path and idempotency key."""
        return [one for wire in self.wires for one in wire.asked]

    def spoil(self, *misfortunes: str) -> None:
        """What happens to the next POSTs, wherever they go."""
        for wire in self.wires:
            wire.spoil = list(misfortunes)

    async def start_api(self) -> None:
        """Another API on the same port."""
        ready = f"http://127.0.0.1:{self.environment['API_PORT']}/health/ready"
        self.apis.append(
            await self.processes.start_ready("-m", "api", url=ready, environment=self.environment)
        )

    async def kill_api(self) -> None:
        """As the kernel does when memory runs out: nothing is told to anybody."""
        self.apis[-1].signal(signal.SIGKILL)
        await self.apis[-1].ended()

    async def start(self, what: str) -> Answer:
        """Ask for something under the one key of the test."""
        path, body = STARTS[what]
        return await self.house.post(path, customer(BUYER) | {"Idempotency-Key": "k"}, body)

    async def start_and_be_killed(self, what: str, once: Callable[[], Any]) -> None:
        """Ask for something, and kill the API as soon as `once` holds; nobody hears anything."""
        asking = asyncio.create_task(self.start(what))
        await until(once, 30, f"the API to be where it is to die:\n{self.apis[-1].output()}")
        await self.kill_api()
        with pytest.raises(aiohttp.ClientError):
            await asking

    async def call(self) -> dict[str, Any]:
        """The one call that was staged."""
        (row,) = await self.seed.rows("SELECT id, state, attempts, made_id, object_id FROM outbox_effect")
        return row

    async def due(self) -> None:
        """All leases and delays are over."""
        await self.seed.connection.execute(
            "UPDATE outbox_effect SET next_attempt_at = now() WHERE state = 'pending'"
        )
        await self.seed.connection.execute(
            "UPDATE idempotency_key SET leased_until = now() WHERE state = 'running'"
        )

    async def done(self, what: str) -> dict[str, Any]:
        """Wait until the call has ended, and what was opened is known: by the call's own event, or by one of
        the provider, which makes the call obsolete when it is faster.
        """

        async def ended() -> Any:
            row, known = await self.call(), await self.here(what)
            return row if row["state"] in ("done", "obsolete") and known not in ([], [None]) else None

        row: dict[str, Any] = await until(ended, 60, "the workers to have done the call")
        return row

    async def there(self, what: str) -> list[str]:
        """The ids of all such things at their provider."""
        if what == "checkout":
            return [one.id for one in (await self.psp.stripe.v1.checkout.sessions.list_async({})).data]
        if what == "order":
            return [one.id for one in (await self.psp.stripe.v1.payment_intents.list_async({})).data]
        return list(self.switch.payments)

    async def here(self, what: str) -> list[str]:
        """The ids of all such things that we know of."""
        column, table = {
            "checkout": ("id", "checkout_session"),
            "subscription": ("payment_id", "subscription_invoice"),
        }.get(what, ("payment_id", "orders"))
        return [row["id"] for row in await self.seed.rows(f"SELECT {column} AS id FROM {table}")]

    async def answered(self, what: str) -> str:
        """The PSP's id in the answer to the same request once more."""
        answer = await self.start(what)
        assert answer.status == (200 if what == "checkout" else 201), answer.body
        if what == "checkout":
            assert str(answer.json["url"]).startswith("http")
            return str(answer.json["id"])
        assert answer.json["client_secret"]
        return str(answer.json["payment_id"])


@pytest.fixture
async def town(
    tmp_path: Path, dsn: str, redis_url: str, processes: Processes, seed: Seed
) -> AsyncIterator[Town]:
    """It all, with something for sale."""
    ingest_port, api_port = free_port(), free_port()
    receiver = f"http://127.0.0.1:{ingest_port}"
    async with contextlib.AsyncExitStack() as stack:
        psp = await stack.enter_async_context(world_at(tmp_path, f"{receiver}/webhooks/stripe"))
        switch = await stack.enter_async_context(switching(f"{receiver}/webhooks/hyperswitch"))
        wire = await stack.enter_async_context(forwarding(psp.url))
        other = await stack.enter_async_context(forwarding(switch.url))
        environment: dict[str, str | None] = {
            **ENVIRONMENT,
            "DATABASE_URL": dsn,
            "REDIS_URL": redis_url,
            "INGEST_PORT": str(ingest_port),
            "API_PORT": str(api_port),
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "STRIPE_SECRET_KEY": KEY,
            "STRIPE_API_BASE": wire.url,
            "HYPERSWITCH_ENABLED": "true",
            "HYPERSWITCH_URL": other.url,
            "HYPERSWITCH_API_KEY": API_KEY,
            "HYPERSWITCH_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        }
        await processes.start_ready("-m", "ingest", url=f"{receiver}/health/ready", environment=environment)
        processes.start("-m", "workers", environment=environment)
        client = await stack.enter_async_context(house_module.client())
        opened = Town(seed, psp, switch, (wire, other), environment, processes, client)
        await opened.start_api()
        for path, thing in (
            ("/ops/products/book", BOOK),
            ("/ops/plans/pro", {"name": "Pro", "amount_minor": 900, "currency": "usd"}),
        ):
            assert (await opened.house.put(path, OPS, thing)).status == 200
        yield opened


@pytest.mark.parametrize("what", STARTS)
async def test_an_api_that_dies_between_commit_and_call(town: Town, what: str) -> None:
    """Nobody has called yet: a worker does, some seconds later, and nothing has to be moved by hand."""
    await town.seed.connection.execute(HOLD_UP)

    async def is_committed() -> bool:
        return bool(await town.seed.value(f"SELECT count(*) {HELD_UP}"))

    await town.start_and_be_killed(what, is_committed)
    before = (town.asked, await town.there(what), await town.call())
    await town.seed.connection.execute(f"SELECT pg_terminate_backend(pid) {HELD_UP}")
    await town.seed.connection.execute(LET_GO)
    call = await town.done(what)
    await town.start_api()
    await town.due()

    assert (before[0], before[1], before[2]["attempts"]) == ([], [], 0)
    (there,) = await town.there(what)
    assert await town.here(what) == [there]
    assert [key for _, key in town.asked] == [call["object_id"]]
    assert await town.answered(what) == there


@pytest.mark.parametrize("misfortune", ["mute", "hang"])
@pytest.mark.parametrize("what", STARTS)
async def test_an_api_that_dies_during_the_call(town: Town, what: str, misfortune: str) -> None:
    """Before the provider has worked, or after it: while the lease lasts no worker touches the call, and then
    one does, with the same key."""
    town.spoil(misfortune)

    async def is_called() -> bool:
        return bool(town.asked) and len(await town.there(what)) == (misfortune == "hang")

    await town.start_and_be_killed(what, is_called)
    leased = await town.seed.value(
        "SELECT extract(epoch FROM next_attempt_at - now()) FROM outbox_effect WHERE state = 'pending'"
    )
    held = await town.call()
    await town.due()
    call = await town.done(what)
    await town.start_api()
    await town.due()

    assert (held["state"], held["attempts"]) == ("pending", 1)
    assert limits.effect_call_s < leased <= limits.effect_lease_s
    (there,) = await town.there(what)
    assert await town.here(what) == [there]
    assert {key for _, key in town.asked} == {call["object_id"]}
    assert await town.answered(what) == there


@pytest.mark.parametrize("misfortune", ["500", "hang", "429", "drop"])
@pytest.mark.parametrize("what", STARTS)
async def test_the_workers_finish_what_the_api_has_tried_in_vain(
    town: Town, what: str, misfortune: str
) -> None:
    """The customer was told to ask again and has not yet: it is done all the same, once."""
    town.spoil(misfortune)
    answer = await town.start(what)
    await town.due()
    call = await town.done(what)

    assert answer.status in (200, 201, 503)
    (there,) = await town.there(what)
    assert await town.here(what) == [there]
    assert {key for _, key in town.asked} == {call["object_id"]}
    assert await town.answered(what) == there


async def test_a_subscription_that_a_worker_has_opened_can_be_completed(town: Town) -> None:
    """`complete` has the secret of a payment that the API never heard of."""
    town.spoil("drop")
    await town.start("subscription")
    await town.due()
    call = await town.done("subscription")
    completed = await town.house.post(f"{SUBSCRIPTIONS}/complete/{call['object_id']}", customer(BUYER))

    assert completed.status == 200
    assert (completed.json["payment_id"], completed.json["client_secret"]) == (
        call["made_id"],
        f"{call['made_id']}_secret_x",
    )
