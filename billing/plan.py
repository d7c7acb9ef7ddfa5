"""A subscription that we run ourselves, as values: one payment pays for it, and its state follows."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from billing.keys import payment_key
from billing.order_states import PAID
from billing.refunds import Dispute, Refund, refund_keys
from billing.terms import PlanTerms

_STATUS = {
    "pending": "pending_payment",
    "failed": "expired",
    "canceled": "expired",
    "succeeded": "active",
    "reversed": "expired",
}
_INVOICE_STATUS = {
    "pending": "open",
    "failed": "uncollectible",
    "canceled": "uncollectible",
    "succeeded": "paid",
    "reversed": "void",
}


class PlanSubscription(Struct, frozen=True):
    """A subscription to a plan of ours with the invoice of its payment, which has the subscription's id.

    `invoice_version` is 0 for as long as there is no invoice.
    """

    source: str
    terms: PlanTerms
    payment_id: str | None
    payment_status: str
    version: int = 1
    invoice_version: int = 0
    refunds: Mapping[str, Refund] = field(default_factory=dict)
    disputes: Mapping[str, Dispute] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Our own id."""
        return self.terms.id

    @property
    def family(self) -> str:
        """Subscriptions of ours; those that a PSP runs are another family in the same table."""
        return "plan_subscription"

    @property
    def keys(self) -> tuple[str, ...]:
        """By its own id, by its payment and by its refunds."""
        payment = () if self.payment_id is None else (payment_key(self.payment_id),)
        return (self.terms.key, *payment, *refund_keys(self.refunds))

    @property
    def owner(self) -> tuple[str, str]:
        """Kind and id under which its refunds and disputes are kept."""
        return ("subscription_invoice", self.id)

    @property
    def amount_minor(self) -> int:
        """What its payment is for."""
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
    def status(self) -> str:
        """Its state: only its payment makes it active, whenever that comes, unless nothing has to be paid."""
        due = self.terms.starts_as == "pending_payment" or self.is_paid
        return _STATUS[self.payment_status] if due else self.terms.starts_as

    @property
    def invoice_status(self) -> str | None:
        """The state of its invoice; None where there is nothing to pay."""
        if self.terms.starts_as != "pending_payment" and self.payment_id is None:
            return None
        return _INVOICE_STATUS[self.payment_status]
