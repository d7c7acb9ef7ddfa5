"""What customers read of their orders and subscriptions, and what these let them use; and their one trial."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing.entitlement import Held
from billing.terms import OrderTerms, PlanTerms
from db.pool import type_connection
from db.queries import Queries

SHOP = Queries("shop.sql")


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as it stands; `source` is the PSP in whose namespace its payment lives, `reason` the rule of
    its last step.
    """

    source: str
    terms: OrderTerms
    payment_id: str | None
    status: str
    reason: str
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class RefundRow:
    """A refund of an order, minor units of its currency."""

    id: str
    status: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription of an account; `amount_minor`, `currency` and `payment_id` are of those that are `ours`.

    `trial_ends_at` is in unix seconds.
    """

    source: str
    id: str
    ours: bool
    plan_id: str
    status: str
    amount_minor: int | None
    currency: str | None
    trial_ends_at: int | None
    payment_id: str | None
    created_at: datetime

    @property
    def held(self) -> Held:
        """What it grants is decided by this; a PSP ends its trials by itself."""
        return Held(self.status, self.plan_id, self.trial_ends_at if self.ours else None)

    def terms(self, account_id: str) -> PlanTerms:
        """What was agreed with this account, of a subscription of ours."""
        assert self.amount_minor is not None, "only ours has terms"
        assert self.currency is not None, "only ours has terms"
        return PlanTerms(
            self.id, account_id, self.plan_id, self.amount_minor, self.currency, self.trial_ends_at
        )


async def read_order(connection: type_connection, order_id: str) -> OrderRow | None:
    """An order by our own id."""
    row = await connection.fetchrow(SHOP.read_order, order_id)
    if row is None:
        return None
    terms = OrderTerms(
        order_id,
        row["buyer_id"],
        row["seller_id"],
        row["amount_minor"],
        row["currency"],
        row["seller_amount_minor"],
        tuple(row["licences"]),
    )
    return OrderRow(
        row["source"],
        terms,
        row["payment_id"],
        row["status"],
        row["reason"],
        row["created_at"],
        row["completed_at"],
    )


async def list_refunds(connection: type_connection, order: OrderRow) -> list[RefundRow]:
    """The refunds of an order, oldest first."""
    rows = await connection.fetch(SHOP.refunds_of_order, order.source, order.terms.id)
    return [RefundRow(*row) for row in rows]


async def list_subscriptions(connection: type_connection, account_id: str) -> list[SubscriptionRow]:
    """Every subscription of an account, newest first."""
    rows = await connection.fetch(SHOP.subscriptions_of_account, account_id)
    return [SubscriptionRow(*row) for row in rows]


async def list_licences(connection: type_connection, account_id: str) -> list[str]:
    """The products that an account may use because of its orders."""
    return [row["product"] for row in await connection.fetch(SHOP.licences_of_account, account_id)]


async def take_trial(connection: type_connection, account_id: str, subscription_id: str) -> bool:
    """Give an account its one trial, in the caller's transaction; whether this subscription has it."""
    await connection.execute(SHOP.take_trial, account_id, subscription_id)
    return bool(await connection.fetchval(SHOP.has_trial, account_id, subscription_id))
