"""A busy hour at the sandbox, and whether our objects and balances are as its books say."""

from __future__ import annotations

from typing import Any

import asyncpg

from db import checks
from tests.sandbox.worlds import World

BOOKS = "SELECT account_id, amount FROM balance WHERE unit = 'credit' AND account_id LIKE 'acc-%'"


async def a_busy_hour(world: World) -> None:
    """Top-ups, orders, subscriptions, refunds, disputes and transfers at the PSP."""
    first, second = await world.buy(), await world.buy()
    await world.stripe.v1.refunds.create_async({"payment_intent": first, "amount": 100})
    dispute = await world.post(f"payment_intents/{second}/dispute")
    await world.post(f"disputes/{dispute['id']}/close", outcome="won")
    paid = await world.order(1_000, sellerId="seller-1")
    await world.post(f"payment_intents/{paid.id}/pay")
    await world.stripe.v1.transfers.create_async(
        {
            "amount": 700,
            "currency": "usd",
            "destination": "acct_1",
            "transfer_group": "order-1",
            "metadata": {"orderId": "order-1"},
        }
    )
    price = await world.stripe.v1.prices.create_async(
        {
            "currency": "usd",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Plan"},
        }
    )
    subscription = await world.stripe.v1.subscriptions.create_async(
        {
            "customer": "cus_1",
            "items": [{"price": price.id}],
            "payment_behavior": "default_incomplete",
            "metadata": {"accountId": "acc-9"},
        }
    )
    await world.post(f"subscriptions/{subscription.id}/pay")


async def agrees_with_the_psp(world: World, admin: asyncpg.Connection) -> None:
    """Every object and every balance is as the PSP's own books say."""
    books: dict[str, Any] = await world.get("books")
    credits = {row["account_id"]: row["amount"] for row in await admin.fetch(BOOKS)}
    orders = {row["id"]: row["status"] for row in await admin.fetch("SELECT id, status FROM orders")}
    transfers = {
        row["id"]: row["status"] for row in await admin.fetch("SELECT id, status FROM seller_transfer")
    }
    subscriptions = {
        row["id"]: row["status"] for row in await admin.fetch("SELECT id, status FROM subscription")
    }
    sellers = {
        row["account_id"]: {"usd": row["amount"]}
        for row in await admin.fetch(
            "SELECT account_id, amount FROM balance WHERE unit = 'usd' AND account_id LIKE 'seller-%'"
        )
    }

    assert credits == {name: account["credits"] for name, account in books["accounts"].items()}
    assert orders == {name: order["status"] for name, order in books["orders"].items()}
    assert transfers == {name: transfer["status"] for name, transfer in books["transfers"].items()}
    assert subscriptions == {name: one["status"] for name, one in books["subscriptions"].items()}
    assert sellers == books["sellers"]
    assert {name: rows for name, rows in (await checks.run(admin)).items() if rows} == {}
