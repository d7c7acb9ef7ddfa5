"""Payments and checkout sessions opened through the outbox: by one at a time, looked for before they are
opened again, and ended like any refusal when the last try has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from billing.commands import CheckoutRequested, Command, OrderPlaced, PaymentOpened, PlanSubscribed
from billing.terms import OrderTerms, PlanTerms
from db import events
from outbox.effects import Effects
from psp.calls import Done, Outcome, Transient
from psp.sluice import commands
from psp.stripe.calls import StripeCalls
from psp.stripe.client import StripeApi
from runtime import clock, limits
from tests.customers.providers import Forwarder, answering, forwarding
from tests.sandbox.worlds import KEY, World, world_at
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.stripe_events import CREATED
from tests.workers.conftest import House, delivery

ORDER = OrderTerms("order-1", "buyer-1", None, 1_000, "usd", 0, ("book",))
PLAN = PlanTerms("plan-sub-1", "buyer-1", "pro", 900, "usd")
STARTS: dict[str, tuple[str, Command]] = {
    "order": ("order-1", OrderPlaced("stripe", None, ORDER)),
    "subscription": ("plan-sub-1", PlanSubscribed("stripe", None, PLAN)),
    "checkout": (
        "buy-1",
        CheckoutRequested("stripe", "buy-1", "buyer-1", 250, 289, "usd", "https://shop.example/"),
    ),
}
"""What is agreed to, by name: our id, which is the key, and the command."""


@dataclass
class Bench:
    """A worker's house, the provider's sandbox behind a wire, and two processes that may call it."""

    house: House
    psp: World
    wire: Forwarder
    api: Effects
    worker: Effects

    async def agree(self, what: str) -> str:
        """Let a worker apply what a customer wants; returns the key of the call that it stages."""
        key, command = STARTS[what]
        await self.house.order(command)
        await self.house.drain()
        return key

    async def due(self) -> None:
        """All leases and delays are over."""
        await self.house.admin.execute(
            "UPDATE outbox_effect SET next_attempt_at = now() WHERE state = 'pending'"
        )

    async def there(self) -> list[Any]:
        """Everything that was opened at the provider."""
        opened: list[Any] = [*(await self.psp.stripe.v1.payment_intents.list_async({})).data]
        return [*opened, *(await self.psp.stripe.v1.checkout.sessions.list_async({})).data]

    async def rows(self) -> list[tuple[str, int, str | None]]:
        """State, attempts and the PSP's id of every call."""
        rows = await self.house.admin.fetch("SELECT state, attempts, made_id FROM outbox_effect ORDER BY id")
        return [tuple(row) for row in rows]


@contextlib.asynccontextmanager
async def calling(house: House, url: str, process: str) -> AsyncIterator[Effects]:
    """What one process does at this Stripe."""
    async with StripeApi(KEY, url) as api:
        yield Effects(
            house.connections, "stripe", StripeCalls(api, "stripe"), house.drainer.wake.set, process
        )


@pytest.fixture
async def bench(tmp_path: Path, house: House) -> AsyncIterator[Bench]:
    """It all; nobody listens to the provider's events."""
    async with (
        world_at(tmp_path, f"http://127.0.0.1:{free_port()}/") as psp,
        forwarding(psp.url) as wire,
        calling(house, wire.url, "api") as api,
        calling(house, wire.url, "worker") as worker,
    ):
        yield Bench(house, psp, wire, api, worker)


@pytest.mark.parametrize("what", STARTS)
async def test_what_was_agreed_to_is_opened_by_one_of_all_who_try(bench: Bench, what: str) -> None:
    """Ten requests and a worker at once: one call, one object, one event; who comes later finds it done."""
    key = await bench.agree(what)
    await bench.due()
    tried = await asyncio.gather(*(bench.api.at_once(key) for _ in range(10)), bench.worker.run_once())
    later = await bench.api.at_once(key)
    (opened,) = await bench.there()
    await bench.house.drain()

    assert len([one for one in tried if one not in (None, Counter())]) == 1
    assert [key for _, key in bench.wire.asked] == [key]
    assert await bench.rows() == [("done", 1, opened.id)]
    assert later is None
    assert set(await bench.house.outcomes()) == {("applied", None)}


async def test_workers_leave_the_first_try_to_whoever_the_customer_asks(bench: Bench) -> None:
    """A call that was just staged is the API's; the API need not wait for anything."""
    key = await bench.agree("order")
    left = await bench.worker.run_once()

    assert left == {}
    assert isinstance(await bench.api.at_once(key), Done)


async def test_what_is_put_off_is_put_off_for_everybody(bench: Bench) -> None:
    """A customer who asks again uses up no attempts, and calls no provider that has asked to wait."""
    key = await bench.agree("order")
    bench.wire.spoil = ["429"]
    first = await bench.api.at_once(key)
    again = [await bench.api.at_once(key) for _ in range(20)]
    asked = len(bench.wire.asked)
    await bench.due()

    assert isinstance(first, Transient)
    assert (again, asked) == ([None] * 20, 1)
    assert await bench.worker.run_once() == {"done": 1}


@pytest.mark.parametrize("misfortune", ["drop", "hang", "500"])
async def test_a_key_that_is_kept_is_enough(bench: Bench, misfortune: str) -> None:
    """Within a day the same key gets what was opened under it; a shop that sells much need not be looked
    through. A failure that the provider keeps for an answer is looked behind at once.
    """
    now = clock.now_unix_s()
    body = commands.event_body(OrderPlaced("stripe", None, ORDER), "order:order-1", now)
    row = delivery(body, source=commands.SOURCE, event_id="order:order-1", psp_created=now)
    await events.append(bench.house.admin, [row])
    await bench.house.drain()
    bench.wire.spoil = [misfortune]
    first = await bench.api.at_once("order-1")
    await bench.due()
    await bench.worker.run_once()
    (opened,) = await bench.there()

    assert isinstance(first, Done) == (misfortune == "500")
    assert bench.wire.asked == [("/v1/payment_intents", "order-1")] * (1 if misfortune == "500" else 2)
    assert await bench.rows() == [("done", 1 if misfortune == "500" else 2, opened.id)]


@pytest.mark.parametrize("what", STARTS)
async def test_a_key_that_was_pruned_opens_nothing_twice(bench: Bench, what: str) -> None:
    """A later try looks for what an earlier one has left behind, and does not rely on the key."""
    key = await bench.agree(what)
    bench.wire.spoil = ["drop"]
    first: Outcome | None = await bench.api.at_once(key)
    await bench.due()
    second = await bench.worker.run_once()
    (opened,) = await bench.there()

    assert (type(first), second) == (Transient, {"done": 1})
    assert len(bench.wire.asked) == 1, "the second try asked for what there is, and opened nothing"
    assert await bench.rows() == [("done", 2, opened.id)]


async def test_two_lost_sessions_alike_are_given_to_one_purchase_each(bench: Bench) -> None:
    """They differ in nothing that the provider knows; no purchase gets one that another has."""
    bench.wire.spoil = ["drop", "drop"]
    for own_id in ("buy-1", "buy-2"):
        await bench.house.order(
            CheckoutRequested("stripe", own_id, "buyer-1", 250, 289, "usd", "https://shop.example/")
        )
        await bench.house.drain()
        await bench.api.at_once(own_id)
    await bench.due()
    for own_id in ("buy-1", "buy-2"):
        assert isinstance(await bench.api.at_once(own_id), Done)
    await bench.house.drain()

    opened = {one.id for one in await bench.there()}
    assert {made_id for _, _, made_id in await bench.rows()} == opened
    assert len(opened) == 2
    known = await bench.house.admin.fetch("SELECT id FROM checkout_session WHERE origin = 'ours'")
    assert {row["id"] for row in known} == opened


ENDS = {
    "order": ("SELECT status FROM orders", "failed"),
    "subscription": ("SELECT status FROM subscription", "expired"),
    "checkout": ("SELECT reason FROM webhook_event ORDER BY log_id DESC", "checkout_refused"),
}
"""Where it is seen that what was agreed to is over, and how."""


@pytest.mark.parametrize("what", STARTS)
async def test_the_last_failure_ends_what_was_agreed_to(house: House, what: str) -> None:
    """By an event of ours like a refusal's, with an alert for a person: nobody knows what is there."""
    key, command = STARTS[what]
    await house.order(command)
    await house.drain()
    async with answering(500, b"{}") as url:
        for _ in range(limits.effect_attempts_max):
            await house.admin.execute("UPDATE outbox_effect SET next_attempt_at = now()")
            async with calling(house, url, "worker") as fresh:  # its breaker is closed
                await fresh.run_once()
    await house.drain()
    (call,) = await house.admin.fetch("SELECT kind, state, attempts FROM outbox_effect")
    (alert,) = await house.admin.fetch("SELECT name, subject FROM alert")
    told = await house.admin.fetchval("SELECT convert_from(body, 'UTF8') FROM webhook_log ORDER BY id DESC")
    query, end = ENDS[what]

    assert (call["state"], call["attempts"]) == ("failed", limits.effect_attempts_max)
    assert tuple(alert) == ("effect_failed", f"stripe:{call['kind']}:{key}")
    assert '"reason":"given_up"' in told
    assert await house.admin.fetchval(query) == end


@pytest.mark.parametrize("what", STARTS)
async def test_a_refusal_is_the_last_word_and_no_persons_matter(house: House, what: str) -> None:
    """The customer hears it; nothing is tried again."""
    body = b'{"error":{"type":"invalid_request_error","code":"amount_too_small","message":"canary"}}'
    async with answering(400, body) as url, calling(house, url, "api") as api:
        key, command = STARTS[what]
        await house.order(command)
        await house.drain()
        await api.at_once(key)
        await house.drain()
        again = await api.at_once(key)
    (call,) = await house.admin.fetch("SELECT state, attempts, last_error FROM outbox_effect")
    told = await house.admin.fetchval("SELECT convert_from(body, 'UTF8') FROM webhook_log ORDER BY id DESC")

    assert (tuple(call), again) == (("failed", 1, "amount_too_small"), None)
    assert ('"reason":"amount_too_small"' in told, "canary" in told) == (True, False)
    assert await house.admin.fetchval("SELECT count(*) FROM alert") == 0


async def test_a_payment_that_is_heard_of_first_is_not_opened_again(bench: Bench) -> None:
    """The provider's event names it before anybody has the answer: the call is not wanted any more."""
    key = await bench.agree("order")
    bench.wire.spoil = ["drop"]
    await bench.api.at_once(key)
    (opened,) = await bench.there()
    await bench.house.order(OrderPlaced("stripe", opened.id, ORDER))  # as its webhook would say it
    await bench.house.drain()
    await bench.due()

    assert await bench.worker.run_once() == {"obsolete": 1}
    assert await bench.house.admin.fetchval("SELECT payment_id FROM orders") == opened.id
    assert len(bench.wire.asked) == 1


async def test_what_was_agreed_to_before_the_outbox_opened_payments_is_opened_too(house: House) -> None:
    """The migration stages what today's rules would have staged, so that nothing stays pending for ever and a
    rebuild finds the same; what has its payment already wants none."""
    paid = OrderTerms("order-2", "buyer-1", None, 1_000, "usd", 0, ())
    for claim, command in (
        ("order:order-1", OrderPlaced("stripe", None, ORDER)),
        ("subscription:plan-sub-1", PlanSubscribed("stripe", None, PLAN)),
        ("order:order-2", OrderPlaced("stripe", None, paid)),
        ("effect_0", PaymentOpened("stripe", "order:order-2", "pi_2")),
    ):
        body = commands.event_body(command, claim, CREATED)
        row = delivery(body, source=commands.SOURCE, event_id=claim, psp_created=CREATED)
        await events.append(house.admin, [row])
        await house.drain()
    look = (
        "SELECT source, kind, object_id, idempotency_key, arguments, log_id, event_id FROM outbox_effect "
        "ORDER BY object_id"
    )
    staged = await house.admin.fetch(look)
    await house.admin.execute("DELETE FROM outbox_effect")
    migration = (ROOT / "sql/schema/0051_outbox_opens_payments.sql").read_text()
    (backfill,) = [one for one in migration.split(";\n") if "INSERT INTO outbox_effect" in one]
    await house.admin.execute(backfill)
    states = await house.admin.fetch("SELECT object_id, state FROM outbox_effect ORDER BY object_id")

    assert len(staged) == 3
    assert await house.admin.fetch(look) == staged
    assert [tuple(row) for row in states] == [
        ("order-1", "pending"), ("order-2", "obsolete"), ("plan-sub-1", "pending"),
    ]  # fmt: skip
