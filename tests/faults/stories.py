"""Purchases with all that may befall them, made from a seed, each with what it must come to; knows none of
our rules.

Prices are exact (five cents buy four credits), so that what is owed never depends on how anybody rounds.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

CENTS = 5
CREDITS = 4
ACCOUNTS = 12
BEGIN = 1_795_000_000
"""PSP's time of the first event of a run, unix seconds."""

type_event = dict[str, Any]


@dataclass
class Owed:
    """What must be in the books once everything has been delivered and applied."""

    credits: Counter[str] = field(default_factory=Counter)
    refunds: dict[str, str] = field(default_factory=dict)
    event_ids: set[str] = field(default_factory=set)


class Stories:
    """An endless, reproducible stream of purchases; `owed` grows with each that has been told."""

    def __init__(self, seed: int, name: str) -> None:
        """`name` keeps the ids of one run apart from those of all others."""
        self.random = random.Random(f"{seed}/{name}")
        self.owed = Owed()
        self._name = name
        self._count = 0
        self._clock = BEGIN
        self._events = 0
        self._kinds: list[tuple[int, Callable[[], list[type_event]]]] = [
            (30, self._plain),
            (10, self._asynchronous),
            (10, self._told_twice),
            (10, self._off_session),
            (15, self._refunded_in_parts),
            (8, self._refund_that_failed),
            (5, self._refunded_after_a_failure),
            (8, self._disputed_and_lost),
            (6, self._disputed_and_won),
            (4, self._never_paid),
            (4, self._noise),
        ]

    def next(self) -> list[bytes]:
        """The bodies of the next story in some order, duplicates included."""
        self._count += 1
        weights = [weight for weight, _ in self._kinds]
        events = self.random.choices(self._kinds, weights)[0][1]()
        self.owed.event_ids.update(event["id"] for event in events)
        bodies = [body for event in events for body in self._copies(event)]
        self.random.shuffle(bodies)
        return bodies

    def _copies(self, event: type_event) -> Iterator[bytes]:
        """One delivery or several; Stripe counts `pending_webhooks` down, so copies may differ in that."""
        for copy in range(self.random.choices((1, 2, 4), (75, 20, 5))[0]):
            pending = 1 if self.random.random() < 0.8 else 1 + copy
            yield json.dumps({**event, "pending_webhooks": pending}).encode()

    def _id(self, prefix: str, part: int = 0) -> str:
        return f"{prefix}_{self._name}_{self._count}_{part}"

    def _event(self, kind: str, subject: type_event) -> type_event:
        self._clock += self.random.randint(0, 1)
        self._events += 1
        return {
            "id": f"evt_{self._name}_{self._count}_{self._events}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": self._clock,
            "livemode": False,
            "type": kind,
            "data": {"object": subject},
        }

    def _sale(self) -> tuple[str, int, int]:
        """Account, credits and price in cents of a new purchase."""
        parts = self.random.randint(2, 60)
        account = f"cust_{self._name}_{self.random.randrange(ACCOUNTS)}"
        return account, parts * CREDITS, parts * CENTS

    def _session(self, account: str, credits: int, cents: int, paid: str = "paid") -> type_event:
        return {
            "id": self._id("cs"),
            "object": "checkout.session",
            "mode": "payment",
            "status": "complete",
            "payment_status": paid,
            "amount_total": cents,
            "currency": "usd",
            "payment_intent": self._id("pi"),
            "metadata": {"purpose": "credits_topup", "accountId": account, "credits": str(credits)},
        }

    def _bought(self) -> tuple[type_event, str, int]:
        """A completed checkout that is owed its credits: the event, its account, its price in cents."""
        account, credits, cents = self._sale()
        self.owed.credits[account] += credits
        return (
            self._event("checkout.session.completed", self._session(account, credits, cents)),
            account,
            cents,
        )

    def _plain(self) -> list[type_event]:
        return [self._bought()[0]]

    def _asynchronous(self) -> list[type_event]:
        account, credits, cents = self._sale()
        self.owed.credits[account] += credits
        return [
            self._event("checkout.session.completed", self._session(account, credits, cents, "unpaid")),
            self._event("checkout.session.async_payment_succeeded", self._session(account, credits, cents)),
        ]

    def _told_twice(self) -> list[type_event]:
        account, credits, cents = self._sale()
        self.owed.credits[account] += credits
        session = self._session(account, credits, cents)
        kinds = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
        return [self._event(kind, session) for kind in kinds]

    def _off_session(self) -> list[type_event]:
        account, credits, cents = self._sale()
        self.owed.credits[account] += credits
        metadata = {
            "purpose": "credits_topup",
            "accountId": account,
            "credits": str(credits),
            "paymentMethod": "off_session",
        }
        payment = {
            "id": self._id("pi"),
            "object": "payment_intent",
            "status": "succeeded",
            "amount": cents,
            "amount_received": cents,
            "currency": "usd",
            "latest_charge": self._id("ch"),
            "metadata": metadata,
        }
        return [self._event("payment_intent.succeeded", payment)]

    def _refund(self, part: int, cents: int, status: str) -> type_event:
        return {
            "id": self._id("re", part),
            "object": "refund",
            "amount": cents,
            "currency": "usd",
            "charge": self._id("ch"),
            "payment_intent": self._id("pi"),
            "status": status,
            "metadata": {},
        }

    def _succeeded(self, part: int, cents: int) -> list[type_event]:
        self.owed.refunds[self._id("re", part)] = "succeeded"
        return [
            self._event("refund.created", self._refund(part, cents, "pending")),
            self._event("refund.updated", self._refund(part, cents, "succeeded")),
        ]

    def _failed(self, part: int, cents: int) -> list[type_event]:
        events = self._succeeded(part, cents)
        self.owed.refunds[self._id("re", part)] = "failed"
        return [*events, self._event("refund.failed", self._refund(part, cents, "failed"))]

    def _refunded_in_parts(self) -> list[type_event]:
        bought, account, cents = self._bought()
        events, refunded = [bought], 0
        for part in range(self.random.randint(1, 3)):
            left = (cents - refunded) // CENTS
            if left == 0:
                break
            share = self.random.randint(1, left) * CENTS
            refunded += share
            events += self._succeeded(part, share)
            charge = {
                "id": self._id("ch", part),
                "object": "charge",
                "payment_intent": self._id("pi"),
                "amount_refunded": refunded,
                "currency": "usd",
                "refunded": refunded == cents,
            }
            events.append(self._event("charge.refunded", charge))
        self.owed.credits[account] -= refunded // CENTS * CREDITS
        return events

    def _refund_that_failed(self) -> list[type_event]:
        bought, _, cents = self._bought()
        return [bought, *self._failed(0, cents)]

    def _refunded_after_a_failure(self) -> list[type_event]:
        bought, account, cents = self._bought()
        self.owed.credits[account] -= cents // CENTS * CREDITS
        return [bought, *self._failed(0, cents), *self._succeeded(1, cents)]

    def _dispute(self, status: str, cents: int) -> type_event:
        return {
            "id": self._id("dp"),
            "object": "dispute",
            "amount": cents,
            "currency": "usd",
            "charge": self._id("ch"),
            "payment_intent": self._id("pi"),
            "status": status,
        }

    def _disputed_and_lost(self) -> list[type_event]:
        bought, account, cents = self._bought()
        self.owed.credits[account] -= cents // CENTS * CREDITS
        return [
            bought,
            self._event("charge.dispute.created", self._dispute("needs_response", cents)),
            self._event("charge.dispute.funds_withdrawn", self._dispute("needs_response", cents)),
            self._event("charge.dispute.closed", self._dispute("lost", cents)),
        ]

    def _disputed_and_won(self) -> list[type_event]:
        bought, _, cents = self._bought()
        return [
            bought,
            self._event("charge.dispute.created", self._dispute("needs_response", cents)),
            self._event("charge.dispute.funds_withdrawn", self._dispute("under_review", cents)),
            self._event("charge.dispute.funds_reinstated", self._dispute("won", cents)),
            self._event("charge.dispute.closed", self._dispute("won", cents)),
        ]

    def _never_paid(self) -> list[type_event]:
        return [self._event("checkout.session.completed", self._session(*self._sale(), paid="unpaid"))]

    def _noise(self) -> list[type_event]:
        return [self._event("product.created", {"id": self._id("prod"), "object": "product"})]


class WithholdingStories(Stories):
    """Stories whose refunds nobody tells before `released`: until then a charge was refunded, and by which
    refunds is not known."""

    def __init__(self, seed: int, name: str) -> None:
        """As its elders."""
        super().__init__(seed, name)
        self.released = False
        self._withheld: list[bytes] = []

    def next(self) -> list[bytes]:
        """The next story without its refunds, or with all that were withheld."""
        bodies = super().next()
        if self.released:
            bodies, self._withheld = [*self._withheld, *bodies], []
            return bodies
        refunds = [body for body in bodies if json.loads(body)["type"].startswith("refund.")]
        self._withheld += refunds
        return [body for body in bodies if body not in refunds]
