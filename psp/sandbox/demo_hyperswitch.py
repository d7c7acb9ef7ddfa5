"""The demo's stories of orders and own subscriptions that are paid through Hyperswitch, and who plays them;
it must never decide by anything but the plan's draws.

An attempt that fails a second time makes no event, and an open refund makes none: each story ends where its
last event says.
"""

from __future__ import annotations

import random
import uuid

from .demo_http import DemoError, Http
from .demo_plan_orders import sellers
from .demo_story import Step, Story, Tell

_PLANS = ("starter", "pro")
_LICENCES = ("pattern-pack", "sample-pack", "font")
_house_sells = 0.2
"""Share of orders without a seller."""


def _order(story: Story, draw: random.Random) -> None:
    if draw.random() >= _house_sells:
        story.seller = draw.randrange(sellers)
        story.share = draw.choice((None, draw.randint(story.total // 2, story.total)))
    story.steps.append(Step("hs_order", 0))


def _switched_order(story: Story, draw: random.Random) -> None:
    _order(story, draw)
    story.steps.append(Step("hs_pay", 1))


def _switched_order_failed(story: Story, draw: random.Random) -> None:
    """Once, or twice: the second failure is not told."""
    _order(story, draw)
    story.steps.append(Step("hs_pay", 1, outcome="fail"))
    if draw.random() < 0.5:
        story.steps.append(Step("hs_pay", 0, outcome="fail"))


def _switched_order_failed_then_paid(story: Story, draw: random.Random) -> None:
    """At once, or with time between; either way under one payment."""
    _order(story, draw)
    if draw.random() < 0.5:
        story.steps.append(Step("hs_pay", 2, outcome="fail_then_succeed"))
    else:
        story.steps += [Step("hs_pay", 1, outcome="fail"), Step("hs_pay", 1)]


def _switched_order_authenticated(story: Story, draw: random.Random) -> None:
    """The bank asks its customer back, or takes its time, and then decides."""
    _order(story, draw)
    story.steps.append(Step("hs_pay", 1, outcome=draw.choice(("requires_action", "processing"))))
    story.steps.append(Step("hs_pay", 1, outcome=draw.choice((None, None, "fail"))))


def _switched_order_cancelled(story: Story, draw: random.Random) -> None:
    _order(story, draw)
    story.steps.append(Step("hs_cancel", 1))


def _refund(story: Story, amount: int | None, answer: str | None = None) -> None:
    which = sum(step.verb == "hs_refund" for step in story.steps)
    events = 1 if answer in {None, "failed"} else 0
    story.steps.append(Step("hs_refund", events, amount=amount, which=which, outcome=answer))


def _switched_order_refunded(story: Story, draw: random.Random) -> None:
    """In parts, or wholly."""
    _switched_order(story, draw)
    if draw.random() < 0.5:
        _refund(story, draw.randint(1, story.total))
    else:
        _refund(story, None)


def _switched_order_refund_reviewed(story: Story, draw: random.Random) -> None:
    """Nothing is told until somebody at the PSP has decided."""
    _switched_order(story, draw)
    _refund(story, draw.choice((None, draw.randint(1, story.total))), draw.choice(("pending", "review")))
    verb = draw.choice(("hs_succeed_refund", "hs_succeed_refund", "hs_fail_refund"))
    story.steps.append(Step(verb, 1))


def _switched_order_refund_failed(story: Story, draw: random.Random) -> None:
    """The bank refuses a refund; the next one, under an id of its own, succeeds."""
    _switched_order(story, draw)
    _refund(story, None, "failed")
    _refund(story, None)


def _subscribe(story: Story, draw: random.Random) -> None:
    story.total = draw.choice((900, 2_900))
    story.steps.append(Step("hs_subscribe", 0))


def _switched_subscription(story: Story, draw: random.Random) -> None:
    _subscribe(story, draw)
    story.steps.append(Step("hs_pay", 1))


def _switched_subscription_failed(story: Story, draw: random.Random) -> None:
    _subscribe(story, draw)
    story.steps.append(Step("hs_pay", 1, outcome="fail"))


def _switched_subscription_paid_late(story: Story, draw: random.Random) -> None:
    _switched_subscription_failed(story, draw)
    story.steps.append(Step("hs_pay", 1))


HYPERSWITCH_SALES: dict[Tell, int] = {
    _switched_order: 8,
    _switched_order_failed: 2,
    _switched_order_failed_then_paid: 4,
    _switched_order_authenticated: 3,
    _switched_order_cancelled: 2,
    _switched_order_refunded: 5,
    _switched_order_refund_reviewed: 3,
    _switched_order_refund_failed: 2,
    _switched_subscription: 4,
    _switched_subscription_failed: 2,
    _switched_subscription_paid_late: 2,
}
"""How often each story is told, in shares of the sum of all."""


class HyperswitchCustomers:
    """Takes the steps of these stories. `accounts` are the ids behind the plan's account numbers."""

    verbs = frozenset(
        {
            "hs_order",
            "hs_subscribe",
            "hs_pay",
            "hs_cancel",
            "hs_refund",
            "hs_succeed_refund",
            "hs_fail_refund",
        }
    )

    def __init__(self, http: Http, accounts: list[str], run: str) -> None:
        self._http, self._accounts, self._run = http, accounts, run
        self._payments: dict[int, str] = {}
        self._refunds: dict[tuple[int, int], str] = {}

    async def take(self, story: Story, step: Step) -> None:
        """Takes one step."""
        number = story.number
        match step.verb:
            case "hs_order" | "hs_subscribe":
                self._payments[number] = await self._create(story, step)
            case "hs_pay":
                path = f"hyperswitch/payments/{self._payments[number]}/pay"
                await self._http.control(path, {"outcome": step.outcome or "succeed"})
            case "hs_cancel":
                await self._http.hyperswitch(f"/payments/{self._payments[number]}/cancel", {})
            case "hs_refund":
                if step.outcome is not None:
                    await self._http.control("hyperswitch/next_refunds", {"status": step.outcome})
                wanted = {"payment_id": self._payments[number], "amount": step.amount}
                refund = await self._http.hyperswitch("/refunds", wanted)
                self._refunds[number, step.which] = refund["refund_id"]
            case "hs_succeed_refund" | "hs_fail_refund":
                verb = step.verb.split("_")[1]
                refund_id = self._refunds[number, step.which]
                await self._http.control(f"hyperswitch/refunds/{refund_id}/{verb}")
            case _:
                raise DemoError(f"the plan holds a step that nobody can take: {step.verb}")

    async def _create(self, story: Story, step: Step) -> str:
        """A payment under an id of our own; its currency is written as Hyperswitch wants it."""
        made = await self._http.hyperswitch(
            "/payments",
            {
                "payment_id": f"pay_{uuid.uuid5(uuid.NAMESPACE_URL, self._name(story)).hex[:26]}",
                "amount": story.total,
                "currency": story.currency.upper(),
                "customer_id": f"cus_demo{story.account}",
                "metadata": self._of_order(story) if step.verb == "hs_order" else self._of_plan(story),
            },
        )
        return str(made["payment_id"])

    def _name(self, story: Story) -> str:
        """What we call it: never the same in two runs."""
        return f"switched-{self._run}-{story.number}"

    def _of_order(self, story: Story) -> dict[str, str]:
        found = {
            "purpose": "order",
            "orderId": self._name(story),
            "buyerId": self._accounts[story.account],
            "licences": ",".join(_LICENCES[: 1 + story.number % len(_LICENCES)]),
        }
        if story.seller is not None:
            found["sellerId"] = f"seller_{story.seller}_{self._accounts[0][:8]}"
        if story.share is not None:
            found["sellerAmount"] = str(story.share)
        return found

    def _of_plan(self, story: Story) -> dict[str, str]:
        return {
            "purpose": "subscription",
            "subscriptionId": self._name(story),
            "accountId": self._accounts[story.account],
            "planId": _PLANS[story.number % len(_PLANS)],
        }
