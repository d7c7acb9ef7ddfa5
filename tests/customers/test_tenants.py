"""Two tenants: one has everything, the other asks for it on every route and gets 404 or 401, never data."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from billing.commands import CreditsSpent, OrderPlaced, PlanSubscribed
from billing.terms import OrderTerms, PlanTerms
from db import cards
from db.cards import SeedCard
from psp.sluice import commands
from tests.api.house import OPS, House, customer, gateway, running
from tests.api.seed import Seed, delivery
from tests.customers.providers import PANDA_KEY, Panda
from tests.customers.test_wallet import credential, has_card
from tests.sandbox.worlds import KEY, World
from tests.support.stripe_events import checkout, event

OWNER, OTHER = "tenant-one", "tenant-two"
SPEND = "spend-4711"
SCOPED = {"scope": "card:provisioning"}
SETTINGS = {"APP_ENV": "test", "DEV_ENDPOINTS_ENABLED": "true", "PANDA_API_KEY": PANDA_KEY}


@dataclass
class Belongings:
    """What the owner has, by the names under which somebody could ask for it."""

    delivery_id: int
    session_id: str
    virtual_card_id: str
    order_id: str
    subscription_id: str
    spend_id: str
    postings_cursor: str

    @property
    def ids(self) -> list[str]:
        """What somebody could put where a path takes an id."""
        return [
            OWNER, str(self.delivery_id), self.session_id, self.virtual_card_id, self.order_id,
            self.subscription_id, f"pi_{self.order_id}", f"credential-{OWNER}", f"card-of-{OWNER}",
            self.spend_id,
        ]  # fmt: skip

    @property
    def marks(self) -> list[str]:
        """Texts of which none may reach anybody else."""
        return [
            OWNER,
            self.session_id,
            self.virtual_card_id,
            self.order_id,
            self.subscription_id,
            self.spend_id,
            "4711",
            "47.11",
            "pandasecret",
        ]


async def belongings(house: House, seed: Seed, panda: Panda) -> Belongings:
    """Give the owner credits, USDC, a purchase, a card, and a developer's card."""
    session = checkout(credits=4_712, amount=5_000, account=OWNER)
    delivery_id = await seed.applied(event("checkout.session.completed", session))
    for key in ("k1", "k2"):
        granted = await house.post(
            "/api/billing/credits/topup",
            {**OPS, "Idempotency-Key": key},
            {"user_id": OWNER, "amount_usdc": "47.11"},
        )
        assert granted.status == 201
    await has_card(seed, panda, OWNER)
    await credential(seed, OTHER)
    ((card_id, _),) = await cards.seed(
        seed.connection, [SeedCard(OWNER, "usd", 4_711, "The Owner", "4711", 1, 2030)]
    )
    product = {"amount_minor": 1_000, "currency": "usd"}
    assert (await house.put("/ops/products/book", OPS, product)).status == 200
    listed = await house.get("/api/billing/credits/transactions?limit=1", customer(OWNER))
    order_id, subscription_id = await agreements(seed)
    return Belongings(
        delivery_id,
        str(session["id"]),
        str(card_id),
        order_id,
        subscription_id,
        SPEND,
        listed.json["next_cursor"],
    )


async def agreements(seed: Seed) -> tuple[str, str]:
    """A paid order with a licence, a pending subscription and a spend, as the workers make them."""
    order = OrderTerms("order-4711", OWNER, None, 4_711, "usd", 0, ("licence-4711",))
    plan = PlanTerms("subscription-4711", OWNER, "plan-4711", 4_711, "usd")
    for event_id, command in (
        (f"evt_{order.id}", OrderPlaced("stripe", f"pi_{order.id}", order)),
        (f"evt_{plan.id}", PlanSubscribed("stripe", f"pi_{plan.id}", plan)),
        (f"spend:{SPEND}", CreditsSpent("sluice", SPEND, OWNER, 1, None)),
    ):
        body = commands.event_body(command, event_id, 1_790_000_000)
        await seed.append(delivery(body, source="sluice", endpoint="api", event_id=event_id))
    await seed.applied(event("payment_intent.succeeded", intent(order)))
    return order.id, plan.id


def intent(order: OrderTerms) -> dict[str, object]:
    """The payment of an order, paid."""
    return {
        "id": f"pi_{order.id}", "object": "payment_intent", "status": "succeeded", "currency": "usd",
        "amount": order.amount_minor, "amount_received": order.amount_minor,
        "metadata": {"purpose": "order", "orderId": order.id},
    }  # fmt: skip


FIELDS: dict[str, object] = {
    "accountId": OWNER, "user_id": OWNER, "buyer_id": OWNER, "account_id": OWNER,
    "object": f"account:{OWNER}", "credential_id": f"credential-{OWNER}", "credits": 1, "amount_usdc": "1",
    "product_id": "book", "successUrl": "https://shop.example/", "plan_id": "none", "reason": "mine now",
}  # fmt: skip
"""What somebody would write into a body to get at the owner's things."""
NAME_NOTHING = frozenset(
    {
        "active", "amount_minor", "currency", "cursor", "dry_run", "filter", "last_four", "licences", "name",
        "panda_id", "phases", "provider", "seller_amount_minor", "seller_id", "status", "trial_days",
    }
)  # fmt: skip
"""Fields of bodies that are left out: nothing of the owner's can be named in them."""


@dataclass
class Asked:
    """One request for something that is not the asker's."""

    method: str
    path: str
    body: object
    is_public: bool
    is_own: bool


def requests_for(document: dict[str, Any], owned: Belongings) -> Iterator[Asked]:
    """Every operation of the document, with whatever of the owner's can be named in it.

    Where a path takes an id it is asked with each of the owner's ids, whatever the path is about, and with
    the owner's cursor where it takes one. A route that is new is in the document, and so it is asked.
    """
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            kinds = {kind for scheme in operation["security"] for kind in scheme}
            is_own = method == "get" and "{" not in template and "customer" in kinds
            body = body_of(document, operation)
            takes_cursor = any(each["name"] == "cursor" for each in operation["parameters"])
            pattern = re.sub(r"\{\w+\}", "{}", template.replace("{kind}", "account"))
            for ids in itertools.product(owned.ids, repeat=pattern.count("{}")):
                path = pattern.format(*ids)
                yield Asked(method.upper(), path, body, not kinds, is_own)
                if takes_cursor:
                    query = f"?cursor={owned.postings_cursor}"
                    yield Asked(method.upper(), path + query, body, not kinds, is_own)


def body_of(document: dict[str, Any], operation: dict[str, Any]) -> object:
    """A body that names all of the owner's things that its type can name."""
    if "requestBody" not in operation or "application/json" not in operation["requestBody"]["content"]:
        return None
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    type_ = document["components"]["schemas"][reference.rpartition("/")[2]]
    undecided = type_["properties"].keys() - FIELDS.keys() - NAME_NOTHING
    assert undecided == set(), f"{reference}: say what of the owner's could be named in these fields"
    return {name: FIELDS[name] for name in type_["properties"] if name in FIELDS}


@pytest.mark.parametrize("who", ["token", "gateway"])
async def test_nothing_of_another_tenant_on_any_route(
    dsn: str, redis_url: str, seed: Seed, panda: Panda, stripe: World, who: str
) -> None:
    """Every operation of `/openapi.json`, asked by somebody else for each thing of the owner's."""
    async with running(
        dsn, redis_url, **SETTINGS, PANDA_API_URL=panda.url, STRIPE_SECRET_KEY=KEY, STRIPE_API_BASE=stripe.url
    ) as house:
        owned = await belongings(house, seed, panda)
        document = (await house.get("/openapi.json")).json
        for number, asked in enumerate(requests_for(document, owned)):
            # Another name each time, so that no ration answers instead of the route.
            name = OTHER if asked.path.endswith("wallet") else f"{OTHER}-{number}"
            headers = customer(name, **SCOPED) if who == "token" else gateway(name)
            body = None if asked.body is None else msgspec.json.encode(asked.body)
            answer = await house.ask(asked.method, asked.path, {**headers, "Idempotency-Key": "k1"}, body)
            told = answer.body.decode() + str(answer.headers).replace(quote(asked.path, safe=""), "")

            assert answer.status in expected(asked), (asked, answer.status, answer.body)
            assert [mark for mark in owned.marks if re.search(rf"(?<!\w){mark}(?!\w)", told)] == [], asked
        mine = await house.get(f"/api/accounts/{OWNER}/credits", customer(OWNER))

    assert mine.json["remaining_credits"] == 4_711
    assert await seed.value("SELECT count(*) FROM checkout_session") == 1
    assert await seed.value("SELECT count(*) FROM access_log WHERE actor LIKE $1", f"{OTHER}%") == 0


def expected(asked: Asked) -> set[int]:
    """What a stranger may be answered: the console shows its door, and its commands need their own token."""
    if asked.is_public:
        return {200, 303, 400, 403, 404}
    if asked.path.startswith("/console"):
        return {303} if asked.method == "GET" else {303, 403}
    return {200, 401, 404} if asked.is_own else {401, 404}


async def test_the_owner_finds_all_of_it(dsn: str, redis_url: str, seed: Seed, panda: Panda) -> None:
    """The same questions by the owner are answered: the matrix above asks for things that are there."""
    async with running(dsn, redis_url, **SETTINGS, PANDA_API_URL=panda.url) as house:
        owned = await belongings(house, seed, panda)
        paths = (
            f"/api/accounts/{OWNER}/credits",
            "/api/billing/credits",
            f"/api/billing/credits/transactions?cursor={owned.postings_cursor}",
            "/api/card/wallet",
            "/wallet",
            f"/api/v1/cards/{owned.virtual_card_id}/wallet_payload",
            f"/api/v1/orders/{owned.order_id}",
            "/api/v1/entitlements",
        )
        answers = [await house.get(path, customer(OWNER, **SCOPED)) for path in paths]
        operators = [
            await house.get(path, OPS)
            for path in (
                f"/audit/deliveries/{owned.delivery_id}/raw",
                f"/audit/explain/checkout_session/{owned.session_id}",
                f"/audit/explain/subscription/{owned.subscription_id}",
                f"/ops/credentials/credential-{OWNER}",
            )
        ]

    assert [answer.status for answer in answers + operators] == [200] * 12
    for answer in answers + operators:
        assert any(mark.encode() in answer.body for mark in owned.marks)
