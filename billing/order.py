"""The order with its licences, refunds, disputes and transfers, as values: what is known, and what its state
must be.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from billing.keys import payment_key, transfer_key
from billing.order_states import PAID
from billing.refunds import Dispute, Refund, refund_keys, refunded_minor, withdrawn_minor
from billing.terms import OrderTerms


class Transfer(Struct, frozen=True):
    """Money of an order that was sent on to its seller, and how much of it has come back, minor units."""

    id: str
    destination: str
    amount_minor: int
    currency: str
    status: str
    reversed_minor: int = 0
    version: int = 1


class Order(Struct, frozen=True):
    """An order and everything that hangs on its payment.

    `reversed_minor` is how much of the amount the ledger has given back; `licence_status` is None until there
    was something to license.
    """

    source: str
    terms: OrderTerms
    payment_id: str | None
    payment_status: str
    status: str
    reversed_minor: int = 0
    licence_status: str | None = None
    licence_version: int = 0
    version: int = 1
    refunds: Mapping[str, Refund] = field(default_factory=dict)
    disputes: Mapping[str, Dispute] = field(default_factory=dict)
    transfers: Mapping[str, Transfer] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Our own id."""
        return self.terms.id

    @property
    def family(self) -> str:
        """Orders."""
        return "order"

    @property
    def keys(self) -> tuple[str, ...]:
        """By its own id, by its payment, by its refunds and transfers."""
        payment = () if self.payment_id is None else (payment_key(self.payment_id),)
        transfers = (transfer_key(transfer_id) for transfer_id in self.transfers)
        return (self.terms.key, *payment, *refund_keys(self.refunds), *transfers)

    @property
    def owner(self) -> tuple[str, str]:
        """Kind and id under which its refunds and disputes are kept."""
        return ("order", self.id)

    @property
    def amount_minor(self) -> int:
        """What the buyer pays."""
        return self.terms.amount_minor

    @property
    def currency(self) -> str:
        """What it is paid in."""
        return self.terms.currency

    @property
    def is_paid(self) -> bool:
        """Whether there is something to give back."""
        return self.payment_status in PAID

    @property
    def due_status(self) -> str:
        """The state that payment and refunds make: a function of what is known, not of the path."""
        if self.payment_status == "succeeded":
            if 0 < self.amount_minor <= refunded_minor(self.refunds):
                return "refunded"
            open_refund = any(r.status in ("pending", "requires_action") for r in self.refunds.values())
            return "refund_pending" if open_refund else "completed"
        return {"pending": "pending", "failed": "failed"}.get(self.payment_status, "cancelled")

    @property
    def due_reversed_minor(self) -> int:
        """How much refunds and disputes have taken of the amount; both together may be more than all."""
        return refunded_minor(self.refunds) + withdrawn_minor(self.disputes)

    @property
    def due_licence_status(self) -> str | None:
        """Licences are the buyer's while the order stands."""
        if not self.is_paid:
            return None
        return "active" if self.due_status in ("completed", "refund_pending") else "revoked"

    @property
    def wants_transfers_back(self) -> bool:
        """Whether nothing of what was paid is left to be the seller's."""
        return self.due_status == "refunded" or self.payment_status == "reversed"

    def seller_share(self, reversed_minor: int) -> int:
        """The seller's part of what was given back, rounded once over the sum, in the seller's favour."""
        if self.amount_minor == 0:
            return 0
        return self.terms.seller_amount_minor * reversed_minor // self.amount_minor
