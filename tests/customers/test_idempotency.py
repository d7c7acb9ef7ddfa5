"""`Idempotency-Key`: same request, same answer; another one, 422; after a death, no second effect."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta

import asyncpg
import pytest

from db import idempotency, pool, purse
from db.idempotency import Claim
from tests.api import house as house_module
from tests.api.house import ENVIRONMENT, OPS, Answer, House, customer, gateway
from tests.api.seed import Seed
from tests.sandbox.worlds import World
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes

PATH = "/api/billing/credits/topup"
SESSIONS = "/api/credits/sessions"
DIE = "UPDATE idempotency_key SET leased_until = now() - interval '1 s'"


async def grant(house: House, key: str, body: bytes = b'{"user_id":"u1","amount_usdc":"1"}') -> Answer:
    return await house.ask("POST", PATH, {**OPS, "Idempotency-Key": key}, body)


async def test_the_same_request_has_the_same_answer(shop: House) -> None:
    """Byte for byte, marked as a replay; how the body is written makes no other request."""
    first = await grant(shop, "k")
    second = await grant(shop, "k")
    third = await grant(shop, "k", b' {\n"amount_usdc" : "1", "user_id":"\\u00751" } ')

    assert (first.status, second.status, third.status) == (201, 201, 201)
    assert first.body == second.body == third.body
    assert [answer.headers.get("Idempotent-Replayed") for answer in (first, second, third)] == [
        None, "true", "true",
    ]  # fmt: skip
    assert second.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert second.headers["Cache-Control"] == "no-store"


async def test_another_request_under_the_key_is_422(shop: House, seed: Seed) -> None:
    """A used key says nothing about another request, even while the first one is under way."""
    await grant(shop, "k")
    reused = await grant(shop, "k", b'{"user_id":"u2","amount_usdc":"1"}')
    await seed.connection.execute(
        "INSERT INTO idempotency_key (caller, key, request_sha256, leased_until) "
        "VALUES ('ops:eva', 'running', '\\x00', now() + interval '1 hour')"
    )
    meanwhile = await grant(shop, "running")

    assert (reused.status, reused.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (meanwhile.status, meanwhile.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await seed.value("SELECT count(*) FROM ledger_transaction") == 1


async def test_a_key_belongs_to_its_caller(shop: House, stripe: World) -> None:
    """Two customers, and an operator called like one of them, may use one key without meeting."""
    body = {"successUrl": "https://shop.example/", "credits": 5}
    answers = [
        await shop.post(SESSIONS, {**headers, "Idempotency-Key": "k"}, {**body, **more})
        for headers, more in (
            (customer("eva"), {}),
            (gateway("u2"), {}),
            (OPS, {"accountId": "u3"}),
        )
    ]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len({answer.json["id"] for answer in answers}) == 3


@pytest.mark.parametrize("key", ["", " ", "ä", "a" * 256, "a\tb"])
async def test_an_odd_key_is_refused(shop: House, key: str) -> None:
    """A key is one text of printable ASCII characters."""
    answer = await grant(shop, key)

    assert (answer.status, answer.json["code"]) == (400, "INVALID_IDEMPOTENCY_KEY")


async def test_two_keys_are_refused(shop: House) -> None:
    """Two headers do not say which one counts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {OPS['Authorization']}\r\n"
        "Idempotency-Key: a\r\nIdempotency-Key: b\r\nConnection: close\r\nContent-Length: 36\r\n\r\n"
        '{"user_id":"u1","amount_usdc":"1.0"}'.encode()
    )
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()

    assert b"INVALID_IDEMPOTENCY_KEY" in answer


async def test_a_key_of_255_characters_is_taken(shop: House) -> None:
    """The longest that providers take, too."""
    assert (await grant(shop, "k" * 255)).status == 201


async def test_a_refusal_is_an_answer_and_a_failure_is_none(shop: House, stripe: World, seed: Seed) -> None:
    """A 404 stays a 404 under its key; after a 503 the same key may be tried again at once."""
    body = {"successUrl": "https://shop.example/", "credits": 5, "accountId": "somebody-else"}
    headers = {**customer("u1"), "Idempotency-Key": "k1"}
    refused = [await shop.post(SESSIONS, headers, body) for _ in range(2)]
    await stripe.fault(kind="drop_before", path="/v1/checkout/sessions")
    headers = {**customer("u1"), "Idempotency-Key": "k2"}
    tried = [await shop.post(SESSIONS, headers, {**body, "accountId": "u1"}) for _ in range(2)]

    assert [answer.status for answer in refused] == [404, 404]
    assert refused[0].body == refused[1].body
    assert [answer.status for answer in tried] == [503, 200]
    assert await seed.rows("SELECT key, state, attempt, status FROM idempotency_key ORDER BY key") == [
        {"key": "k1", "state": "answered", "attempt": 1, "status": 404},
        {"key": "k2", "state": "answered", "attempt": 2, "status": 200},
    ]


async def test_an_attempt_that_died_before_its_answer_is_repeated_without_a_second_effect(
    shop: House, seed: Seed, dsn: str
) -> None:
    """Granted and not answered: the next request takes over, finds what was granted, and answers it."""
    first = await grant(shop, "k")
    # As if the process had died between the grant and keeping its answer.
    await seed.connection.execute(
        "UPDATE idempotency_key SET state = 'running', status = NULL, body = NULL, answered_at = NULL"
    )
    await seed.connection.execute(DIE)
    again = await grant(shop, "k")

    assert (again.status, again.body) == (201, first.body)
    assert await seed.value("SELECT count(*) FROM ledger_transaction") == 1
    assert await seed.value("SELECT attempt FROM idempotency_key") == 2


async def test_who_was_taken_for_dead_and_answers_late_changes_nothing(dsn: str, seed: Seed) -> None:
    """The first attempt's answer comes after another one has taken over: it is dropped, the effect is one."""
    api = await pool.connect(dsn, "sluice_api", "tests-api")
    try:
        slow = await idempotency.claim(api, "ops:eva", "k", b"same", 30)
        assert isinstance(slow, Claim)
        await seed.connection.execute(DIE)
        fast = await idempotency.claim(api, "ops:eva", "k", b"same", 30)
        assert isinstance(fast, Claim)
        for attempt in (fast, slow):
            await purse.grant_usdc(api, attempt.operation_id, "u1", 7, "eva")
        await idempotency.answer(api, slow, 201, b"slow")
        await idempotency.release(api, slow)
        unanswered = await idempotency.claim(api, "ops:eva", "k", b"same", 30)
        await idempotency.answer(api, fast, 201, b"fast")
        standing = await idempotency.claim(api, "ops:eva", "k", b"same", 30)
    finally:
        await api.close()

    assert (slow.operation_id, slow.attempt, fast.attempt) == (fast.operation_id, 1, 2)
    assert not isinstance(unanswered, Claim)
    assert not isinstance(standing, Claim)
    assert (unanswered.state, standing.body) == ("running", b"fast")
    assert await seed.value("SELECT amount FROM balance WHERE account_id = 'u1'") == 7


async def test_an_equal_request_waits_for_the_first(shop: House, dsn: str) -> None:
    """The second request gets the first one's answer when it comes, not a refusal."""
    connection = await asyncpg.connect(dsn)
    try:
        held = connection.transaction()
        await held.start()
        # The grant needs this row, so it waits as long as we hold it.
        await connection.execute("INSERT INTO account (id) VALUES ('u1')")
        waiting = [asyncio.create_task(grant(shop, "k")) for _ in range(2)]

        async def claimed() -> bool:
            return bool(await connection.fetchval("SELECT count(*) = 1 FROM idempotency_key"))

        await until(claimed, 10, "the key to be claimed")
        await held.rollback()
        answers = await asyncio.gather(*waiting)
    finally:
        await connection.close()

    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body


async def test_whoever_waits_in_vain_is_told(shop: House, seed: Seed) -> None:
    """While the first request is under way for longer than a provider may take, equal ones get 409."""
    await grant(shop, "k")
    await seed.connection.execute(
        "UPDATE idempotency_key SET state = 'running', status = NULL, body = NULL, answered_at = NULL, "
        "leased_until = now() + interval '1 hour'"
    )
    answer = await grant(shop, "k")

    assert (answer.status, answer.json["code"]) == (409, "IDEMPOTENCY_KEY_IN_USE")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_a_kill_in_the_middle_is_survived(
    dsn: str, redis_url: str, processes: Processes, seed: Seed
) -> None:
    """A real process is killed while it grants; the next one takes over after the lease, and grants once."""
    port = free_port()
    environment = {"DATABASE_URL": dsn, "REDIS_URL": redis_url, "API_PORT": str(port), **ENVIRONMENT}
    live = f"http://127.0.0.1:{port}/health/live"
    running = await processes.start_ready("-m", "api", url=live, environment=environment)
    blocker = await asyncpg.connect(dsn)
    try:
        held = blocker.transaction()
        await held.start()
        await blocker.execute("INSERT INTO account (id) VALUES ('u1')")
        async with house_module.client() as session:
            lost = asyncio.create_task(grant(House(port, session), "k"))

            async def granting() -> bool:
                return bool(await seed.value("SELECT count(*) = 1 FROM idempotency_key"))

            await until(granting, 10, "the grant to be under way")
            running.signal(signal.SIGKILL)
            await running.ended()
            await asyncio.gather(lost, return_exceptions=True)
        await held.rollback()
    finally:
        await blocker.close()
    await processes.start_ready("-m", "api", url=live, environment=environment)
    lease = await seed.value("SELECT leased_until - now() FROM idempotency_key")
    await seed.connection.execute(DIE)
    async with house_module.client() as session:
        again = await grant(House(port, session), "k")

    assert timedelta() < lease <= timedelta(seconds=30)
    assert again.status == 201
    assert await seed.value("SELECT count(*) FROM ledger_transaction") == 1
    assert await seed.value("SELECT amount FROM balance WHERE account_id = 'u1'") == 10_000_000
