"""The purchase of credits with its refunds and disputes, as values: what is known, and how much was taken
back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from billing.facts import checkout_key, payment_key

PURCHASE_KINDS = ("checkout", "off_session")


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of a purchase's payment."""

    id: str
    payment_id: str
    amount_minor: int
    currency: str
    status: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Dispute:
    """One dispute of a purchase's payment; `status_at` is the PSP time of its status, unix seconds."""

    id: str
    payment_id: str
    amount_minor: int
    currency: str
    status: str
    status_at: int
    funds_withdrawn: bool = False
    funds_reinstated: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase of credits and everything that took some of them back."""

    source: str
    id: str
    kind: str
    payment_id: str | None
    account_id: str
    credits: int
    amount_minor: int
    currency: str
    status: str
    origin: str = "psp"
    credits_taken: int = 0
    version: int = 1
    refunds: Mapping[str, Refund] = field(default_factory=dict)
    disputes: Mapping[str, Dispute] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """Purchases of credits."""
        return "purchase"

    @property
    def keys(self) -> tuple[str, ...]:
        """By its own id and by its payment."""
        return (checkout_key(self.id), *(() if self.payment_id is None else (payment_key(self.payment_id),)))

    @property
    def refunded_minor(self) -> int:
        """The sum of the refunds that stand."""
        return sum(refund.amount_minor for refund in self.refunds.values() if refund.status == "succeeded")

    @property
    def credits_to_be_taken(self) -> int:
        """Credits that refunds and disputes take back in all, in proportion to the money, rounded for the
        customer.

        Rounded once over the sum, not per refund: partial refunds of the whole amount take exactly all
        credits, in whatever order they arrive. A payment that was refunded and disputed away as well has
        cost its money twice, and takes its credits twice: the account then owes them.
        """
        if self.amount_minor == 0:
            return 0
        disputed = sum(
            dispute.amount_minor
            for dispute in self.disputes.values()
            if dispute.funds_withdrawn and not dispute.funds_reinstated
        )
        return self.credits * (self.refunded_minor + disputed) // self.amount_minor
