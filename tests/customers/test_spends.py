"""`POST /api/accounts/{id}/credits/spend`: exactly what the balance allows, once per key."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api import house as house_module
from tests.api.house import DASHBOARD, ENVIRONMENT, OPS, Answer, House, customer, gateway, running
from tests.api.seed import Seed
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes
from tests.support.stripe_events import checkout, event, refund

OWNER = "spender"
PATH = f"/api/accounts/{OWNER}/credits/spend"


WHO_MAY: list[tuple[dict[str, str], int]] = [
    (OPS, 201),
    (customer(OWNER), 201),
    (gateway(OWNER), 201),
    (gateway("admin-of-the-gateway", **{"x-user-role": "admin"}), 201),
    (customer("stranger"), 404),
    (gateway("stranger"), 404),
    (DASHBOARD, 403),
    ({}, 401),
]
"""Operators, the owner, and a gateway's admin; to everybody else there is no such account."""


@pytest.fixture
async def house(dsn: str, redis_url: str, processes: Processes) -> AsyncIterator[House]:
    """An API and two workers, as processes."""
    port = free_port()
    environment = {"DATABASE_URL": dsn, "REDIS_URL": redis_url, "API_PORT": str(port), **ENVIRONMENT}
    for _ in range(2):
        processes.start("-m", "workers", environment=environment)
    ready = f"http://127.0.0.1:{port}/health/ready"
    await processes.start_ready("-m", "api", url=ready, environment=environment)
    async with house_module.client() as session:
        yield House(port, session)


async def fund(seed: Seed, credits: int, account: str = OWNER) -> dict[str, Any]:
    """Credits that were bought and paid for; returns the checkout."""
    session = checkout(credits=credits, amount=credits * 2, account=account)
    await seed.event(event("checkout.session.completed", session))
    await settled(seed)
    return session


async def settled(seed: Seed) -> None:
    """Wait until every event has its outcome; the test is one more worker."""

    async def done() -> bool:
        await seed.drain()
        return bool(await seed.value("SELECT count(*) = 0 FROM webhook_event WHERE state = 'pending'"))

    await until(done, 30, "all events to be applied")


async def spend(house: House, credits: object, key: str, path: str = PATH, **more: object) -> Answer:
    return await house.post(path, {**OPS, "Idempotency-Key": key}, {"credits": credits, **more})


async def served(house: House, credits: int, key: str, path: str = PATH) -> Answer:
    """The same, asked again under its key for as long as the API says, or shows, that it is busy."""

    async def asked() -> Any:
        with contextlib.suppress(TimeoutError):
            answer = await spend(house, credits, key, path)
            return None if answer.status in (409, 503) else answer  # 409: its last attempt is not over
        return None

    answer: Answer | None = await until(asked, 120, f"{key} to be served")
    assert answer is not None
    return answer


async def balance(house: House, account: str = OWNER) -> tuple[int, int, int]:
    """What is left, what was ever given, what was used."""
    told = (await house.get(f"/api/accounts/{account}/credits", OPS)).json
    return told["remaining_credits"], told["total_credits"], told["used_credits"]


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


async def test_credits_are_spent(house: House, seed: Seed) -> None:
    """Posted in double entry, by an event of our own that names who asked and why; the owner sees it."""
    await fund(seed, 10)
    answer = await spend(house, 4, "k", reason="a render of 4 minutes")
    (row,) = (await house.get("/api/billing/credits/transactions?limit=1", customer(OWNER))).json["items"]
    legs = await seed.rows(
        "SELECT p.account_id, p.unit, p.amount FROM ledger_posting p JOIN ledger_transaction t "
        "ON t.id = p.transaction_id WHERE t.movement = 'spend' ORDER BY p.amount"
    )
    (said,) = await seed.rows(
        "SELECT l.actor, l.origin, convert_from(l.body, 'UTF8') AS body FROM webhook_log l "
        "WHERE source = 'sluice'"
    )

    assert answer.status == 201
    assert answer.json == {
        "id": row["cause"]["object_id"], "transaction_id": row["transaction_id"], "account_id": OWNER,
        "credits": 4, "remaining_credits": 6, "created_at": row["posted_at"],
    }  # fmt: skip
    assert (row["movement"], row["amount_minor"], row["cause"]["event_type"]) == (
        "spend",
        -4,
        "credits.spent",
    )
    assert legs == [
        {"account_id": OWNER, "unit": "credit", "amount": -4},
        {"account_id": "system:credits_spent", "unit": "credit", "amount": 4},
    ]
    assert (said["actor"], said["origin"]) == ("ops:eva", "operator")
    assert '"reason":"a render of 4 minutes"' in said["body"]
    assert await balance(house) == (6, 10, 4)


async def test_fifty_spends_at_once_are_served_as_far_as_the_balance_goes(house: House, seed: Seed) -> None:
    """Of fifty spends of 3 credits on 100, each with its key, thirty-three succeed; one credit is left."""
    await fund(seed, 100)
    answers = await asyncio.gather(*(served(house, 3, f"k{number}") for number in range(50)))

    assert sorted(answer.status for answer in answers) == [201] * 33 + [402] * 17
    assert {told(answer) for answer in answers if answer.status == 402} == {(402, "INSUFFICIENT_CREDITS")}
    assert await balance(house) == (1, 100, 99)
    assert await seed.value("SELECT count(*) FROM ledger_transaction WHERE movement = 'spend'") == 33
    assert await seed.value("SELECT count(*) FROM credit_hold") == 0


async def test_many_sizes_at_once_never_lead_below_zero(house: House, seed: Seed) -> None:
    """Spends of 1 to 20 on two accounts: what was answered with success is what is gone, to the credit."""
    others = "second-spender"
    await fund(seed, 60)
    await fund(seed, 45, others)
    asked = [(PATH, size) for size in range(1, 21)]
    asked += [(f"/api/accounts/{others}/credits/spend", size) for size in range(20, 0, -1)]
    answers = await asyncio.gather(*(served(house, size, f"{path}{size}", path) for path, size in asked))
    gone = {
        path: sum(
            size for (where, size), a in zip(asked, answers, strict=True) if where == path and a.status == 201
        )
        for path, _ in asked
    }

    assert {answer.status for answer in answers} <= {201, 402}
    assert (await balance(house))[0] == 60 - gone[PATH] >= 0
    assert (await balance(house, others))[0] == 45 - gone[asked[-1][0]] >= 0
    assert await seed.value("SELECT min(amount) FROM balance WHERE account_id NOT LIKE 'system:%'") >= 0


async def test_the_same_key_spends_once(house: House, seed: Seed) -> None:
    """Fifty equal requests at once: one spend and one answer; another body under the key is a 422."""
    await fund(seed, 100)
    answers = await asyncio.gather(*(served(house, 5, "once") for _ in range(50)))
    other = await spend(house, 6, "once")

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert told(other) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await balance(house) == (95, 100, 5)


async def test_a_refusal_stays_the_answer_of_its_key(house: House, seed: Seed) -> None:
    """What was refused is not done later under the same key, when there is enough: a new key asks anew."""
    await fund(seed, 4)
    before = await served(house, 5, "k")
    await fund(seed, 4)
    after = [await served(house, 5, "k"), await served(house, 5, "k2")]

    assert told(before) == (402, "INSUFFICIENT_CREDITS")
    assert (after[0].status, after[0].body) == (402, before.body)
    assert after[1].status == 201
    assert await balance(house) == (3, 8, 5)


async def test_a_spend_of_which_the_answer_was_lost_is_found_again(house: House, seed: Seed) -> None:
    """As if the process had died before it kept its answer: the next request finds what was spent."""
    await fund(seed, 10)
    first = await spend(house, 4, "k")
    await seed.connection.execute(
        "UPDATE idempotency_key SET state = 'running', status = NULL, body = NULL, answered_at = NULL, "
        "leased_until = now() - interval '1 s'"
    )
    again = await spend(house, 4, "k")

    assert (again.status, again.body) == (201, first.body)
    assert await balance(house) == (6, 10, 4)


async def test_without_workers_what_was_said_is_held(dsn: str, redis_url: str, seed: Seed) -> None:
    """503 with a time; meanwhile nobody else can spend the same credits, and the workers post it later."""
    await fund(seed, 10)
    async with running(dsn, redis_url) as house:
        waiting = await spend(house, 7, "k")
        second = await spend(house, 4, "k2")
        held = await seed.value("SELECT sum(credits) FROM credit_hold")
        await seed.drain()
        again = await spend(house, 7, "k")
        left = await balance(house)

    assert told(waiting) == (503, "SERVICE_UNAVAILABLE")
    assert waiting.headers["Retry-After"] == "1"
    assert (told(second), held) == ((402, "INSUFFICIENT_CREDITS"), 7)
    assert (again.status, left) == (201, (3, 10, 7))
    assert await seed.value("SELECT count(*) FROM credit_hold") == 0


async def test_a_refund_may_lead_below_zero_and_a_spend_then_not_further(house: House, seed: Seed) -> None:
    """Credits that are used up and then refunded are owed; until the debt is paid nothing is spent."""
    session = await fund(seed, 10)
    await spend(house, 8, "k")
    await seed.event(event("refund.created", refund(session["payment_intent"], 20)))
    await settled(seed)
    further = await spend(house, 1, "k2")

    assert told(further) == (402, "INSUFFICIENT_CREDITS")
    assert await balance(house) == (-8, 0, 8)
    assert await seed.value("SELECT count(*) FROM alert WHERE name = 'negative_balance'") == 1


@pytest.mark.parametrize(("headers", "status"), WHO_MAY)
async def test_who_may_spend(house: House, seed: Seed, headers: dict[str, str], status: int) -> None:
    """Operators, the owner, and a gateway's admin; to everybody else there is no such account."""
    await fund(seed, 1)
    answer = await house.post(PATH, {**headers, "Idempotency-Key": "k"}, {"credits": 1})

    assert answer.status == status
    assert (await balance(house))[0] == (0 if status == 201 else 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"credits": 0}, "credits"),
        ({"credits": -1}, "credits"),
        ({"credits": 1.5}, "credits"),
        ({"credits": "1"}, "credits"),
        ({"credits": 2**53}, "credits"),
        ({}, "credits"),
        ({"credits": 1, "reason": ""}, "reason"),
        ({"credits": 1, "reason": "a\x00b"}, "reason"),
        ({"credits": 1, "reason": "x" * 256}, "reason"),
        ({"credits": 1, "surprise": 1}, "surprise"),
    ],
)
async def test_nonsense_is_refused(house: House, body: dict[str, object], field: str) -> None:
    """With the field at fault."""
    answer = await house.post(PATH, {**OPS, "Idempotency-Key": "k"}, body)

    assert told(answer) == (400, "VALIDATION_ERROR")
    assert answer.json["details"][0]["field"] == field


async def test_an_account_that_has_nothing_spends_nothing(house: House, seed: Seed) -> None:
    """An unknown account, and the house's own; and a spend without a key is refused before anything else."""
    unknown = await spend(house, 1, "k", "/api/accounts/nobody/credits/spend")
    ours = await spend(house, 1, "k2", "/api/accounts/system:grants/credits/spend")
    keyless = await house.post(PATH, OPS, {"credits": 1})

    assert told(unknown) == (402, "INSUFFICIENT_CREDITS")
    assert told(ours) == (404, "NOT_FOUND")
    assert told(keyless) == (400, "IDEMPOTENCY_KEY_REQUIRED")
    assert await seed.value("SELECT count(*) FROM account WHERE id = 'nobody'") == 0
