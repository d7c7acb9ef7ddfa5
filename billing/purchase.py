"""The purchase of credits with its refunds and disputes, as values: what is known, and how much was taken
back.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from billing.keys import checkout_key, payment_key
from billing.refunds import Dispute, Refund, refund_keys, refunded_minor, withdrawn_minor

PURCHASE_KINDS = ("checkout", "off_session")


class Purchase(Struct, frozen=True):
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
        """By its own id, by its payment and by its refunds."""
        payment = () if self.payment_id is None else (payment_key(self.payment_id),)
        return (checkout_key(self.id), *payment, *refund_keys(self.refunds))

    @property
    def owner(self) -> tuple[str, str]:
        """Kind and id under which its refunds and disputes are kept."""
        return ("checkout_session", self.id)

    @property
    def is_paid(self) -> bool:
        """Whether there is something to take back."""
        return self.status == "paid"

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
        gone_minor = refunded_minor(self.refunds) + withdrawn_minor(self.disputes)
        return self.credits * gone_minor // self.amount_minor
