"""`POST …/credits/spend/{spend_id}/reverse`: what was used up is given back, wholly and once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from tests.api.house import OPS, Answer, House, customer, running
from tests.api.seed import Seed
from tests.customers.test_spends import OWNER, WHO_MAY, balance, fund, house, spend, told
from tests.support.poll import until

__all__ = ["house"]  # the fixture: an API and two workers, as processes


def path_of(spend_id: str, account: str = OWNER) -> str:
    return f"/api/accounts/{account}/credits/spend/{spend_id}/reverse"


async def reverse(house: House, spend_id: str, key: str, body: object = None) -> Answer:
    return await house.post(path_of(spend_id), {**OPS, "Idempotency-Key": key}, body)


async def served(house: House, spend_id: str, key: str) -> Answer:
    """The same, asked again under its key for as long as the API says, or shows, that it is busy."""

    async def asked() -> Any:
        with contextlib.suppress(TimeoutError):
            answer = await reverse(house, spend_id, key)
            busy = answer.status == 503 or told_code(answer) == "IDEMPOTENCY_KEY_IN_USE"
            return None if busy else answer
        return None

    answer: Answer | None = await until(asked, 120, f"{key} to be served")
    assert answer is not None
    return answer


def told_code(answer: Answer) -> str | None:
    code: str | None = answer.json.get("code")
    return code


async def spent(house: House, seed: Seed, credits: int = 4) -> str:
    """The id of a spend, of ten credits that were bought."""
    await fund(seed, 10)
    answer = await spend(house, credits, "spend")
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


async def test_a_spend_is_given_back(house: House, seed: Seed) -> None:
    """Posted in double entry against the spend, by an event that names who asked and why; it counts as unused
    again, can be spent again, and the owner sees both."""
    spend_id = await spent(house, seed)
    answer = await reverse(house, spend_id, "back", {"reason": "the render failed"})
    listed = (await house.get("/api/billing/credits/transactions?limit=2", customer(OWNER))).json["items"]
    legs = await seed.rows(
        "SELECT p.account_id, p.amount, t.money_object FROM ledger_posting p JOIN ledger_transaction t "
        "ON t.id = p.transaction_id WHERE t.movement = 'spend_reversal' ORDER BY p.amount"
    )
    (said,) = await seed.rows(
        "SELECT l.actor, l.event_id, l.object_id, convert_from(l.body, 'UTF8') AS body FROM webhook_log l "
        "WHERE event_type = 'spend.reversed'"
    )
    after = await balance(house)
    again = await spend(house, 10, "all of it")

    assert answer.status == 201
    assert answer.json == {
        "id": said["object_id"], "spend_id": spend_id, "transaction_id": listed[0]["transaction_id"],
        "account_id": OWNER, "credits": 4, "remaining_credits": 10, "created_at": listed[0]["posted_at"],
    }  # fmt: skip
    assert [(row["movement"], row["amount_minor"]) for row in listed] == [
        ("spend_reversal", 4), ("spend", -4),
    ]  # fmt: skip
    assert legs == [
        {"account_id": "system:credits_spent", "amount": -4, "money_object": spend_id},
        {"account_id": OWNER, "amount": 4, "money_object": spend_id},
    ]
    assert (said["actor"], said["event_id"]) == ("ops:eva", f"spend_reversal:{spend_id}")
    assert '"reason":"the render failed"' in said["body"]
    assert (after, again.status) == ((10, 10, 0), 201)


async def test_fifty_reversals_at_once_are_one(house: House, seed: Seed) -> None:
    """Each under a key of its own: one is served, all others hear that it has been done."""
    spend_id = await spent(house, seed)
    answers = await asyncio.gather(*(served(house, spend_id, f"k{number}") for number in range(50)))

    assert sorted(answer.status for answer in answers) == [201] + [409] * 49
    assert {told_code(answer) for answer in answers} == {None, "SPEND_ALREADY_REVERSED"}
    assert await balance(house) == (10, 10, 0)
    assert await seed.value("SELECT count(*) FROM ledger_transaction WHERE movement = 'spend_reversal'") == 1
    assert await seed.value("SELECT count(*) FROM webhook_log WHERE event_type = 'spend.reversed'") == 1


async def test_the_same_key_gets_the_same_answer(house: House, seed: Seed) -> None:
    """Fifty equal requests, one answer; also where the process has died before it kept it. Another body under
    the key is a 422."""
    spend_id = await spent(house, seed)
    answers = await asyncio.gather(*(served(house, spend_id, "once") for _ in range(50)))
    await seed.connection.execute(
        "UPDATE idempotency_key SET state = 'running', status = NULL, body = NULL, answered_at = NULL, "
        "leased_until = now() - interval '1 s' WHERE key = 'once'"
    )
    again = await reverse(house, spend_id, "once")
    other = await reverse(house, spend_id, "once", {"reason": "another"})

    assert {(answer.status, answer.body) for answer in (*answers, again)} == {(201, answers[0].body)}
    assert told(other) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await balance(house) == (10, 10, 0)


@pytest.mark.parametrize(("headers", "status"), WHO_MAY)
async def test_who_may_reverse(house: House, seed: Seed, headers: dict[str, str], status: int) -> None:
    """Whoever may spend; to everybody else there is no such account."""
    spend_id = await spent(house, seed)
    answer = await house.post(path_of(spend_id), {**headers, "Idempotency-Key": "k"})

    assert answer.status == status
    assert (await balance(house))[0] == (10 if status == 201 else 6)


async def test_what_was_never_spent_is_not_given_back(house: House, seed: Seed) -> None:
    """An unknown spend, nonsense, and another account's under one's own: 404 alike, and nothing is said."""
    spend_id = await spent(house, seed)
    mine = {**customer("stranger"), "Idempotency-Key": "k"}
    answers = [
        await house.post(path_of("7c1e0d8e-0000-4000-8000-000000000000"), {**OPS, "Idempotency-Key": "k1"}),
        await house.post(path_of("%00"), {**OPS, "Idempotency-Key": "k2"}),
        await house.post(path_of(spend_id, "stranger"), mine),
    ]
    keyless = await house.post(path_of(spend_id), OPS)

    assert [told(answer) for answer in answers] == [(404, "NOT_FOUND")] * 3
    assert len({answer.json["message"] for answer in answers}) == 1
    assert told(keyless) == (400, "IDEMPOTENCY_KEY_REQUIRED")
    assert await seed.value("SELECT count(*) FROM webhook_log WHERE event_type = 'spend.reversed'") == 0
    assert await balance(house) == (6, 10, 4)


@pytest.mark.parametrize("body", [{"reason": ""}, {"reason": "a\x00b"}, {"credits": 1}])
async def test_nonsense_is_refused(house: House, seed: Seed, body: dict[str, object]) -> None:
    """A reason is printable text; a part of a spend is not given back."""
    answer = await reverse(house, await spent(house, seed), "k", body)

    assert told(answer) == (400, "VALIDATION_ERROR")
    assert await balance(house) == (6, 10, 4)


async def test_without_workers_the_reversal_waits(dsn: str, redis_url: str, seed: Seed) -> None:
    """503 with a time; the workers post it later, and the same key finds it. Nobody else can take it over."""
    await fund(seed, 10)
    async with running(dsn, redis_url) as alone:
        asking = asyncio.create_task(spend(alone, 4, "spend"))

        async def is_answered() -> bool:
            await seed.drain()
            return asking.done()

        await until(is_answered, 30, "the spend to be answered")
        spend_id = (await asking).json["id"]
        waiting = await reverse(alone, spend_id, "k")
        second = await reverse(alone, spend_id, "k2")
        await seed.drain()
        again = await reverse(alone, spend_id, "k")
        left = await balance(alone)

    assert (told(waiting), waiting.headers["Retry-After"]) == ((503, "SERVICE_UNAVAILABLE"), "1")
    assert told(second) == (409, "SPEND_ALREADY_REVERSED")
    assert (again.status, left) == (201, (10, 10, 0))
