"""Plays those who subscribe and those who order in a plan; it must never decide what happens.

As for all customers: steps are taken one after another, and everything random is in the plan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from .demo_http import Http
from .demo_story import Step, Story

Post: TypeAlias = "Callable[[str, dict[str, Any], str, Step], Awaitable[dict[str, Any]]]"
"""A POST to the PSP, sent twice where the step says so."""
_LICENCES = ("pattern-pack", "sample-pack", "font")


class Subscribers:
    """Takes the steps of subscriptions. `accounts` are the ids behind the plan's account numbers."""

    verbs = frozenset(
        {
            "subscribe",
            "subscribe_on_trial",
            "pay_subscription",
            "renew",
            "give_up",
            "trial_will_end",
            "leave",
            "stay",
            "cancel_subscription",
        }
    )

    def __init__(self, http: Http, post: Post, accounts: list[str], run: str) -> None:
        self._http, self._post, self._accounts, self._run = http, post, accounts, run
        self._prices: dict[int, str] = {}
        self._subscriptions: dict[int, str] = {}

    async def take(self, story: Story, step: Step, key: str) -> str | None:
        """Takes one step; returns the payment that paid the latest invoice, where this step did."""
        if step.verb.startswith("subscribe"):
            params = await self._params(story, step)
            made = await self._post("/v1/subscriptions", params, key, step)
            self._subscriptions[story.number] = made["id"]
            return None
        subscription_id = self._subscriptions[story.number]
        match step.verb:
            case "leave" | "stay":
                params = {"cancel_at_period_end": step.verb == "leave"}
                await self._post(f"/v1/subscriptions/{subscription_id}", params, key, step)
            case "cancel_subscription":
                await self._http.stripe_delete(f"/v1/subscriptions/{subscription_id}")
            case _:
                action = {"pay_subscription": "pay", "renew": "advance"}.get(step.verb, step.verb)
                body = {"outcome": step.outcome or "succeed"}
                shown = await self._http.control(f"subscriptions/{subscription_id}/{action}", body)
                if action == "pay" and step.outcome is None:
                    invoice = await self._http.stripe_get(f"/v1/invoices/{shown['latest_invoice']}")
                    return str(invoice["payments"]["data"][0]["payment"]["payment_intent"])
        return None

    async def _params(self, story: Story, step: Step) -> dict[str, Any]:
        trial = {"trial_period_days": 14} if step.verb == "subscribe_on_trial" else {}
        return {
            "customer": f"cus_demo{story.account}",
            "items": [{"price": await self._price(story.total)}],
            "payment_behavior": "default_incomplete",
            "metadata": {"accountId": self._accounts[story.account]},
            **trial,
        }

    async def _price(self, unit_amount: int) -> str:
        """A monthly price, made when it is first needed."""
        if unit_amount not in self._prices:
            params = {
                "currency": "usd",
                "unit_amount": unit_amount,
                "recurring": {"interval": "month"},
                "product_data": {"name": f"Plan for {unit_amount} cents a month"},
            }
            key = f"demo-{self._run}-price-{unit_amount}"
            self._prices[unit_amount] = (await self._http.stripe("/v1/prices", params, key))["id"]
        return self._prices[unit_amount]


class Shoppers:
    """Takes the steps of orders. An order's id is the group of its transfer."""

    verbs = frozenset({"order", "pay_order", "debit_order", "settle_order", "cancel_order", "transfer"})

    def __init__(self, http: Http, post: Post, accounts: list[str], run: str) -> None:
        self._http, self._post, self._accounts, self._run = http, post, accounts, run
        self._payments: dict[int, str] = {}
        self._charges: dict[int, str] = {}

    async def take(self, story: Story, step: Step, key: str) -> str:
        """Takes one step; returns the order's payment."""
        number = story.number
        match step.verb:
            case "order":
                params = {
                    "amount": story.total,
                    "currency": story.currency,
                    "customer": f"cus_demo{story.account}",
                    "transfer_group": self._order_id(story),
                    "metadata": self._metadata(story),
                }
                self._payments[number] = (await self._post("/v1/payment_intents", params, key, step))["id"]
            case "cancel_order":
                await self._post(f"/v1/payment_intents/{self._payments[number]}/cancel", {}, key, step)
            case "transfer":
                params = {
                    "amount": step.amount,
                    "currency": story.currency,
                    "destination": f"acct_1Seller{story.seller}",
                    "source_transaction": self._charges[number],
                    "transfer_group": self._order_id(story),
                    "metadata": {"orderId": self._order_id(story)},
                }
                await self._post("/v1/transfers", params, key, step)
            case _:
                body = {"outcome": step.outcome or "succeed"}
                if step.verb == "debit_order":
                    body["method"] = "us_bank_account"
                action = "settle" if step.verb == "settle_order" else "pay"
                path = f"payment_intents/{self._payments[number]}/{action}"
                self._charges[number] = (await self._http.control(path, body))["latest_charge"]
        return self._payments[number]

    def _order_id(self, story: Story) -> str:
        """Never the same in two runs: an order is paid once."""
        return f"order-{self._run}-{story.number}"

    def _metadata(self, story: Story) -> dict[str, str]:
        found = {
            "purpose": "order",
            "orderId": self._order_id(story),
            "buyerId": self._accounts[story.account],
            "licences": ",".join(_LICENCES[: 1 + story.number % len(_LICENCES)]),
        }
        if story.seller is not None:
            found["sellerId"] = f"seller_{story.seller}_{self._accounts[0][:8]}"
        if story.share is not None:
            found["sellerAmount"] = str(story.share)
        return found
