"""Shows the merchant's records to API clients and in events; it must never write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import shapes
from .records import Dispute, Payment, Record, Refund
from .shapes import Merchant
from .shelf import Shelf


@dataclass(frozen=True, slots=True)
class View:
    """Renders for one merchant."""

    shelf: Shelf
    merchant: Merchant

    def show(self, record: Record) -> dict[str, Any]:
        """The record in Hyperswitch's shape."""
        match record:
            case Payment():
                refunds = self.shelf.many(Refund, "hyperswitch_refunds_of", payment_id=record.id)
                disputes = self.shelf.many(Dispute, "hyperswitch_disputes_of", payment_id=record.id)
                return shapes.payment(record, self.merchant, refunds, disputes)
            case Refund():
                return shapes.refund(record, self.merchant)
            case Dispute():
                return shapes.dispute(record, self.merchant)
