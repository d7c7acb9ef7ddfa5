"""The running processes, asked whatever their own document allows and much that it does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api import house as house_module
from tests.api.house import ENVIRONMENT, OPS, House
from tests.api.seed import Seed
from tests.customers.market import BOOK, BUYER
from tests.customers.providers import PANDA_KEY, panda_of
from tests.sandbox.worlds import KEY, world_at
from tests.support.ports import free_port
from tests.support.processes import ROOT, Processes, Running
from tests.support.stripe_events import checkout, event

EXAMPLES_MAX = 3
"""Of each route's random phase; beside it every route is asked each edge of its document."""
RUN_S_MAX = 240.0
RULES = """
[checks]
# A busy API says so and asks for patience; every other failure of its own is a fault.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
# Types cannot say that a cursor is one of ours, that a key was not used before, or that we know a currency.
positive_data_acceptance.enabled = false
"""
HOLDER = "holder"
"""As in `tests/api/asker.py`."""


@pytest.fixture
async def api(
    dsn: str, redis_url: str, processes: Processes, tmp_path: Path
) -> AsyncIterator[tuple[House, Running]]:
    """Everything configured: the API and a worker as processes, and every provider that they call."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        world_at(tmp_path, f"http://127.0.0.1:{free_port()}/") as stripe,
        panda_of(processes) as panda,
        house_module.client() as session,
    ):
        await panda.has("card-1", "panda-1")
        environment = {
            "DATABASE_URL": dsn, "REDIS_URL": redis_url, "API_PORT": str(port), **ENVIRONMENT,
            "APP_ENV": "test", "DEV_ENDPOINTS_ENABLED": "true",
            "PANDA_API_URL": panda.url, "PANDA_API_KEY": PANDA_KEY,
            "STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": stripe.url,
        }  # fmt: skip
        running = await processes.start_ready("-m", "api", url=f"{url}/health/ready", environment=environment)
        processes.start("-m", "workers", environment=environment)
        yield House(port, session), running


async def put(house: House, path: str, **body: object) -> None:
    answer = await house.put(path, OPS, body)
    assert answer.status == 200, answer.body


async def things(house: House, seed: Seed) -> dict[str, dict[str, str]]:
    """Make something of each kind; returns its path parameters by path."""
    log_id = await seed.event(event("checkout.session.completed", checkout(account=BUYER)))
    await put(house, "/ops/products/book", **BOOK)
    await put(house, "/ops/plans/pro", name="Pro", amount_minor=900, currency="usd")
    await put(house, "/ops/credentials/cred-1", account_id=HOLDER, panda_id="panda-1")
    await put(house, "/ops/cards/card-1", credential_id="cred-1")
    order: dict[str, Any] = (
        await house.post("/api/v1/orders", OPS, {"product_id": "book", "buyer_id": BUYER})
    ).json
    spent: dict[str, Any] = (
        await house.post(
            f"/api/accounts/{BUYER}/credits/spend", {**OPS, "Idempotency-Key": "spent"}, {"credits": 1}
        )
    ).json
    run = (await house.post("/ops/reconcile", OPS, {})).json
    return {
        **{f"/audit/deliveries/{{id}}{more}": {"id": str(log_id)} for more in ("", "/raw")},
        "/ops/deliveries/{id}/replay": {"id": str(log_id)},
        "/audit/explain/{kind}/{id}": {"kind": "order", "id": order["id"]},
        "/ops/reconcile/{run_id}": {"run_id": run["run_id"]},
        "/ops/credentials/{id}": {"id": "cred-1"},
        "/api/accounts/{id}/credits": {"id": BUYER},
        "/api/accounts/{id}/credits/spend": {"id": BUYER},
        "/api/accounts/{id}/credits/spend/{spend_id}/reverse": {"id": BUYER, "spend_id": str(spent["id"])},
        **{f"/api/v1/orders/{{id}}{more}": {"id": order["id"]} for more in ("", "/refund")},
    }


async def test_every_answer_is_one_that_the_document_declares(
    api: tuple[House, Running], processes: Processes, seed: Seed, tmp_path: Path
) -> None:
    """Schemathesis finds no 500, no status, header or shape that is not declared, no token that is not asked
    for, and no body that breaks its type and is taken.
    """
    house, running = api
    (tmp_path / "schemathesis.toml").write_text(RULES)
    known = await things(house, seed)
    asking = processes.start(
        "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{house.port}/openapi.json",
        "--exclude-path-regex", "^/console",
        "--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES_MAX), "--seed", "1",
        "--generation-database", "none", "--continue-on-failure", "--no-color", "--warnings", "off",
        environment={
            "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.api.asker", "ASKED_FOR": json.dumps(known),
        },
        cwd=tmp_path,  # it keeps what it finds beside it
    )  # fmt: skip
    status = await asking.ended(RUN_S_MAX)

    assert status == 0, asking.output()
    assert "No issues found" in asking.output()
    assert "handler_failed" not in running.output()
