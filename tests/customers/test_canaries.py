"""Secrets go to whom they are for: after good and bad days no log line and no row of the database has one."""

from __future__ import annotations

import re
from typing import Any

from db import cards
from db.cards import SeedCard
from tests.api import house as house_module
from tests.api.house import (
    ENVIRONMENT,
    GATEWAY_SECRET,
    JWT_SECRET,
    OPS,
    OPS_TOKEN,
    Answer,
    House,
    customer,
    gateway,
)
from tests.api.seed import Seed
from tests.customers.providers import PANDA_KEY, Panda
from tests.customers.test_wallet import has_card
from tests.sandbox.worlds import KEY, World
from tests.support.ports import free_port
from tests.support.processes import Processes

GOOD: dict[str, Any] = {"successUrl": "https://shop.example/?token=canary-in-url", "credits": 5}
SCOPED = {"scope": "card:provisioning"}


async def everything_kept(seed: Seed) -> str:
    """All rows of all tables as text; bytes as hex."""
    tables = await seed.rows(
        "SELECT oid::regclass::text AS name FROM pg_class "
        "WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    )
    dumps = [await seed.rows(f"SELECT t::text AS row FROM {table['name']} t") for table in tables]
    return "\n".join(row["row"] for dump in dumps for row in dump)


async def live_a_day(house: House, seed: Seed, panda: Panda, stripe: World) -> tuple[list[str], list[Answer]]:
    """Good requests and bad ones; returns the secrets that were handed out, and the refusals."""
    await has_card(seed, panda)
    ((card_id, _),) = await cards.seed(seed.connection, [SeedCard("u1", "usd", 1, "U", "1001", 1, 2030)])
    good = [
        await house.get("/api/card/wallet", customer("u1", **SCOPED)),
        await house.get(f"/api/v1/cards/{card_id}/wallet_payload", customer("u1")),
        await house.post("/api/credits/sessions", {**customer("u1"), "Idempotency-Key": "k"}, GOOD),
        await house.post(
            "/api/billing/credits/topup",
            {**OPS, "Idempotency-Key": "k"},
            {"user_id": "u1", "amount_usdc": "1"},
        ),
    ]
    assert [answer.status for answer in good] == [200, 200, 200, 201], [answer.body for answer in good]
    bad: list[Answer] = []
    for fault in (
        {"status": 500, "body": "pandasecret-in-an-error"},
        {"status": 200, "body": '{"timeBasedSecret":"pandasecret-in-a-wrong-shape"}'},
    ):
        await panda.fault(path="/issuing", **fault)
        bad.append(await house.get("/api/card/wallet", customer("u1", **SCOPED)))
    for kind in ("status", "drop_after"):
        await stripe.fault(kind=kind, path="/v1/checkout", status=400)
        bad.append(await house.post("/api/credits/sessions", gateway("u2"), GOOD))
    bad += [
        await house.post("/api/credits/sessions", gateway("u2"), {**GOOD, "canary-in-a-field": 1}),
        await house.get("/api/card/wallet?canary-in-a-query=1", customer("u1", **SCOPED)),
        await house.get("/api/card/wallet", {**customer("u1", **SCOPED), "Cookie": "canary-in-a-cookie=1"}),
        await house.get("/audit/deliveries", customer("u1")),
        await house.get("/api/v1/orders/canary-in-a-path", customer("u1")),
    ]
    assert [answer.status for answer in bad] == [500, 500, 502, 503, 400, 400, 401, 401, 404]
    return [good[0].json["cardSecret"], good[1].json["provisioning_token"]], bad


async def test_no_secret_stays_anywhere(
    dsn: str, redis_url: str, processes: Processes, seed: Seed, panda: Panda, stripe: World
) -> None:
    """Keys, tokens, card secrets, provisioning tokens, and whatever strangers write into URLs and fields."""
    port = free_port()
    running = await processes.start_ready(
        "-m",
        "api",
        url=f"http://127.0.0.1:{port}/health/ready",
        environment={
            "DATABASE_URL": dsn,
            "REDIS_URL": redis_url,
            "API_PORT": str(port),
            **ENVIRONMENT,
            "APP_ENV": "test",
            "DEV_ENDPOINTS_ENABLED": "true",
            "PANDA_API_URL": panda.url,
            "PANDA_API_KEY": PANDA_KEY,
            "STRIPE_SECRET_KEY": KEY,
            "STRIPE_API_BASE": stripe.url,
        },
    )
    async with house_module.client() as session:
        house = House(port, session)
        handed_out, refusals = await live_a_day(house, seed, panda, stripe)
        metrics = (await house.get("/metrics")).body.decode()
    secrets = [
        *handed_out, KEY, PANDA_KEY, OPS_TOKEN, JWT_SECRET, GATEWAY_SECRET, "canary", "pandasecret",
        "sim-token", customer("u1")["Authorization"].removeprefix("Bearer "),
        customer("u1", **SCOPED)["Authorization"].removeprefix("Bearer "),
    ]  # fmt: skip
    kept = await everything_kept(seed)
    told = "\n".join(f"{answer.body.decode()} {dict(answer.headers)}" for answer in refusals)
    # The one who wrote a field's or a parameter's name is told which one is at fault; nobody else is.
    told = told.replace("canary-in-a-field", "").replace("canary-in-a-query", "")
    # Where a customer comes back to is part of what was wanted: it stands in the intent, and nowhere else.
    for wanted in (GOOD["successUrl"], GOOD["successUrl"].encode().hex()):
        assert wanted in kept
        kept = kept.replace(wanted, "")

    for place, text in (
        ("refusals", told),
        ("log", running.output()), ("log of the card processor", panda.running.output()),
        ("database", kept), ("metrics", metrics),
    ):  # fmt: skip
        found = [s for s in secrets if s in text or s.encode().hex() in text]
        assert found == [], place
    assert "panda_call_failed" in running.output()
    assert "provider_call_failed" in running.output()
    # The search itself finds what is there: the owner's name, in rows and in answers that were kept.
    assert re.search(r"\bu1\b", kept)
    assert b"checkout".hex() in kept or b"cs_".hex() in kept
