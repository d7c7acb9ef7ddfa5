"""Two tenants: one has everything, the other asks for it on every route and gets 404 or 401, never data."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from api.auth import Role
from api.routes import CONSOLE, ROUTES
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


def request_for(route: str, owned: Belongings) -> tuple[str, object]:
    """Path and body with which somebody would ask for the owner's things on this route."""
    method, _, template = route.partition(" ")
    ids = {
        "/audit/deliveries/{id}": owned.delivery_id,
        "/audit/deliveries/{id}/raw": owned.delivery_id,
        "/audit/explain/{kind}/{id}": OWNER,
        "/ops/deliveries/{id}/replay": owned.delivery_id,
        "/ops/deliveries/{id}/resolve": owned.delivery_id,
        "/ops/alerts/{id}/resolve": 1,
        "/api/accounts/{id}/credits": OWNER,
        "/api/accounts/{id}/credits/spend": OWNER,
        "/api/accounts/{id}/credits/spend/{spend_id}/reverse": OWNER,
        "/api/v1/cards/{id}/wallet_payload": owned.virtual_card_id,
        "/api/v1/orders/{id}": owned.order_id,
        "/api/v1/orders/{id}/refund": owned.order_id,
        "/marketplace/orders/{id}/refund": owned.order_id,
        "/api/v1/subscriptions/complete/{id}": owned.subscription_id,
        "/ops/plans/{id}": "pro",
        "/ops/credentials/{id}": f"credential-{OWNER}",
        "/ops/cards/{id}": f"card-of-{OWNER}",
        "/ops/products/{id}": "book",
    }
    assert ("{id}" in template) == (template in ids), f"{route}: say which of the owner's ids it takes"
    path = template.replace("{kind}", "account").replace("{run_id}", "1")
    path = path.replace("{spend_id}", owned.spend_id)
    path = path.replace("{id}", str(ids.get(template)))
    bodies: dict[str, object] = {
        "POST /api/credits/sessions": {
            "successUrl": "https://shop.example/", "credits": 1, "accountId": OWNER,
        },
        "POST /api/billing/credits/topup": {"user_id": OWNER, "amount_usdc": "1"},
        "POST /api/v1/orders": {"product_id": "book", "buyer_id": OWNER},
        "POST /api/v1/subscriptions": {"plan_id": "none"},
        "POST /api/accounts/{id}/credits/spend": {"credits": 1},
    }  # fmt: skip
    if template.endswith("/transactions"):
        path += f"?cursor={owned.postings_cursor}"
    return path, bodies.get(f"{method} {template}")


BY_HEADER = [route for route in ROUTES if route not in CONSOLE]
"""The console knows its callers by its cookie: see `tests/api/test_console_doors.py`."""
OF_NOBODY = frozenset(f"{route.method} {route.path}" for route in BY_HEADER if Role.ANYONE in route.roles)
OF_THE_CALLER = frozenset(
    ("GET /api/billing/credits", "GET /api/billing/credits/transactions", "GET /api/v1/entitlements")
)
"""Routes that name no object: they answer, with nothing of anybody else's."""


@pytest.mark.parametrize("who", ["token", "gateway"])
async def test_nothing_of_another_tenant_on_any_route(
    dsn: str, redis_url: str, seed: Seed, panda: Panda, stripe: World, who: str
) -> None:
    """Every route of the table, asked by somebody else for what is the owner's."""
    settings = {
        "APP_ENV": "test",
        "DEV_ENDPOINTS_ENABLED": "true",
        "PANDA_API_URL": panda.url,
        "PANDA_API_KEY": PANDA_KEY,
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_API_BASE": stripe.url,
    }
    async with running(dsn, redis_url, **settings) as house:
        owned = await belongings(house, seed, panda)
        for number, route in enumerate(f"{route.method} {route.path}" for route in BY_HEADER):
            # Another name each time, so that no ration answers instead of the route.
            name = OTHER if route.endswith("wallet") else f"{OTHER}-{number}"
            headers = customer(name, **SCOPED) if who == "token" else gateway(name)
            path, body = request_for(route, owned)
            answer = await (
                house.post(path, {**headers, "Idempotency-Key": "k1"}, body)
                if route.startswith("POST")
                else house.ask(route.partition(" ")[0], path, headers)
            )
            expected = {200} if route in OF_NOBODY | OF_THE_CALLER else {401, 404}
            told = answer.body.decode() + str(answer.headers)

            assert answer.status in expected, (route, answer.status, answer.body)
            assert [mark for mark in owned.marks if mark in told] == [], route
        mine = await house.get(f"/api/accounts/{OWNER}/credits", customer(OWNER))

    assert mine.json["remaining_credits"] == 4_711
    assert await seed.value("SELECT count(*) FROM checkout_session") == 1
    assert await seed.value("SELECT count(*) FROM access_log WHERE actor LIKE $1", f"{OTHER}%") == 0


async def test_the_owner_finds_all_of_it(dsn: str, redis_url: str, seed: Seed, panda: Panda) -> None:
    """The same questions by the owner are answered: the matrix above asks for things that are there."""
    settings = {"APP_ENV": "test", "DEV_ENDPOINTS_ENABLED": "true", "PANDA_API_URL": panda.url}
    async with running(dsn, redis_url, **settings, PANDA_API_KEY=PANDA_KEY) as house:
        owned = await belongings(house, seed, panda)
        answers = [
            await house.get(request_for(route, owned)[0], customer(OWNER, **SCOPED))
            for route in (
                "GET /api/accounts/{id}/credits",
                "GET /api/billing/credits",
                "GET /api/billing/credits/transactions",
                "GET /api/card/wallet",
                "GET /wallet",
                "GET /api/v1/cards/{id}/wallet_payload",
                "GET /api/v1/orders/{id}",
                "GET /api/v1/entitlements",
            )
        ]

    assert [answer.status for answer in answers] == [200] * 8
    assert [any(mark.encode() in answer.body for mark in owned.marks) for answer in answers] == [True] * 8
