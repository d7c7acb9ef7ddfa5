"""One order of a shop as its PSP tells of it: events of either PSP, for tests to deliver as they like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support import hyperswitch_events as told
from tests.support import stripe_events as made


@dataclass
class Shop:
    """One order of a shop, as the PSP of `source` tells of it."""

    source: str
    payment_id: str
    order_id: str = "order_1"

    def payment(self, status: str) -> dict[str, Any]:
        """Its payment: `succeeded` or `failed`."""
        metadata = made.order_payment(self.order_id)["metadata"]
        if self.source == "hyperswitch":
            return told.payment(self.payment_id, status, metadata)
        failed = status == "failed"
        word = "requires_payment_method" if failed else status
        kind = f"payment_intent.{'payment_failed' if failed else status}"
        return made.event(kind, made.order_payment(self.order_id, word, id=self.payment_id))

    def refund(self, refund_id: str, amount: int, status: str = "succeeded", own: str = "") -> dict[str, Any]:
        """A refund of it; `own` is our id, where we have asked for it."""
        metadata = {"refundId": own} if own else {}
        if self.source == "hyperswitch":
            return told.refund(self.payment_id, refund_id, amount, status, metadata=metadata)
        refund = made.refund(self.payment_id, amount, status, id=refund_id, metadata=metadata)
        return made.event("refund.failed" if status == "failed" else "refund.updated", refund)

    def dispute(self) -> list[dict[str, Any]]:
        """A dispute of all of it that takes the funds and is won after all."""
        if self.source == "hyperswitch":
            return [
                told.dispute(self.payment_id, "dp_1", 5000, f"dispute_{word}")
                for word in ("opened", "lost", "won")
            ]
        steps = ("created", "funds_withdrawn", "closed", "funds_reinstated")
        words = ("needs_response", "needs_response", "won", "won")
        return [
            made.event(
                f"charge.dispute.{step}",
                made.dispute(self.payment_id, 5000, word, id="dp_1"),
                created=made.CREATED + number,
            )
            for number, (step, word) in enumerate(zip(steps, words, strict=True))
        ]

    def dispute_lost_again(self) -> list[dict[str, Any]]:
        """The bank judges that dispute anew, a day later, and takes the funds back."""
        if self.source == "hyperswitch":
            lost = told.dispute(self.payment_id, "dp_1", 5000, "dispute_lost")
            return [lost | {"timestamp": told.A_DAY_LATER}]
        return [
            made.event(
                f"charge.dispute.{step}",
                made.dispute(self.payment_id, 5000, "lost", id="dp_1"),
                created=made.CREATED + 86_400,
            )
            for step in ("updated", "funds_withdrawn")
        ]
