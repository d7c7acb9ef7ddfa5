"""`/ops/plans` and `/ops/products`: what is for sale, as operators put it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.house import DASHBOARD, OPS, House, customer
from tests.api.seed import Seed
from tests.customers.market import BOOK

PLAN: dict[str, Any] = {"name": "Pro", "amount_minor": 900, "currency": "usd", "trial_days": 14}


async def test_plans_are_put_and_listed(shop: House, seed: Seed) -> None:
    """Putting again changes it; the list has what is not sold any more, too; who did it is on record."""
    first = await shop.put("/ops/plans/pro", OPS, PLAN)
    second = await shop.put("/ops/plans/pro", OPS, {**PLAN, "amount_minor": 1_000, "active": False})
    listed = await shop.get("/ops/plans", DASHBOARD)

    assert (first.status, first.json) == (200, {"id": "pro", **PLAN, "active": True})
    assert second.json == {"id": "pro", **PLAN, "amount_minor": 1_000, "active": False}
    assert listed.json == {"items": [second.json]}
    assert await seed.rows("SELECT actor, action, object FROM access_log") == [
        {"actor": "eva", "action": "put_plan", "object": "plan:pro"}
    ] * 2  # fmt: skip


async def test_products_are_put_and_listed(shop: House) -> None:
    """The same for products; what is not said has its default."""
    full = await shop.put("/ops/products/book", OPS, BOOK)
    least = await shop.put("/ops/products/a", OPS, {"amount_minor": 1, "currency": "jpy"})
    listed = await shop.get("/ops/products", OPS)

    assert full.json == {"id": "book", **BOOK, "active": True}
    assert least.json == {
        "id": "a", "seller_id": None, "amount_minor": 1, "currency": "jpy", "seller_amount_minor": 0,
        "licences": [], "active": True,
    }  # fmt: skip
    assert listed.json == {"items": [least.json, full.json]}


@pytest.mark.parametrize("path", ["/ops/plans/pro", "/ops/products/book"])
async def test_only_operators_put(shop: House, path: str) -> None:
    """Prices are nobody else's business; dashboards may look."""
    body = PLAN if "plans" in path else BOOK
    put = [(await shop.put(path, headers, body)).status for headers in (DASHBOARD, customer("u"), None)]
    seen = [
        (await shop.get(path.rpartition("/")[0], headers)).status
        for headers in (DASHBOARD, customer("u"), None)
    ]

    assert put == [403, 401, 401]
    assert seen == [200, 401, 401]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/ops/plans/p", {**PLAN, "surprise": 1}, "surprise"),
        ("/ops/plans/p", {**PLAN, "amount_minor": -1}, "amount_minor"),
        ("/ops/plans/p", {**PLAN, "amount_minor": 0}, "trial_days"),
        ("/ops/plans/p", {**PLAN, "trial_days": 731}, "trial_days"),
        ("/ops/plans/p", {**PLAN, "currency": "xxx"}, "currency"),
        ("/ops/plans/p", {**PLAN, "currency": "usdc"}, "currency"),
        ("/ops/plans/p", {**PLAN, "name": "a\x00b"}, "name"),
        ("/ops/plans/p", {"name": "Pro"}, "amount_minor"),
        ("/ops/plans/%00", PLAN, "id"),
        ("/ops/products/p", {**BOOK, "amount_minor": 0}, "amount_minor"),
        ("/ops/products/p", {**BOOK, "seller_amount_minor": 1_001}, "seller_amount_minor"),
        ("/ops/products/p", {**BOOK, "seller_id": "system:grants"}, "seller_id"),
        ("/ops/products/p", {**BOOK, "licences": [""]}, "licences[0]"),
        ("/ops/products/p", {**BOOK, "licences": ["a,b"]}, "licences"),
        ("/ops/products/p", {**BOOK, "currency": "US"}, "currency"),
    ],
)
async def test_nonsense_is_refused(shop: House, path: str, body: dict[str, Any], field: str) -> None:
    """With the field at fault, and nothing is put."""
    answer = await shop.put(path, OPS, body)
    listed = await shop.get(path.rpartition("/")[0], OPS)

    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")
    assert answer.json["details"][0]["field"] == field
    assert listed.json == {"items": []}
