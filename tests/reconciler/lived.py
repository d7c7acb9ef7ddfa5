"""A database that has lived: stories of every family, received and applied by real workers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from billing.commands import (
    CheckoutOpened,
    CheckoutRequested,
    Command,
    CreditsSpent,
    OrderPlaced,
    PaymentOpened,
    PaymentRefused,
    PlanSubscribed,
    RefundRequested,
    SpendReversed,
)
from billing.terms import OrderTerms, PlanTerms
from db import events, pool
from db.events import Delivery
from psp.reading import Expected
from psp.sluice.commands import event_body
from psp.stripe import envelope
from tests.support import stripe_events as made
from workers.drain import Drainer

type_story = list[Delivery]
"""Deliveries in the order in which they make sense."""


def said(kind: str, subject: dict[str, Any], at: int = 0, **changes: Any) -> Delivery:
    """A verified Stripe delivery of an event, `at` seconds into its story."""
    return stripe(made.encode(made.event(kind, subject, created=made.CREATED + at, **changes)))


def stripe(body: bytes, endpoint: str = "stripe") -> Delivery:
    """A verified Stripe delivery of these bytes."""
    read = envelope.read(body)
    event_id = read.event_id or f"sha256:{hashlib.sha256(body).hexdigest()}"
    return _delivery("stripe", endpoint, event_id, read.event_type, read.object_id, read.psp_created, body)


def own(command: Command) -> Delivery:
    """A command of ours."""
    event_id = made.unique("cmd")
    return _delivery(
        "sluice",
        "sluice",
        event_id,
        "command",
        None,
        made.CREATED,
        event_body(command, event_id, made.CREATED),
    )


def _delivery(
    source: str,
    endpoint: str,
    event_id: str,
    kind: str | None,
    about: str | None,
    created: int | None,
    body: bytes,
) -> Delivery:
    return Delivery(
        source=source,
        endpoint=endpoint,
        origin="psp",
        verdict="ok",
        secret_id=None,
        signed_at=None,
        event_id=event_id,
        event_type=kind,
        object_id=about,
        psp_created=created,
        body=body,
        body_bytes=len(body),
        body_sha256=hashlib.sha256(body).digest(),
        headers=b"[]",
        source_ip=None,
        user_agent=None,
        request_id="test",
    )


def top_up(account: str) -> type_story:
    """A purchase that is refunded twice in part, disputed, given back, and lost after all."""
    session = made.checkout(account=account)
    payment = session["payment_intent"]
    first, second = made.refund(payment, 100), made.refund(payment, 40)
    disputed = made.dispute(payment, 149)
    return [
        said("checkout.session.completed", session),
        said("checkout.session.async_payment_succeeded", session, 1),
        said("refund.created", first, 2),
        said("refund.updated", second | {"status": "pending"}, 3),
        said("refund.updated", second, 4),
        said("charge.dispute.funds_withdrawn", disputed, 5),
        said("charge.dispute.funds_reinstated", disputed | {"status": "won"}, 6),
        said("refund.failed", first | {"status": "failed"}, 7),
        said("charge.dispute.funds_withdrawn", disputed | {"status": "lost"}, 8),
    ]


def off_session(account: str) -> type_story:
    """A payment by a kept card, refunded in full."""
    paid = made.payment(account=account)
    return [said("payment_intent.succeeded", paid), said("refund.created", made.refund(paid["id"], 289), 1)]


def order(buyer: str) -> type_story:
    """An order placed with us, paid, its seller's share transferred, then refunded at our wish."""
    order_id, paid = made.unique("ord"), made.payment(amount=1000)
    terms = OrderTerms(order_id, buyer, f"{buyer}_seller", 1000, "usd", 700, ("app", "book"))
    paid["metadata"] = {"purpose": "order", "orderId": order_id}
    moved = {
        "id": made.unique("tr"),
        "object": "transfer",
        "amount": 700,
        "amount_reversed": 0,
        "currency": "usd",
        "destination": "acct_1",
        "metadata": {"orderId": order_id},
    }
    refund_id = made.unique("ref")
    given = made.refund(paid["id"], 1000, metadata={"refundId": refund_id})
    return [
        own(OrderPlaced("stripe", paid["id"], terms)),
        said("payment_intent.succeeded", paid, 1),
        said("transfer.created", moved, 2),
        own(RefundRequested("stripe", order_id, refund_id, None)),
        said("refund.created", given | {"status": "pending"}, 4),
        said("refund.updated", given, 5),
    ]


def plan(account: str) -> type_story:
    """A subscription of our own, whose first payment fails."""
    paid = made.payment(amount=500)
    subscription_id = made.unique("own")
    paid["metadata"] = {"purpose": "subscription", "subscriptionId": subscription_id}
    terms = PlanTerms(subscription_id, account, "gold", 500, "usd")
    return [
        own(PlanSubscribed("stripe", paid["id"], terms)),
        said("payment_intent.payment_failed", paid | {"status": "requires_payment_method"}, 1),
        said("payment_intent.succeeded", paid, 2),
    ]


def mirrored(account: str) -> type_story:
    """A subscription that the PSP runs, with an invoice that is paid, refunded in part, and the end."""
    running = made.subscription("incomplete", metadata={"accountId": account})
    due = made.invoice(running["id"], status="open")
    paid = due | {"status": "paid", "amount_paid": 2000, "status_transitions": {"paid_at": made.CREATED + 2}}
    active = running | {"status": "active"}
    return [
        said("customer.subscription.created", running),
        said("invoice.created", due, 1),
        said("invoice.paid", paid, 2),
        said("customer.subscription.updated", active, 3),
        said("customer.subscription.deleted", active | {"status": "canceled"}, 4),
    ]


def noise(account: str) -> type_story:
    """What moves nothing: an unknown type, nonsense, a contradiction, a refund of nothing that we know."""
    return [
        said("customer.created", {"id": made.unique("cus"), "object": "customer"}),
        stripe(b"no json " + made.unique("x").encode()),
        said("checkout.session.completed", made.checkout(credits=900, account=account)),
        said("refund.created", made.refund(made.unique("pi"), 5)),
        said("checkout.session.expired", made.checkout(account=account)),
    ]


def acts(story: type_story) -> list[type_story]:
    """The story cut around what we ask of the PSP: we request the refund of an order that we know as paid,
    and the PSP tells of it only then.
    """
    cut: list[type_story] = [[]]
    for place, one in enumerate(story):
        if one.source == "sluice" and place:
            cut += [[one], []]
        else:
            cut[-1].append(one)
    return cut


def spend(account: str) -> type_story:
    """Credits that are bought and used up, and some of them given back."""
    paid, spend_id = made.checkout(account=account), made.unique("spend")
    return [
        said("checkout.session.completed", paid),
        own(CreditsSpent("sluice", spend_id, account, 7, "a render")),
        own(CreditsSpent("sluice", made.unique("spend"), account, 5, None)),
        own(SpendReversed("sluice", spend_id, account, 7, "not rendered")),
    ]


def opened(buyer: str) -> type_story:
    """A purchase of credits and an order as our own API starts them, and the provider opens and pays them."""
    session = made.checkout(account=buyer, amount=300)
    order_id, paid = made.unique("ord"), made.payment(amount=1000)
    paid["metadata"] = {"purpose": "order", "orderId": order_id}
    terms = OrderTerms(order_id, buyer, None, 1000, "usd", 0, ("app",))
    return [
        own(CheckoutRequested("stripe", made.unique("own"), buyer, 250, 300, "usd", "https://a.example/")),
        own(CheckoutOpened("stripe", session["id"], buyer, 250, 300, "usd")),
        own(OrderPlaced("stripe", None, terms)),
        own(PaymentOpened("stripe", terms.key, paid["id"])),
        said("checkout.session.completed", session, 4),
        said("payment_intent.succeeded", paid, 5),
    ]


def refused(buyer: str) -> type_story:
    """An order and a subscription whose payments the PSP will not open; one comes after all."""
    order_id, subscription_id, late = made.unique("ord"), made.unique("own"), made.payment(amount=500)
    late["metadata"] = {"purpose": "subscription", "subscriptionId": subscription_id}
    terms = OrderTerms(order_id, buyer, None, 1000, "usd", 0, ("app",))
    agreed = PlanTerms(subscription_id, buyer, "gold", 500, "usd")
    return [
        own(OrderPlaced("stripe", None, terms)),
        own(PlanSubscribed("stripe", None, agreed)),
        own(PaymentRefused("stripe", terms.key, "InvalidRequestError")),
        own(PaymentRefused("stripe", agreed.key, "InvalidRequestError")),
        said("payment_intent.succeeded", late, 3),
    ]


STORIES = (top_up, off_session, order, plan, mirrored, noise, spend, refused, opened)


@dataclass
class Life:
    """The live database, as its owner, and two workers."""

    dsn: str
    owner: asyncpg.Connection
    workers: tuple[Drainer, Drainer]

    async def receive(self, deliveries: Sequence[Delivery]) -> None:
        """Append in one group commit."""
        await events.append(self.owner, deliveries)

    async def live(self, deliveries: Sequence[Delivery]) -> None:
        """Receive one after the other and let a single worker apply each at once."""
        for delivery in deliveries:
            await self.receive([delivery])
            await self.workers[0].run_once()

    async def bad_day(self, stories: Sequence[type_story], dice: random.Random) -> None:
        """Receive all of them jumbled, some twice, in batches of any size, while two workers apply.

        What nobody can do before something else is known to us stays behind it: see `acts`.
        """
        acted = [acts(story) for story in stories]
        for number in range(max(map(len, acted))):
            await self._jumble([one for act in acted if number < len(act) for one in act[number]], dice)
            await self.settle()

    async def _jumble(self, deliveries: Sequence[Delivery], dice: random.Random) -> None:
        jumbled = [*deliveries, *dice.sample(deliveries, len(deliveries) // 4)]
        near = {id(one): place + dice.uniform(0, 12) for place, one in enumerate(jumbled)}
        jumbled.sort(key=lambda one: near[id(one)])
        while jumbled:
            count = dice.randrange(1, 30)
            await self.receive(jumbled[:count])
            jumbled = jumbled[count:]
            await asyncio.gather(*[worker.run_once() for worker in self.workers[: dice.randrange(0, 3)]])

    async def settle(self) -> None:
        """Apply all that can be, as the sweep sees to it."""
        for _ in range(3):
            await events.wake_parked_arrived(self.owner)
            await self.workers[0].run_once()

    async def open_session(self, account: str) -> type_story:
        """A checkout session as our own API opens it; the story of its payment is yet to come."""
        session = made.checkout(account=account, amount=300)
        await self.owner.execute("INSERT INTO account (id) VALUES ($1) ON CONFLICT DO NOTHING", account)
        await self.owner.execute(
            """INSERT INTO checkout_session (source, id, kind, account_id, credits, amount_minor, currency,
                                             status, origin)
               VALUES ('stripe', $1, 'checkout', $2, 250, 300, 'usd', 'open', 'ours')""",
            session["id"],
            account,
        )
        await self.owner.execute(
            """INSERT INTO state_transition (kind, source, object_id, seq, to_state, rule, actor)
               VALUES ('checkout_session', 'stripe', $1, 1, 'open', 'opened', 'api')""",
            session["id"],
        )
        return [
            said("checkout.session.completed", session),
            said("refund.created", made.refund(session["payment_intent"], 150), 1),
        ]

    async def grant(self, account: str, amount: int) -> None:
        """Money that an operator gives by hand."""
        await self.owner.execute("INSERT INTO account (id) VALUES ($1) ON CONFLICT DO NOTHING", account)
        await self.owner.execute(
            """WITH t AS (INSERT INTO ledger_transaction (source, movement, money_object, actor)
                          VALUES ('ops', 'grant', $1, 'ops') RETURNING id)
               INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
               SELECT t.id, l.account, 'usdc', l.amount
               FROM t, (VALUES ($2, $3::bigint), ('system:grants', -$3::bigint)) AS l (account, amount)""",
            made.unique("grant"),
            account,
            amount,
        )


@contextlib.asynccontextmanager
async def living(dsn: str) -> AsyncIterator[Life]:
    """A life over a fresh database."""
    owner = await asyncpg.connect(dsn)
    connections = await pool.create_pool(dsn, "sluice_worker", "test-worker", size_max=4)
    first, second = (Drainer(connections, {"stripe": Expected()}) for _ in range(2))
    yield Life(dsn, owner, (first, second))
    await connections.close()
    await owner.close()
