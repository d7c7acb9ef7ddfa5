"""Who may: identities from headers, and every route of the port against every kind of caller."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import jwt
import pytest
from aiohttp import web

from api import app, auth
from api.auth import Caller, Keys, Role, Shown
from api.errors import ApiError
from api.routes import CONSOLE, DECLARED, ROUTES
from api.serving import Listener
from runtime import settings
from tests.api import house as house_module
from tests.api.house import (
    DASHBOARD,
    ENVIRONMENT,
    GATEWAY_SECRET,
    JWT_SECRET,
    OPS,
    OPS_TOKEN,
    House,
    customer,
    gateway,
)

NOW = 1_800_000_000
CUSTOMERS = frozenset({Role.CUSTOMER})


def configuration(**environment: str) -> settings.Settings:
    return settings.load(
        {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0", **environment}
    )


def identify(shown: Shown, **environment: str) -> Caller:
    return auth.identify(shown, Keys(configuration(**(ENVIRONMENT | environment))), CUSTOMERS, NOW)


def bearer(token: str) -> Shown:
    return Shown(authorization=(f"Bearer {token}",))


def token(key: str = JWT_SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode(claims, key, algorithm)


def refusal(shown: Shown, **environment: str) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        identify(shown, **environment)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"sub": "u1"}, "u1"),
        ({"userId": "u2"}, "u2"),
        ({"sub": "u1", "userId": "u2"}, "u1"),
        ({"sub": "u1", "exp": NOW + 1, "nbf": NOW, "iat": NOW + 50}, "u1"),
        ({"sub": "00000000-0000-4000-8000-000000000000"}, "00000000-0000-4000-8000-000000000000"),
        ({"sub": "ü" * 100}, "ü" * 100),
    ],
)
def test_good_token_names_its_customer(claims: dict[str, Any], name: str) -> None:
    """`sub`, or else `userId`, is the customer; a token is good until it expires."""
    assert identify(bearer(token(**claims))) == Caller(Role.CUSTOMER, name)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": ""},
        {"sub": "  "},
        {"sub": " u1"},
        {"sub": None, "userId": "u1"},
        {"sub": 7},
        {"userId": ["u1"]},
        {"sub": "u\x001"},
        {"sub": "u\u202e1"},
        {"sub": "system:grants"},
        {"sub": "x" * 256},
        {"sub": "ü" * 128},
        {"sub": "u1", "nbf": NOW + 1},
        {"sub": "u1", "nbf": "soon"},
        {"sub": "u1", "exp": "never"},
        {"sub": "u1", "exp": True},
        {"sub": "u1", "exp": float("nan")},
        {"sub": "u1", "exp": float("inf")},
    ],
)
def test_token_without_a_usable_customer_is_invalid(claims: dict[str, Any]) -> None:
    """A well-signed token that names nobody, an account of the house, or no real time, is invalid."""
    assert refusal(bearer(token(**claims))) == (401, "INVALID_TOKEN")


@pytest.mark.parametrize("expires", [NOW, NOW - 1, 0, -5, NOW - 0.5])
def test_expired_token(expires: float) -> None:
    """From the second of its expiry on a token is `TOKEN_EXPIRED`."""
    assert refusal(bearer(token(sub="u1", exp=expires))) == (401, "TOKEN_EXPIRED")


def unsigned(header: object, payload: object = None) -> str:
    parts = [json.dumps(part).encode() for part in (header, payload or {"sub": "u1"})]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def signed(header: bytes) -> str:
    """A token with this raw header, signed with the right key: only the header is wrong."""
    parts = (header, b'{"sub":"u1"}')
    message = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    digest = hmac.digest(JWT_SECRET.encode(), message, hashlib.sha256)
    return (message + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()


FORGED = {
    "alg_none": unsigned({"alg": "none", "typ": "JWT"}) + ".",
    "alg_None": unsigned({"alg": "None"}) + ".",
    "alg_empty": unsigned({"alg": ""}) + ".",
    "alg_missing": unsigned({"typ": "JWT"}) + ".",
    "alg_list": signed(b'{"alg":["HS256"]}'),
    "no_signature": unsigned({"alg": "HS256"}) + ".",
    "other_key": token("another-secret-that-is-long-enough!!", sub="u1"),
    "other_algorithm": token(JWT_SECRET * 2, "HS512", sub="u1"),
    "critical_header": signed(b'{"alg":"HS256","crit":["x"],"x":1}'),
    "detached": signed(b'{"alg":"HS256","b64":false,"crit":["b64"]}'),
    "nested_header": signed(b'{"alg":"HS256","x":' + b"[" * 3000 + b"]" * 3000 + b"}"),
    "long_number": signed(b'{"alg":"HS256","x":' + b"1" * 5000 + b"}"),
    "two_parts": "a.b",
    "five_parts": "a.b.c.d.e",
    "not_base64": "é.é.é",
    "not_a_token": "hello",
    "surrogate": "\udcff.a.b",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_forged_token_is_invalid(forged: str) -> None:
    """No header and no trick makes a token good that HS256 under our secret did not sign."""
    assert refusal(bearer(forged)) == (401, "INVALID_TOKEN")


def test_issuer_and_audience_count_when_they_are_set() -> None:
    """With JWT_ISSUER and JWT_AUDIENCE set, a token must name both; otherwise they are not looked at."""
    good = token(sub="u1", iss="https://login", aud=["other", "sluice"])
    required = {"JWT_ISSUER": "https://login", "JWT_AUDIENCE": "sluice"}

    assert identify(bearer(good), **required).name == "u1"
    assert identify(bearer(good)).name == "u1"
    for claims in (
        {"iss": "https://login"},
        {"aud": "sluice"},
        {"iss": "https://evil", "aud": "sluice"},
        {"iss": "https://login", "aud": "slui"},
        {"iss": "https://login", "aud": [["sluice"]]},
    ):
        assert refusal(bearer(token(sub="u1", **claims)), **required) == (401, "INVALID_TOKEN"), claims


def test_without_a_secret_every_token_is_invalid() -> None:
    """With no JWT_SECRET nothing can be verified, so nothing is believed."""
    keys = Keys(configuration())

    for attempt in (token(sub="u1"), FORGED["alg_none"], signed(b'{"alg":"HS256"}')):
        with pytest.raises(ApiError) as caught:
            auth.identify(bearer(attempt), keys, CUSTOMERS, NOW)
        assert (caught.value.status, caught.value.code) == (401, "INVALID_TOKEN")


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (Shown(), "UNAUTHORIZED"),
        (Shown(authorization=("",)), "INVALID_AUTH_HEADER"),
        (Shown(authorization=("Bearer",)), "INVALID_AUTH_HEADER"),
        (Shown(authorization=("Bearer ",)), "INVALID_AUTH_HEADER"),
        (Shown(authorization=("Bearer a b",)), "INVALID_AUTH_HEADER"),
        (Shown(authorization=("Basic dTpw",)), "INVALID_AUTH_HEADER"),
        (Shown(authorization=(token(sub="u1"),)), "INVALID_AUTH_HEADER"),
        (
            Shown(authorization=(f"Bearer {token(sub='u1')}", f"Bearer {token(sub='u2')}")),
            "INVALID_AUTH_HEADER",
        ),
        (Shown(user_id=("u1",)), "UNAUTHORIZED"),
        (Shown(api_key=("u1",)), "UNAUTHORIZED"),
        (Shown(user_id=("u1",), gateway_secret=("wrong",)), "UNAUTHORIZED"),
        (Shown(user_id=("u1",), gateway_secret=("",)), "UNAUTHORIZED"),
        (Shown(user_id=("u1",), gateway_secret=(GATEWAY_SECRET, GATEWAY_SECRET)), "UNAUTHORIZED"),
        (Shown(gateway_secret=(GATEWAY_SECRET,)), "UNAUTHORIZED"),
        (Shown(user_id=("u1", "u2"), gateway_secret=(GATEWAY_SECRET,)), "UNAUTHORIZED"),
        (Shown(user_id=("u1",), api_key=("u2",), gateway_secret=(GATEWAY_SECRET,)), "UNAUTHORIZED"),
        (Shown(user_id=("",), gateway_secret=(GATEWAY_SECRET,)), "UNAUTHORIZED"),
        (Shown(user_id=("system:grants",), gateway_secret=(GATEWAY_SECRET,)), "UNAUTHORIZED"),
        (
            Shown(
                authorization=(f"Bearer {token(sub='u1')}",),
                user_id=("u1",),
                gateway_secret=(GATEWAY_SECRET,),
            ),
            "UNAUTHORIZED",
        ),
    ],
)
def test_what_is_no_identity(shown: Shown, code: str) -> None:
    """Nothing, something else than one bearer token, and an unproven or doubtful gateway identity are 401."""
    assert refusal(shown) == (401, code)


def test_gateway_identity() -> None:
    """A proven gateway names the customer, and only it can claim an admin."""
    proof = (GATEWAY_SECRET,)

    assert identify(Shown(user_id=("u1",), gateway_secret=proof)) == Caller(Role.CUSTOMER, "u1")
    assert identify(Shown(api_key=("u1",), gateway_secret=proof)) == Caller(Role.CUSTOMER, "u1")
    assert identify(Shown(user_id=("u1",), api_key=("u1",), gateway_secret=proof)).name == "u1"
    assert identify(Shown(user_id=("u1",), user_role=("admin",), gateway_secret=proof)).admin
    assert not identify(Shown(user_id=("u1",), user_role=("Admin", "admin"), gateway_secret=proof)).admin
    by_token = Shown(authorization=(f"Bearer {token(sub='u1', role='admin')}",), user_role=("admin",))
    assert not identify(by_token).admin


def test_unproven_gateway_headers_do_not_exist() -> None:
    """A bearer token stays who it is, whatever unproven identity is written beside it."""
    shown = Shown(
        authorization=(f"bearer {token(sub='u1')}",),
        user_id=("victim",),
        user_role=("admin",),
        gateway_secret=("guess",),
    )

    assert identify(shown) == Caller(Role.CUSTOMER, "u1")


def test_gateway_headers_mean_nothing_without_a_secret() -> None:
    """With no GATEWAY_SECRET set there is no gateway, not even one that shows an empty secret."""
    keys = Keys(configuration())

    for secret in ("", GATEWAY_SECRET, "None"):
        with pytest.raises(ApiError) as caught:
            auth.identify(Shown(user_id=("u1",), gateway_secret=(secret,)), keys, CUSTOMERS, NOW)
        assert caught.value.code == "UNAUTHORIZED"


def test_keys_hold_no_token() -> None:
    """What is kept to compare with is a digest: no repr of it shows a token."""
    keys = Keys(configuration(**ENVIRONMENT))
    shown = repr(keys.ops) + repr(keys.gateway) + repr(vars(keys))

    assert not any(secret in shown for secret in (OPS_TOKEN, GATEWAY_SECRET, JWT_SECRET))


CALLERS: dict[str, dict[str, str]] = {
    "nobody": {},
    "forger": {"Authorization": f"Bearer {FORGED['alg_none']}"},
    "basic": {"Authorization": "Basic dTpw"},
    "customer": customer("u1"),
    "provisioner": customer("u3", scope="card:provisioning"),
    "gateway": gateway("u2"),
    "dashboard": DASHBOARD,
    "ops": OPS,
}
EVERYBODY = frozenset(CALLERS)
READERS = frozenset({"dashboard", "ops"})
CUSTOMERS_ALIKE = frozenset({"customer", "provisioner", "gateway"})
SCOPED = frozenset({"provisioner"})

ALLOWED = {
    "GET /health/live": EVERYBODY,
    "GET /health/ready": EVERYBODY,
    "GET /metrics": EVERYBODY,
    "GET /openapi.json": EVERYBODY,
    "GET /audit/deliveries": READERS,
    "GET /audit/deliveries/{id}": READERS,
    "GET /audit/deliveries/{id}/raw": READERS,
    "GET /audit/access": READERS,
    "GET /audit/stats": READERS,
    "GET /audit/explain/{kind}/{id}": READERS,
    "POST /ops/deliveries/{id}/replay": frozenset({"ops"}),
    "POST /ops/deliveries/{id}/resolve": frozenset({"ops"}),
    "POST /ops/replay": frozenset({"ops"}),
    "POST /ops/reconcile": frozenset({"ops"}),
    "GET /ops/reconcile": READERS,
    "GET /ops/reconcile/{run_id}": READERS,
    "GET /ops/alerts": READERS,
    "POST /ops/alerts/{id}/resolve": frozenset({"ops"}),
    "GET /ops/status": READERS,
    "GET /api/accounts/{id}/credits": CUSTOMERS_ALIKE | READERS,
    "GET /api/billing/credits": CUSTOMERS_ALIKE,
    "GET /api/billing/credits/transactions": CUSTOMERS_ALIKE,
    "POST /api/billing/credits/topup": frozenset({"ops"}),
    "OPTIONS /api/credits/sessions": EVERYBODY,
    "POST /api/credits/sessions": CUSTOMERS_ALIKE | {"ops"},
    "GET /api/card/wallet": SCOPED,
    "GET /wallet": SCOPED,
    "GET /api/v1/cards/{id}/wallet_payload": CUSTOMERS_ALIKE | {"ops"},
    "GET /ops/plans": READERS,
    "PUT /ops/plans/{id}": frozenset({"ops"}),
    "GET /ops/products": READERS,
    "PUT /ops/products/{id}": frozenset({"ops"}),
    "PUT /ops/credentials/{id}": frozenset({"ops"}),
    "GET /ops/credentials/{id}": READERS,
    "PUT /ops/cards/{id}": frozenset({"ops"}),
    "POST /api/accounts/{id}/credits/spend": CUSTOMERS_ALIKE | {"ops"},
    "POST /api/accounts/{id}/credits/spend/{spend_id}/reverse": CUSTOMERS_ALIKE | {"ops"},
    "POST /api/v1/orders": CUSTOMERS_ALIKE | {"ops"},
    "GET /api/v1/orders/{id}": CUSTOMERS_ALIKE | READERS,
    "POST /api/v1/orders/{id}/refund": CUSTOMERS_ALIKE | {"ops"},
    "POST /marketplace/orders/{id}/refund": CUSTOMERS_ALIKE | {"ops"},
    "POST /api/v1/subscriptions": CUSTOMERS_ALIKE,
    "POST /api/v1/subscriptions/complete/{id}": CUSTOMERS_ALIKE,
    "GET /api/v1/subscriptions/current": CUSTOMERS_ALIKE,
    "GET /api/v1/entitlements": CUSTOMERS_ALIKE,
}
"""Who may what, written down a second time: a new route must be decided here too."""


BODIES = {
    "POST /api/credits/sessions": b'{"successUrl":"https://shop.example/","credits":5,"accountId":"u1"}',
    "POST /api/billing/credits/topup": b'{"user_id":"u1","amount_usdc":"1"}',
}


def refused_with(who: str, route: str) -> tuple[int, str]:
    """What a caller who may not is told."""
    if ALLOWED[route] == SCOPED and who in READERS:
        return 401, "INVALID_TOKEN"
    if who in ("nobody", "gateway"):
        return 401, "UNAUTHORIZED"
    if who == "basic":
        return 401, "INVALID_AUTH_HEADER"
    if who in ("forger", "customer", "provisioner"):
        return 401, "INVALID_TOKEN"
    return 403, "FORBIDDEN"


def test_every_route_is_decided_here() -> None:
    """The matrix below knows every route of the table; the console's are in `test_console_doors.py`."""
    by_header = {f"{route.method} {route.path}" for route in ROUTES if route not in CONSOLE}

    assert by_header == ALLOWED.keys()


@pytest.mark.parametrize("route", ALLOWED)
async def test_route_against_every_caller(dsn: str, redis_url: str, route: str) -> None:
    """Each route answers those it is for, and tells everybody else why not."""
    method, _, template = route.partition(" ")
    path = re.sub(r"\{\w+\}", "1", template.replace("{kind}", "account"))

    async with house_module.running(dsn, redis_url, APP_ENV="test", DEV_ENDPOINTS_ENABLED="yes") as house:
        for who, headers in CALLERS.items():
            answer = await house.ask(method, path, headers, BODIES.get(route))
            if who in ALLOWED[route]:
                assert answer.status not in (401, 403), (who, answer.body)
            else:
                assert (answer.status, answer.json["code"]) == refused_with(who, route), who
                assert answer.status == 403 or answer.headers["WWW-Authenticate"] == "Bearer"


def test_router_serves_nothing_but_the_table() -> None:
    """Whatever the router would serve stands in the table with the roles it is for."""
    made = app.create(configuration(**ENVIRONMENT))

    served = set(made.router.routes())

    assert served == made[DECLARED].keys()
    assert len(served) == len(ROUTES)
    assert all(route.roles for route in made[DECLARED].values())


async def test_undeclared_handler_is_not_served(dsn: str, redis_url: str) -> None:
    """A handler that somebody adds past the table is 404, even for ops."""

    async def leak(_request: web.Request) -> web.Response:
        return web.Response(text="secret")

    made = app.create(configuration(**ENVIRONMENT, DATABASE_URL=dsn, REDIS_URL=redis_url))
    made.router.add_get("/leak", leak)
    listener = Listener(made)
    port = await listener.start("127.0.0.1", 0)
    async with house_module.client() as session:
        answer = await House(port, session).get("/leak", OPS)
    await listener.stop()

    assert (answer.status, b"secret" in answer.body) == (404, False)
