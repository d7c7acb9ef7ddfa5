"""The OpenAPI document: valid, whole, and true of what the port answers."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api import openapi, shapes
from api.auth import Role
from api.routes import CONSOLE, ROUTES, Route
from tests.api.house import DASHBOARD, OPS, House, customer
from tests.api.seed import Seed
from tests.support.stripe_events import checkout, event

OF_OTHER_TESTS = (
    "/api/v1/",
    "/marketplace/",
    "/api/billing/credits/topup",
    "/api/credits/sessions",
    "/api/accounts/{id}/credits/spend",
    "/api/accounts/{id}/credits/spend/{spend_id}/reverse",
    "/api/card/wallet",
    "/wallet",
)
"""Answers that need a key, a PSP, a card or a catalogue: `tests/customers` compares them field by field."""


async def test_the_document_is_valid_and_names_every_route(house: House) -> None:
    """OpenAPI 3.1, one operation per line of the table, each with an id of its own."""
    answer = await house.get("/openapi.json")

    assert answer.status == 200
    OpenAPIV31SpecValidator(answer.json).validate()
    operations = {
        (method.upper(), path): operation
        for path, methods in answer.json["paths"].items()
        for method, operation in methods.items()
    }
    assert operations.keys() == {(route.method, route.path) for route in ROUTES}
    ids = [operation["operationId"] for operation in operations.values()]
    assert sorted(ids) == sorted(set(ids))
    assert all(operation["summary"] for operation in operations.values())


def test_every_query_parameter_is_described() -> None:
    """A parameter that nobody explains is guessed."""
    taken = {name for route in ROUTES if route not in CONSOLE for name in route.query}

    assert taken <= openapi.PARAMETERS.keys()


def test_routes_say_whom_they_are_for() -> None:
    """What is for nobody in particular asks for no token, everything else names its kind."""
    document = openapi.document(ROUTES)
    for route in ROUTES:
        security = document["paths"][route.path][route.method.lower()]["security"]

        assert (security == []) == ({role.value for role in route.roles} == {"anyone"})


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.body is not None], ids=lambda route: route.path
)
async def test_a_body_of_the_wrong_shape_is_refused(house: House, route: Route) -> None:
    """The type that describes a body is the one that validates it."""
    path = re.sub(r"\{\w+\}", "1", route.path)

    caller = OPS if Role.OPS in route.roles else customer("cust_1")

    answer = await house.ask(route.method, path, caller, b'{"no such field": 1}')

    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")


async def test_answers_have_the_shapes_that_they_are_said_to_have(house: House, seed: Seed) -> None:
    """Every good answer decodes into its type, and every refusal into that of errors; nothing is left."""
    body = event("checkout.session.completed", checkout())
    log_id = await seed.applied(body)
    waiting = await seed.applied(event("checkout.session.completed", checkout(credits="many")))
    await seed.connection.execute("INSERT INTO alert (name, subject) VALUES ('negative_balance', 'x')")
    alert = await seed.value("SELECT id FROM alert WHERE name = 'negative_balance'")
    asked = await house.ask("POST", "/ops/reconcile", OPS, b"{}")
    why = json.dumps({"reason": "known"}).encode()
    paths: dict[tuple[str, str], tuple[str, bytes | None]] = {
        ("GET", "/audit/deliveries/{id}"): (f"/audit/deliveries/{log_id}", None),
        ("GET", "/audit/explain/{kind}/{id}"): ("/audit/explain/account/cust_1", None),
        ("POST", "/ops/deliveries/{id}/replay"): (f"/ops/deliveries/{log_id}/replay", None),
        ("POST", "/ops/deliveries/{id}/resolve"): (f"/ops/deliveries/{waiting}/resolve", why),
        ("POST", "/ops/replay"): ("/ops/replay", b'{"filter": {}}'),
        ("GET", "/ops/reconcile/{run_id}"): (f"/ops/reconcile/{asked.json['run_id']}", None),
        ("POST", "/ops/alerts/{id}/resolve"): (f"/ops/alerts/{alert}/resolve", why),
        ("GET", "/api/accounts/{id}/credits"): ("/api/accounts/cust_1/credits", None),
        ("PUT", "/ops/plans/{id}"): (
            "/ops/plans/pro",
            b'{"name": "Pro", "amount_minor": 900, "currency": "usd"}',
        ),
        ("PUT", "/ops/credentials/{id}"): ("/ops/credentials/cred-1", b'{"account_id": "cust_1"}'),
        ("GET", "/ops/credentials/{id}"): ("/ops/credentials/cred-1", None),
        ("PUT", "/ops/cards/{id}"): ("/ops/cards/card-1", b'{"credential_id": "cred-1"}'),
        ("PUT", "/ops/products/{id}"): ("/ops/products/book", b'{"amount_minor": 900, "currency": "usd"}'),
    }
    for route in ROUTES:
        if route.answer is None or route.path.startswith(OF_OTHER_TESTS):
            continue
        path, sent = paths.get((route.method, route.path), (route.path, None))
        headers = customer("cust_1") if route.path.startswith("/api/") else OPS
        answer = await house.ask(route.method, path, headers, sent)
        assert answer.status == route.status, (path, answer.body)
        msgspec.json.decode(answer.body, type=route.answer)
        refusal = await house.ask(route.method, f"{path}?no_such=1", headers, sent)
        msgspec.json.decode(refusal.body, type=shapes.Error)


async def test_the_document_is_for_everyone(house: House) -> None:
    """It holds no secret and is the same for whoever asks."""
    anyone: Any = (await house.get("/openapi.json")).json

    assert (await house.get("/openapi.json", DASHBOARD)).json == anyone
