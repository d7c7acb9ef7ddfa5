"""`POST /api/credits/sessions`: from the request to a payment page, to a purchase of ours, to a balance."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import stripe as stripe_library

from tests.api.house import DASHBOARD, OPS, Answer, House, customer, gateway, running
from tests.api.seed import Seed
from tests.customers.providers import answering
from tests.sandbox.worlds import KEY, SECRET, World, world_at
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes
from tests.support.stripe_events import checkout, event

pytestmark = pytest.mark.usefixtures("worker")

PATH = "/api/credits/sessions"
GOOD = {"successUrl": "https://shop.example/thanks?s={CHECKOUT_SESSION_ID}", "credits": 250}


async def opened(stripe: World) -> list[stripe_library.checkout.Session]:
    """All sessions that the provider has."""
    return (await stripe.stripe.v1.checkout.sessions.list_async({"limit": 100})).data


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


async def test_a_session_is_opened_as_the_contract_says(shop: House, stripe: World) -> None:
    """Two lines, the metadata on session and payment, the account as reference; the answer is id and URL."""
    answer = await shop.post(PATH, customer("acc-1"), GOOD)
    (session,) = await opened(stripe)
    lines = (await stripe.stripe.v1.checkout.sessions.line_items.list_async(session.id)).data
    paid = await stripe.post(f"checkout/sessions/{session.id}/pay")
    payment = await stripe.stripe.v1.payment_intents.retrieve_async(paid["payment_intent"])
    metadata = {"accountId": "acc-1", "credits": "250", "purpose": "credits_topup"}

    assert (answer.status, answer.json) == (200, {"id": session.id, "url": session.url})
    assert (session.mode, session.currency, session.amount_total) == ("payment", "usd", 289)
    assert (session.client_reference_id, session.success_url) == ("acc-1", GOOD["successUrl"])
    assert session.metadata is not None
    assert (session.metadata.to_dict(), payment.metadata.to_dict()) == (metadata, metadata)
    assert [(line.description, line.quantity, line.amount_total) for line in lines] == [
        ("Credits", 250, 250),
        ("Processing fee", 1, 39),
    ]


async def test_a_long_account_id_is_no_reference(shop: House, stripe: World) -> None:
    """Stripe takes references of 200 characters; ours may be longer, and then the metadata alone tell."""
    for account_id in ("a" * 200, "a" * 201, "a" * 255):
        assert (await shop.post(PATH, customer(account_id), GOOD)).status == 200
    sessions = await opened(stripe)

    assert {session.client_reference_id for session in sessions} == {"a" * 200, None}
    named = [len(session.metadata["accountId"]) for session in sessions if session.metadata is not None]
    assert sorted(named) == [200, 201, 255]


async def test_the_session_is_ours_before_it_is_paid(shop: House, stripe: World, seed: Seed) -> None:
    """The purchase stands open with its price, explained by who asked for it; nothing is credited."""
    session_id = (await shop.post(PATH, customer("acc-1"), GOOD)).json["id"]
    purchases = await seed.rows(
        "SELECT source, id, kind, payment_id, account_id, credits, amount_minor, currency, status, origin, "
        "version FROM checkout_session"
    )
    explained = (await shop.get(f"/audit/explain/checkout_session/{session_id}", OPS)).json
    held = (await shop.get("/api/accounts/acc-1/credits", customer("acc-1"))).json

    assert purchases == [
        {
            "source": "stripe", "id": session_id, "kind": "checkout", "payment_id": None,
            "account_id": "acc-1", "credits": 250, "amount_minor": 289, "currency": "usd", "status": "open",
            "origin": "ours", "version": 1,
        }
    ]  # fmt: skip
    (step,) = explained["history"]
    assert (step["from_state"], step["to_state"], step["rule"]) == (None, "open", "checkout_opened")
    (call,) = explained["calls"]
    assert (step["cause"]["event_type"], step["after"]) == (
        "checkout.opened",
        {"credits": 250, "amount_minor": 289},
    )
    assert (call["kind"], call["state"], call["attempts"], call["psp_id"]) == (
        "open_checkout",
        "done",
        1,
        session_id,
    )
    assert (call["cause"]["event_type"], call["cause"]["actor"]) == ("checkout.requested", "customer:acc-1")
    assert (held["remaining_credits"], held["total_credits"]) == (0, 0)


@pytest.mark.parametrize(
    ("amount", "currency", "state", "reason"),
    [(289, "usd", "applied", None), (288, "usd", "quarantined", "amount_mismatch"),
     (290, "usd", "quarantined", "amount_mismatch"), (289, "eur", "quarantined", "amount_mismatch")],
)  # fmt: skip
async def test_its_payment_must_match(
    shop: House, seed: Seed, amount: int, currency: str, state: str, reason: str | None
) -> None:
    """A session of ours is credited for exactly its amount and currency; a foreign one may cost more."""
    session_id = (await shop.post(PATH, customer("acc-1"), GOOD)).json["id"]
    paid = checkout(credits=250, amount=amount, account="acc-1", id=session_id, currency=currency)
    await seed.event(event("checkout.session.completed", paid))

    async def judged() -> Any:
        return await seed.rows(
            "SELECT state, reason FROM webhook_event WHERE source = 'stripe' AND state <> 'pending'"
        )

    (found,) = await until(judged, 30, "the payment to be judged")
    held = (await shop.get("/api/accounts/acc-1/credits", customer("acc-1"))).json

    assert found == {"state": state, "reason": reason}
    assert held["remaining_credits"] == (250 if state == "applied" else 0)


async def test_a_webhook_that_was_faster_is_left_alone(dsn: str, redis_url: str, seed: Seed) -> None:
    """When the payment is known before our answer, the purchase stays paid, credited once."""
    paid = checkout(credits=250, amount=289, account="acc-1", id="cs_test_fast")
    await seed.applied(event("checkout.session.completed", paid))
    body = b'{"id":"cs_test_fast","object":"checkout.session","url":"https://pay.example/x"}'
    async with (
        answering(200, body) as url,
        running(dsn, redis_url, STRIPE_SECRET_KEY=KEY, STRIPE_API_BASE=url) as shop,
    ):
        answer = await shop.post(PATH, customer("acc-1"), GOOD)

    assert answer.json == {"id": "cs_test_fast", "url": "https://pay.example/x"}
    assert await seed.rows("SELECT status, origin FROM checkout_session") == [
        {"status": "paid", "origin": "psp"}
    ]
    assert await seed.value("SELECT amount FROM balance WHERE account_id = 'acc-1'") == 250


async def test_from_the_session_to_the_balance(
    tmp_path: Path, dsn: str, redis_url: str, processes: Processes
) -> None:
    """Buy, pay, and the signed webhook makes a balance: real receiver, worker and provider in between."""
    port = free_port()
    environment: dict[str, str | None] = {
        "DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "INGEST_PORT": str(port),
        "STRIPE_WEBHOOK_SECRETS": SECRET,
        "STRIPE_WEBHOOK_SECRET": None,
    }
    receiver = f"http://127.0.0.1:{port}"
    await processes.start_ready("-m", "ingest", url=f"{receiver}/health/ready", environment=environment)
    processes.start("-m", "workers", environment=environment)
    async with (
        world_at(tmp_path, f"{receiver}/webhooks/stripe") as stripe,
        running(dsn, redis_url, STRIPE_SECRET_KEY=KEY, STRIPE_API_BASE=stripe.url) as shop,
    ):
        session_id = (await shop.post(PATH, customer("acc-1"), GOOD)).json["id"]
        await stripe.post(f"checkout/sessions/{session_id}/pay")

        async def held() -> Any:
            return (await shop.get("/api/accounts/acc-1/credits", OPS)).json["remaining_credits"]

        assert await until(held, 30, "the credits to arrive") == 250
        explained = (await shop.get(f"/audit/explain/checkout_session/{session_id}", OPS)).json

    assert [step["rule"] for step in explained["history"] if step["what"] == "transition"] == [
        "checkout_opened",
        "checkout_paid",
    ]


async def test_json_then_schema_then_caller(shop: House, stripe: World) -> None:
    """A bad body is 400 whoever sends it; a good one needs a caller; no refusal reaches the provider."""
    refused = [
        await shop.ask("POST", PATH, body=b"hello"),
        await shop.post(PATH, None, {"credits": 0, "successUrl": "https://shop.example/"}),
        await shop.post(PATH, None, {"credits": 1}),
        await shop.post(PATH, None, {**GOOD, "surprise": True}),
        await shop.post(PATH, None, {**GOOD, "successUrl": "http://localhost/"}),
        await shop.post(PATH, None, {**GOOD, "accountId": "system:grants"}),
        await shop.post(PATH, None, GOOD),
        await shop.post(PATH, {"Authorization": "Basic dTpw"}, GOOD),
        await shop.post(PATH, {"Authorization": "Bearer nonsense"}, GOOD),
        await shop.post(PATH, customer("acc-1", exp=1), GOOD),
        await shop.post(PATH, {**customer("acc-1"), **gateway("acc-1")}, GOOD),
        await shop.post(PATH, DASHBOARD, GOOD),
    ]

    assert [told(answer) for answer in refused] == [
        (400, "INVALID_JSON"),
        *[(400, "VALIDATION_ERROR")] * 5,
        (401, "UNAUTHORIZED"),
        (401, "INVALID_AUTH_HEADER"),
        (401, "INVALID_TOKEN"),
        (401, "TOKEN_EXPIRED"),
        (401, "UNAUTHORIZED"),
        (403, "FORBIDDEN"),
    ]
    assert refused[0].json["error"] == "Invalid JSON body"
    assert [answer.json["details"][0]["field"] for answer in refused[1:6]] == [
        "credits", "successUrl", "surprise", "successUrl", "accountId",
    ]  # fmt: skip
    assert all(answer.json["error"] == answer.json["message"] for answer in refused)
    assert await opened(stripe) == []


async def test_another_account_needs_somebody_who_may(shop: House, stripe: World) -> None:
    """One's own account id may be written down; another's is not there, except for admin and ops."""
    answers = [
        await shop.post(PATH, headers, {**GOOD, **({"accountId": account} if account else {})})
        for headers, account in (
            (customer("acc-1"), "acc-1"),
            (customer("acc-1"), "acc-2"),
            (gateway("acc-1"), "acc-2"),
            (gateway("boss", **{"x-user-role": "admin"}), "acc-2"),
            (gateway("boss", **{"x-user-role": "admin"}), None),
            (OPS, "acc-3"),
            (OPS, None),
        )
    ]

    assert [answer.status for answer in answers] == [200, 404, 404, 200, 200, 200, 400]
    assert sorted(str(session.client_reference_id) for session in await opened(stripe)) == [
        "acc-1", "acc-2", "acc-3", "boss",
    ]  # fmt: skip


async def test_return_urls_follow_the_settings(dsn: str, redis_url: str, stripe: World) -> None:
    """Origins that are set bind production and developers alike; without them developers may use their own
    machine.
    """

    async def statuses(**environment: str) -> list[int]:
        async with running(
            dsn, redis_url, STRIPE_SECRET_KEY=KEY, STRIPE_API_BASE=stripe.url, **environment
        ) as shop:
            return [
                (await shop.post(PATH, customer("acc-1"), {**GOOD, "successUrl": url})).status
                for url in (
                    "https://shop.example/",
                    "https://evil.example/",
                    "http://localhost:3000/",
                    "https://shop.example@evil.example/",
                    "https://shop.example\\@evil.example/",
                    "https://SHOP.EXAMPLE:443/",
                )
            ]

    bound = {"RETURN_URL_ORIGINS": "https://shop.example"}
    assert await statuses() == [200, 200, 400, 400, 400, 200]
    assert await statuses(APP_ENV="dev") == [200, 200, 200, 400, 400, 200]
    assert await statuses(**bound, APP_ENV="dev") == [200, 400, 400, 400, 400, 200]
    assert await statuses(**bound) == [200, 400, 400, 400, 400, 200]


async def test_the_fee_follows_the_settings(dsn: str, redis_url: str, stripe: World) -> None:
    """A merchant with another price at Stripe, and one who pays the fee: then there is one line only."""
    for percent, fixed, total in (("1.5", "25", 280), ("0", "0", 250)):
        async with running(
            dsn,
            redis_url,
            STRIPE_SECRET_KEY=KEY,
            STRIPE_API_BASE=stripe.url,
            CREDIT_FEE_PERCENT=percent,
            CREDIT_FEE_FIXED_CENTS=fixed,
        ) as shop:
            session_id = (await shop.post(PATH, customer("acc-1"), GOOD)).json["id"]
        session = await stripe.stripe.v1.checkout.sessions.retrieve_async(session_id)

        assert session.amount_total == total


async def test_without_a_key_there_is_no_provider(dsn: str, redis_url: str, seed: Seed) -> None:
    """503 for a good request; a bad one and a stranger are refused first."""
    async with running(dsn, redis_url) as shop:
        assert told(await shop.post(PATH, customer("acc-1"), GOOD)) == (503, "PROVIDER_NOT_CONFIGURED")
        assert (await shop.post(PATH, None, GOOD)).status == 401
        assert (await shop.post(PATH, None, {})).status == 400
    assert await seed.value("SELECT count(*) FROM checkout_session") == 0


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"id":"cs_1","object":"checkout.session","url":null}', (502, "PROVIDER_ERROR")),
        (200, b'{"id":"cs_1","object":"checkout.session"}', (502, "PROVIDER_ERROR")),
        (200, b"<html>", (503, "SERVICE_UNAVAILABLE")),
        (200, b"[]", (503, "SERVICE_UNAVAILABLE")),
        (400, b'{"error":{"type":"invalid_request_error","message":"canary"}}', (502, "PROVIDER_ERROR")),
        (401, b'{"error":{"message":"canary sk_live_x"}}', (502, "PROVIDER_ERROR")),
        (403, b'{"error":{"message":"canary"}}', (502, "PROVIDER_ERROR")),
        (409, b'{"error":{"message":"canary"}}', (503, "SERVICE_UNAVAILABLE")),
        (429, b'{"error":{"message":"canary"}}', (503, "SERVICE_UNAVAILABLE")),
        (500, b'{"error":{"message":"canary"}}', (503, "SERVICE_UNAVAILABLE")),
        (503, b"canary", (503, "SERVICE_UNAVAILABLE")),
    ],
)
async def test_what_the_provider_does_wrong_is_told_apart(
    dsn: str, redis_url: str, seed: Seed, status: int, body: bytes, expected: tuple[int, str]
) -> None:
    """502 where trying again is useless, 503 with a time where it is not; its text is never repeated."""
    async with (
        answering(status, body) as url,
        running(dsn, redis_url, STRIPE_SECRET_KEY=KEY, STRIPE_API_BASE=url) as shop,
    ):
        answer = await shop.post(PATH, customer("acc-1"), GOOD)

    assert told(answer) == expected
    assert b"canary" not in answer.body
    assert (expected[0] == 503) == ("Retry-After" in answer.headers)
    assert await seed.value("SELECT count(*) FROM checkout_session") == 0


async def test_a_provider_that_is_not_there_is_503(dsn: str, redis_url: str) -> None:
    """Nobody listens."""
    url = f"http://127.0.0.1:{free_port()}"
    async with running(dsn, redis_url, STRIPE_SECRET_KEY=KEY, STRIPE_API_BASE=url) as shop:
        assert told(await shop.post(PATH, customer("acc-1"), GOOD)) == (503, "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after", "path": "/v1/checkout/sessions"},
        {"kind": "drop_before", "path": "/v1/checkout/sessions"},
        {"kind": "status", "path": "/v1/checkout/sessions", "status": 429},
    ],
)
async def test_a_lost_answer_opens_no_second_session(
    shop: House, stripe: World, seed: Seed, fault: dict[str, Any]
) -> None:
    """With a key of their own, customers may try again whatever happened: one session there, one here."""
    await stripe.fault(**fault)
    headers = {**customer("acc-1"), "Idempotency-Key": "buy-1"}
    first = await shop.post(PATH, headers, GOOD)
    second = await shop.post(PATH, headers, GOOD)
    (session,) = await opened(stripe)

    assert (first.status, second.status) == (503, 200)
    assert second.json["id"] == session.id
    assert await seed.rows("SELECT id, status FROM checkout_session") == [
        {"id": session.id, "status": "open"}
    ]


async def test_equal_requests_at_once_open_one_session(shop: House, stripe: World) -> None:
    """Fifty clicks with one key: one session at the provider, one and the same answer; whoever found the API
    too busy gets it, too."""
    headers = {**OPS, "Idempotency-Key": "buy-1"}
    body = {**GOOD, "accountId": "acc-1"}
    answers = await asyncio.gather(*(shop.post(PATH, headers, body) for _ in range(50)))
    answers = [a if a.status != 503 else await shop.post(PATH, headers, body) for a in answers]

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len(await opened(stripe)) == 1


async def test_without_a_key_each_request_is_its_own(shop: House, stripe: World) -> None:
    """Two purchases of the same credits are two purchases."""
    ids = {(await shop.post(PATH, customer("acc-1"), GOOD)).json["id"] for _ in range(2)}

    assert {session.id for session in await opened(stripe)} == ids
    assert len(ids) == 2


async def test_a_page_of_another_origin_may_ask(shop: House) -> None:
    """The preflight is answered 200 to anybody; answers and refusals may be read; no cookies are taken."""
    origin = {"Origin": "https://shop.example"}
    preflight = await shop.ask(
        "OPTIONS", PATH, {**origin, "Access-Control-Request-Method": "POST",
                          "Access-Control-Request-Headers": "authorization,content-type"},
    )  # fmt: skip
    answers = [
        preflight,
        await shop.post(PATH, {**customer("acc-1"), **origin}, GOOD),
        await shop.post(PATH, origin, GOOD),
    ]

    assert [answer.status for answer in answers] == [200, 200, 401]
    assert {answer.headers["Access-Control-Allow-Origin"] for answer in answers} == {"*"}
    assert not any("Access-Control-Allow-Credentials" in answer.headers for answer in answers)
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key"} <= set(allowed)
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Origin" not in (await shop.get("/api/billing/credits", origin)).headers
