"""What our own side adds to the story: intents of customers, and how our calls to a PSP ended. Values only.

They are events in the log like any other, so that the whole state can be rebuilt from it. `source` names the
PSP in whose namespace the object lives.
"""

from __future__ import annotations

from msgspec import Struct

from billing.keys import checkout_key, order_key, payment_key, refund_key, transfer_key
from billing.terms import OrderTerms, PlanTerms


class OrderPlaced(Struct, frozen=True):
    """A customer has ordered; `payment_id` is None where the PSP has yet to name the payment."""

    source: str
    payment_id: str | None
    terms: OrderTerms

    @property
    def keys(self) -> tuple[str, ...]:
        """The order, and what its payment is known for."""
        return (self.terms.key, *(() if self.payment_id is None else (payment_key(self.payment_id),)))


class PlanSubscribed(Struct, frozen=True):
    """A customer has subscribed to a plan of ours and must pay before it grants anything."""

    source: str
    payment_id: str | None
    terms: PlanTerms

    @property
    def keys(self) -> tuple[str, ...]:
        """The subscription, and what its payment is known for."""
        return (self.terms.key, *(() if self.payment_id is None else (payment_key(self.payment_id),)))


class RefundRequested(Struct, frozen=True):
    """Somebody with the right to it wants an order refunded: `amount_minor` None means all that is left.

    `refund_id` is ours, chosen before the PSP is called.
    """

    source: str
    order_id: str
    refund_id: str
    amount_minor: int | None

    @property
    def keys(self) -> tuple[str, ...]:
        """The order."""
        return (order_key(self.order_id),)


class RefundCallEnded(Struct, frozen=True):
    """The PSP has accepted our refund under this id of its own, or (None) refused it for good."""

    source: str
    refund_id: str
    psp_refund_id: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """Whatever the refund gives back."""
        return (refund_key(self.refund_id),)


class ReversalEnded(Struct, frozen=True):
    """Our reversal of a transfer has ended: `status` is `reversed` or `permanently_failed`."""

    source: str
    transfer_id: str
    status: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The order that the transfer belongs to."""
        return (transfer_key(self.transfer_id),)


class CreditsSpent(Struct, frozen=True):
    """An account has used up credits, which were held for this: it is a fact, and no wish any more."""

    source: str
    spend_id: str
    account_id: str
    credits: int
    reason: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """None: no subject changes, money moves."""
        return ()


class SpendReversed(Struct, frozen=True):
    """What was spent is given back to its account, wholly and once; `credits` are those of the spend."""

    source: str
    spend_id: str
    account_id: str
    credits: int
    reason: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """None: no subject changes, money moves."""
        return ()


class PaymentOpened(Struct, frozen=True):
    """The PSP has opened the payment of what was agreed under the key `claim`."""

    source: str
    claim: str
    payment_id: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The order or the subscription, and what its payment is known for."""
        return (self.claim, payment_key(self.payment_id))


class PaymentRefused(Struct, frozen=True):
    """The PSP will not open the payment of what was agreed under the key `claim`; `reason` is a code."""

    source: str
    claim: str
    reason: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The order or the subscription."""
        return (self.claim,)


class CheckoutRequested(Struct, frozen=True):
    """A customer wants to buy credits on a page of the PSP; `checkout_id` is ours, chosen before the PSP is
    called, `amount_minor` what is to be paid for them and for the fee.
    """

    source: str
    checkout_id: str
    account_id: str
    credits: int
    amount_minor: int
    currency: str
    success_url: str

    @property
    def keys(self) -> tuple[str, ...]:
        """None: there is no purchase before the PSP has named it."""
        return ()


class CheckoutOpened(Struct, frozen=True):
    """The PSP has opened the page for a purchase of ours, and names it `session_id`."""

    source: str
    session_id: str
    account_id: str
    credits: int
    amount_minor: int
    currency: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The purchase."""
        return (checkout_key(self.session_id),)


class CheckoutRefused(Struct, frozen=True):
    """The PSP will open no page for this `checkout_id` of ours; `reason` is a code."""

    source: str
    checkout_id: str
    reason: str

    @property
    def keys(self) -> tuple[str, ...]:
        """None: there is no purchase."""
        return ()


Command = (
    OrderPlaced
    | PlanSubscribed
    | PaymentOpened
    | PaymentRefused
    | CheckoutRequested
    | CheckoutOpened
    | CheckoutRefused
    | RefundRequested
    | RefundCallEnded
    | ReversalEnded
    | CreditsSpent
    | SpendReversed
)
