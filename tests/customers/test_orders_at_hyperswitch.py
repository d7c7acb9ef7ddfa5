"""Orders, refunds and subscriptions where Hyperswitch takes the money, under ids that we choose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from psp.hyperswitch import ids
from tests.api.house import OPS, Answer, House, customer, running
from tests.api.seed import Seed
from tests.customers.market import BOOK, BUYER, ORDERS, SELLER
from tests.customers.providers import Forwarder, forwarding
from tests.customers.switch import API_KEY, WEBHOOK_SECRET, Switch, switching
from tests.sandbox.worlds import KEY
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes


@dataclass
class Bazaar:
    """The API, the switch, and what stands between."""

    house: House
    switch: Switch
    wire: Forwarder

    async def order(self, key: str | None = None, **more: object) -> Answer:
        headers = customer(BUYER) | ({} if key is None else {"Idempotency-Key": key})
        return await self.house.post(ORDERS, headers, {"product_id": "book", **more})

    async def becomes(self, order_id: str, status: str) -> dict[str, Any]:
        async def found() -> Any:
            answer = (await self.house.get(f"{ORDERS}/{order_id}", OPS)).json
            return answer if answer["status"] == status else None

        order: dict[str, Any] = await until(found, 30, f"order {order_id} to be {status}")
        return order


@pytest.fixture
async def bazaar(dsn: str, redis_url: str, processes: Processes) -> AsyncIterator[Bazaar]:
    """It all, with a key for Stripe, too, which nobody is to use."""
    port = free_port()
    receiver = f"http://127.0.0.1:{port}"
    async with (
        switching(f"{receiver}/webhooks/hyperswitch") as switch,
        forwarding(switch.url) as wire,
    ):
        environment = {
            "HYPERSWITCH_ENABLED": "true",
            "HYPERSWITCH_URL": wire.url,
            "HYPERSWITCH_API_KEY": API_KEY,
            "STRIPE_SECRET_KEY": KEY,
            "STRIPE_API_BASE": f"http://127.0.0.1:{free_port()}",
        }
        of_processes: dict[str, str | None] = {
            "DATABASE_URL": dsn,
            "REDIS_URL": redis_url,
            "INGEST_PORT": str(port),
            "HYPERSWITCH_WEBHOOK_SECRETS": WEBHOOK_SECRET,
            **environment,
        }
        await processes.start_ready("-m", "ingest", url=f"{receiver}/health/ready", environment=of_processes)
        processes.start("-m", "workers", environment=of_processes)
        async with running(dsn, redis_url, **environment) as house:
            assert (await house.put("/ops/products/book", OPS, BOOK)).status == 200
            yield Bazaar(house, switch, wire)


async def test_from_the_order_to_the_refund(bazaar: Bazaar, seed: Seed) -> None:
    """It is preferred where it is configured; payment and refund have ids of thirty characters from ours."""
    placed = await bazaar.order()
    order_id = placed.json["id"]
    payment_id = ids.payment_id(UUID(order_id))
    await bazaar.switch.pay(payment_id)
    await bazaar.becomes(order_id, "completed")
    asked = await bazaar.house.post(f"{ORDERS}/{order_id}/refund", customer(SELLER))
    refund_id = ids.refund_id(UUID(asked.json["refund"]["id"]))
    await until(lambda: refund_id in bazaar.switch.refunds, 30, "the refund to be asked for")
    pending = (await bazaar.house.get(f"{ORDERS}/{order_id}", OPS)).json
    await bazaar.switch.finish_refund(refund_id)
    refunded = await bazaar.becomes(order_id, "refunded")

    assert (placed.status, placed.json["provider"], placed.json["payment_id"]) == (
        201, "hyperswitch", payment_id,
    )  # fmt: skip
    assert placed.json["client_secret"] == f"{payment_id}_secret_x"
    assert bazaar.switch.payments[payment_id]["currency"] == "USD"
    assert bazaar.switch.keys == [order_id, asked.json["refund"]["id"]]
    assert pending["status"] == "refund_pending"
    assert [each["status"] for each in refunded["refunds"]] == ["succeeded"]
    assert await seed.rows("SELECT DISTINCT status FROM license") == [{"status": "revoked"}]
    assert await seed.value("SELECT amount FROM balance WHERE account_id = $1", SELLER) == 0


@pytest.mark.parametrize("misfortune", ["500", "hang", "429", "drop"])
async def test_a_provider_that_does_not_say_what_it_did(bazaar: Bazaar, seed: Seed, misfortune: str) -> None:
    """What is there already is read: one payment there, one order here, whatever became of the answer."""
    bazaar.wire.spoil = [misfortune]
    answers = [await bazaar.order("k")]
    if answers[0].status != 201:
        answers.append(await bazaar.order("k"))
    ((payment_id, payment),) = bazaar.switch.payments.items()

    assert [answer.status for answer in answers] == ([503, 201] if misfortune == "429" else [201])
    assert (answers[-1].json["payment_id"], answers[-1].json["client_secret"]) == (
        payment_id, payment["client_secret"],
    )  # fmt: skip
    assert await seed.value("SELECT count(*) FROM orders") == 1


async def test_a_refusal_of_the_provider_fails_the_order(bazaar: Bazaar, seed: Seed) -> None:
    """502, failed with its reason; the same key asks nobody again, and a new order is served."""
    bazaar.switch.refuses = "IR_06"
    answers = [await bazaar.order("k") for _ in range(2)]
    ((order_id, status),) = [tuple(row.values()) for row in await seed.rows("SELECT id, status FROM orders")]
    said = await seed.value("SELECT convert_from(body, 'UTF8') FROM webhook_log ORDER BY id DESC LIMIT 1")
    shown = (await bazaar.house.get(f"{ORDERS}/{order_id}", customer(BUYER))).json
    another = await bazaar.order("k2")

    assert [(answer.status, answer.json["code"]) for answer in answers] == [(502, "PROVIDER_ERROR")] * 2
    assert (status, shown["reason"], '"reason":"IR_06"' in said) == ("failed", "payment_refused", True)
    assert bazaar.switch.keys == [order_id, another.json["id"]]
    assert (another.status, another.json["status"]) == (201, "pending")


async def test_an_id_that_is_taken_is_our_own_earlier_payment(bazaar: Bazaar, seed: Seed) -> None:
    """`HE_01` on a retry means that it is there: it is read, and its secret is the same."""
    assert (await bazaar.house.put("/ops/plans/pro", OPS, {
        "name": "Pro", "amount_minor": 900, "currency": "eur",
    })).status == 200  # fmt: skip
    subscribed = await bazaar.house.post("/api/v1/subscriptions", customer(BUYER), {"plan_id": "pro"})
    completed = await bazaar.house.post(
        f"/api/v1/subscriptions/complete/{subscribed.json['id']}", customer(BUYER)
    )
    await bazaar.switch.pay(subscribed.json["payment_id"])

    async def access() -> bool:
        return (await bazaar.house.get("/api/v1/entitlements", customer(BUYER))).status == 200

    await until(access, 30, "the plan to be granted")

    assert (subscribed.status, completed.status) == (201, 200)
    assert completed.json["client_secret"] == subscribed.json["client_secret"]
    assert subscribed.json["payment_id"] == ids.payment_id(UUID(subscribed.json["id"]))
    assert len(bazaar.switch.payments) == 1
    assert await seed.value("SELECT status FROM subscription") == "active"


async def refunding(bazaar: Bazaar) -> tuple[str, str]:
    """An order whose refund is under way: its id, and the refund's at Hyperswitch."""
    order_id = (await bazaar.order()).json["id"]
    await bazaar.switch.pay(ids.payment_id(UUID(order_id)))
    await bazaar.becomes(order_id, "completed")
    asked = await bazaar.house.post(f"{ORDERS}/{order_id}/refund", customer(BUYER))
    refund_id = ids.refund_id(UUID(asked.json["refund"]["id"]))
    await until(lambda: refund_id in bazaar.switch.refunds, 30, "the refund to be asked for")
    return order_id, refund_id


async def test_a_refund_that_fails_leaves_the_order_complete(bazaar: Bazaar, seed: Seed) -> None:
    """Nothing was given back, licences stay, and it may be asked for again."""
    order_id, refund_id = await refunding(bazaar)
    await bazaar.switch.finish_refund(refund_id, "failed")
    order = await bazaar.becomes(order_id, "completed")
    again = await bazaar.house.post(f"{ORDERS}/{order_id}/refund", customer(BUYER))

    assert [each["status"] for each in order["refunds"]] == ["failed"]
    assert await seed.rows("SELECT DISTINCT status FROM license") == [{"status": "active"}]
    assert await seed.value("SELECT amount FROM balance WHERE account_id = $1", SELLER) == 800
    assert again.status == 200


async def test_what_a_refund_does_not_end_by(bazaar: Bazaar, seed: Seed) -> None:
    """A status that is not final, told by a webhook, leaves it pending; so does word of another refund."""
    order_id, refund_id = await refunding(bazaar)
    await bazaar.switch.finish_refund(refund_id, "review")
    bazaar.switch.refunds["unknown"] = {"refund_id": "ref_nobodys", "payment_id": "pay_nobodys",
                                        "amount": 5, "currency": "USD"}  # fmt: skip
    await bazaar.switch.finish_refund("unknown")

    async def judged() -> bool:
        return not await seed.value("SELECT count(*) FROM webhook_event WHERE state = 'pending'")

    await until(judged, 30, "the events to be judged")
    order = (await bazaar.house.get(f"{ORDERS}/{order_id}", OPS)).json

    assert order["status"] == "refund_pending"
    assert [each["status"] for each in order["refunds"]] == ["pending"]
    assert await seed.value("SELECT state FROM webhook_event WHERE object_id = 'ref_nobodys'") == "parked"


async def test_a_refund_that_is_told_twice_counts_once(bazaar: Bazaar, seed: Seed) -> None:
    """Another event of the same end: no step and no posting."""
    look = (
        "SELECT (SELECT version FROM refund), (SELECT version FROM orders), "
        "(SELECT count(*) FROM ledger_posting) AS postings, (SELECT max(version) FROM license)"
    )
    order_id, refund_id = await refunding(bazaar)
    await bazaar.switch.finish_refund(refund_id)
    await bazaar.becomes(order_id, "refunded")
    before = await seed.rows(look)
    await bazaar.switch.finish_refund(refund_id)

    async def judged() -> bool:
        return bool(
            await seed.value(
                "SELECT state = 'superseded' FROM webhook_event WHERE event_id = $1",
                f"evt_{bazaar.switch.told}",
            )
        )

    await until(judged, 30, "the second event to be judged")

    assert await seed.rows(look) == before


async def test_a_provider_may_be_chosen(bazaar: Bazaar) -> None:
    """Stripe is asked when the buyer says so; here nobody answers there."""
    answer = await bazaar.order(provider="stripe")

    assert (answer.status, answer.json["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert bazaar.switch.payments == {}


@pytest.mark.parametrize("missing", ["HYPERSWITCH_ENABLED", "HYPERSWITCH_URL", "HYPERSWITCH_API_KEY"])
async def test_the_provider_is_there_with_all_three_settings_only(
    dsn: str, redis_url: str, seed: Seed, missing: str
) -> None:
    """With one of them missing nothing is sold, and nobody is asked: no order that nobody could pay."""
    async with switching(f"http://127.0.0.1:{free_port()}/") as switch:
        complete = {
            "HYPERSWITCH_ENABLED": "true", "HYPERSWITCH_URL": switch.url, "HYPERSWITCH_API_KEY": API_KEY,
        }  # fmt: skip
        del complete[missing]
        async with running(dsn, redis_url, **complete) as house:
            assert (await house.put("/ops/products/book", OPS, BOOK)).status == 200
            answer = await house.post(ORDERS, customer(BUYER), {"product_id": "book"})

    assert (answer.status, answer.json["code"]) == (503, "PROVIDER_NOT_CONFIGURED")
    assert switch.keys == []
    assert await seed.value("SELECT count(*) FROM orders") == 0
