"""What was agreed before a payment: the order or the plan that it pays for. Values only.

Our own API places them as commands; a payment that was made elsewhere carries them in its metadata. Amounts
are integers in minor units of `currency` (ISO 4217, lower case).
"""

from __future__ import annotations

from msgspec import Struct

from billing.keys import order_key, subscription_key


class OrderTerms(Struct, frozen=True):
    """An order: its buyer gets the licences, its seller (None: the house) `seller_amount_minor` of the
    amount.
    """

    id: str
    buyer_id: str
    seller_id: str | None
    amount_minor: int
    currency: str
    seller_amount_minor: int
    licences: tuple[str, ...]

    @property
    def key(self) -> str:
        """The key of this order."""
        return order_key(self.id)


class PlanTerms(Struct, frozen=True):
    """A subscription of ours to a plan, paid for by single payments.

    An amount of 0 is free. With a trial (`trial_ends_at`, unix seconds) nothing is to be paid yet.
    """

    id: str
    account_id: str
    plan_id: str
    amount_minor: int
    currency: str
    trial_ends_at: int | None = None

    @property
    def starts_as(self) -> str:
        """Its state before any payment."""
        if self.amount_minor == 0:
            return "active"
        return "pending_payment" if self.trial_ends_at is None else "trialing"

    @property
    def key(self) -> str:
        """The key of this subscription."""
        return subscription_key(self.id)


Terms = OrderTerms | PlanTerms
