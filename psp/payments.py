"""How a payment is opened for a customer who will complete it, in words that every provider shares: no I/O.

Opening is safe to repeat: whatever became of an earlier attempt, there is one payment for one id of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from billing.terms import OrderTerms, PlanTerms, Terms


class PaymentRefusedError(Exception):
    """The PSP refuses; `kind` is a type or code, safe to store and log.

    `is_final`: it is about this payment, which will never be opened. Else it is about our key or our
    question, and what was agreed still stands.
    """

    def __init__(self, kind: str, is_final: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.is_final = is_final


class PaymentUnavailableError(Exception):
    """Nobody knows whether the payment was opened: to be asked for again; `kind` as above."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class OpenedPayment:
    """A payment at the PSP; with the secret its buyer's page completes it, so it goes to nobody else."""

    id: str
    client_secret: str


class Payments(Protocol):
    """What opens payments at one PSP."""

    @property
    def source(self) -> str:
        """In whose namespace its payments live."""

    def chosen_id(self, own_id: UUID) -> str | None:
        """The id that the payment of this order or subscription will have; None where the PSP names it."""

    async def open(self, terms: Terms, known_id: str | None, placed_at: int) -> OpenedPayment:
        """The payment for these terms: opened now, or found. Its key at the PSP is the id of the terms.

        `known_id` is the payment's id as far as it is known, `placed_at` (unix seconds) a time before which
        it cannot have been opened. Raises PaymentRefusedError, PaymentUnavailableError.
        """
        ...


def metadata_of(terms: Terms) -> dict[str, str]:
    """What a payment carries, so that its events find what it pays for. The agreement itself stays with us:
    whoever can edit metadata at the PSP must not be able to change it.
    """
    match terms:
        case OrderTerms():
            return {"purpose": "order", "orderId": terms.id}
        case PlanTerms():
            return {"purpose": "subscription", "subscriptionId": terms.id}
