"""Plays the customers, banks and merchants of a plan; it must never decide what happens.

Everything random is in the plan, and steps are taken one after another: one seed, one order of events.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from .demo_http import DemoError, Http
from .demo_hyperswitch import HyperswitchCustomers
from .demo_shop import Shoppers, Subscribers
from .demo_story import Step, Story

bank_thinks_s = 1.1
"""PSPs tell time in whole seconds: a bank that takes its word back does so in a later one."""


class Customers:
    """Takes the steps of all stories. `accounts` are the ids behind the plan's account numbers."""

    def __init__(self, http: Http, accounts: list[str], run: str) -> None:
        self._http = http
        self._accounts = accounts
        self._run = run
        self._sessions: dict[int, str] = {}
        self._payments: dict[int, str] = {}
        self._refunds: dict[tuple[int, int], str] = {}
        self._disputes: dict[int, str] = {}
        self._subscribers = Subscribers(http, self._post, accounts, run)
        self._shoppers = Shoppers(http, self._post, accounts, run)
        self._switched = HyperswitchCustomers(http, accounts, run)
        self.unbelievable_sessions: set[str] = set()
        """Sessions that are paid and must yet credit nobody."""

    async def take(self, story: Story, number: int, step: Step) -> None:
        """Takes one step; `number` is its place in the plan and makes its idempotency key."""
        key = f"demo-{self._run}-{number}"
        if step.verb in Subscribers.verbs:
            payment = await self._subscribers.take(story, step, key)
            if payment is not None:
                self._payments[story.number] = payment
            return
        if step.verb in HyperswitchCustomers.verbs:
            await self._switched.take(story, step)
            return
        if step.verb in Shoppers.verbs:
            self._payments[story.number] = await self._shoppers.take(story, step, key)
            return
        match step.verb:
            case "open":
                session = await self._post("/v1/checkout/sessions", self._checkout(story), key, step)
                self._sessions[story.number] = session["id"]
                if story.expects == "quarantined":
                    self.unbelievable_sessions.add(session["id"])
            case "charge":
                intent = await self._post("/v1/payment_intents", self._off_session(story), key, step)
                self._payments[story.number] = intent["id"]
            case "refund":
                params = {"payment_intent": self._payments[story.number], "amount": step.amount}
                refund = await self._post("/v1/refunds", params, key, step)
                self._refunds[story.number, step.which] = refund["id"]
            case "expire":
                path = f"/v1/checkout/sessions/{self._sessions[story.number]}/expire"
                await self._post(path, {}, key, step)
            case _:
                await self._outside(story, step)

    async def _outside(self, story: Story, step: Step) -> None:
        """What the merchant does not do through the API: customers pay, banks decide."""
        number = story.number
        match step.verb:
            case "pay" | "debit" | "settle":
                action = "settle" if step.verb == "settle" else "pay"
                body = {"outcome": step.outcome or "succeed"}
                if step.verb == "debit":
                    body["method"] = "us_bank_account"
                path = f"checkout/sessions/{self._sessions[number]}/{action}"
                session = await self._http.control(path, body)
                self._payments[number] = session["payment_intent"]
            case "succeed_refund" | "fail_refund":
                action = step.verb.partition("_")[0]
                await self._http.control(f"refunds/{self._refunds[number, step.which]}/{action}")
            case "dispute":
                path = f"payment_intents/{self._payments[number]}/dispute"
                dispute = await self._http.control(path, {"inquiry": step.inquiry, "amount": step.amount})
                self._disputes[number] = dispute["id"]
            case "answer":
                await self._http.control(f"disputes/{self._disputes[number]}/answer")
            case "close":
                await self._http.control(
                    f"disputes/{self._disputes[number]}/close", {"outcome": step.outcome}
                )
            case "take_again":
                await asyncio.sleep(bank_thinks_s)
                await self._http.control(f"disputes/{self._disputes[number]}/take_again")
            case _:
                raise DemoError(f"the plan holds a step that nobody can take: {step.verb}")

    async def _post(self, path: str, params: dict[str, Any], key: str, step: Step) -> dict[str, Any]:
        """A POST, sent a second time where the plan says so: the answer must be the same object."""
        answer = await self._http.stripe(path, params, key)
        if step.twice:
            again = await self._http.stripe(path, params, key)
            if again["id"] != answer["id"]:
                raise DemoError(f"POST {path} made two objects under one idempotency key")
        return answer

    def _metadata(self, story: Story) -> dict[str, str]:
        """What the shop notes on session and payment; odd stories leave something out or write nonsense."""
        if story.kind == "foreign":
            return story.metadata
        metadata = {"purpose": "credits_topup", "credits": str(story.credits)}
        if story.kind != "no_account":
            metadata["accountId"] = self._accounts[story.account]
        return metadata | story.metadata

    def _checkout(self, story: Story) -> dict[str, Any]:
        """A session with the credits and the fee as two lines, as the shop sells them."""
        lines = [(1, story.credits, "Credits"), (story.total - story.credits, 1, "Processing fee")]
        if story.total < story.credits:
            lines = [(story.total, 1, "Credits, far too cheap")]
        metadata = self._metadata(story)
        return {
            "mode": "payment",
            "success_url": "https://shop.example/thanks?session={CHECKOUT_SESSION_ID}",
            "client_reference_id": metadata.get("accountId"),
            "line_items": [
                {
                    "price_data": {
                        "currency": story.currency,
                        "unit_amount": unit_amount,
                        "product_data": {"name": name},
                    },
                    "quantity": quantity,
                }
                for unit_amount, quantity, name in lines
            ],
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},
        }

    def _off_session(self, story: Story) -> dict[str, Any]:
        return {
            "amount": story.total,
            "currency": story.currency,
            "confirm": True,
            "off_session": True,
            "customer": f"cus_demo{story.account}",
            "payment_method": "pm_card_visa",
            "metadata": self._metadata(story) | {"paymentMethod": "off_session"},
        }


def account_ids(psp_account: str, seed: int, count: int) -> list[str]:
    """UUIDs that repeat for the same books and seed, and never meet those of other books."""
    return [str(uuid.uuid5(uuid.NAMESPACE_URL, f"{psp_account}/{seed}/{number}")) for number in range(count)]
