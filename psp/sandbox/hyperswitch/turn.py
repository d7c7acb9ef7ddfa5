"""One unit of work on the merchant's books and the events that it causes; it must never send anything.

There is one initial event per object and type, for ever: a payment that fails twice tells it once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from psp.sandbox.ids import random_text
from psp.sandbox.records import Event
from psp.sandbox.turn import Turn

from .letters import FORGERY_WITHOUT_TIME, encode
from .records import Dispute, Payment, Record, Refund
from .shapes import Merchant, iso
from .shelf import Shelf
from .view import View

EVENT_OF_PAYMENT = {
    "succeeded": "payment_succeeded",
    "failed": "payment_failed",
    "processing": "payment_processing",
    "requires_customer_action": "action_required",
    "requires_capture": "payment_authorized",
    "partially_captured": "payment_captured",
    "cancelled": "payment_cancelled",
    "expired": "payment_expired",
}
"""Statuses that are told; `requires_payment_method` and `requires_confirmation` are not."""
EVENT_OF_REFUND = {"succeeded": "refund_succeeded", "failed": "refund_failed"}
"""`pending` and `review` are not told: only who asks learns of them."""
_PAYS = {
    "capture": ("customers", "merchant"),
    "refund": ("merchant", "customers"),
    "dispute": ("merchant", "disputes"),
    "dispute_reversal": ("disputes", "merchant"),
}
"""Who pays whom in each kind of movement."""
own_id_chars = 30
"""Length of a payment's or refund's id, a caller's own one too."""


@dataclass(slots=True)
class Work:
    """What the operations of one unit of work share. Lives inside a turn of the sandbox."""

    turn: Turn
    view: View

    @property
    def shelf(self) -> Shelf:
        """The merchant's records."""
        return self.view.shelf

    @property
    def merchant(self) -> Merchant:
        """Who sells."""
        return self.view.merchant

    @property
    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self.turn.now_s * 1000

    def change(self, record: Record) -> None:
        """Writes a record that was changed. Its time is later than before, even in the same second: that is
        what a receiver may order by.
        """
        record.modified_ms = max(self.now_ms, record.modified_ms + 1)
        self.shelf.update(record)

    def tell(self, record: Record) -> None:
        """Records the event of the status in which a record now is, unless that has none or was told."""
        match record:
            case Payment():
                kind, family, content = EVENT_OF_PAYMENT.get(record.status), "payments", "payment_details"
            case Refund():
                kind, family, content = EVENT_OF_REFUND.get(record.status), "refunds", "refund_details"
            case Dispute():
                kind, family, content = record.status, "disputes", "dispute_details"
        if kind is None or self._told(record.id, kind):
            return
        event_id = f"evt_{self.now_ms:012x}{hashlib.sha256(random_text(20).encode()).hexdigest()[:20]}"
        body = encode(
            {
                "merchant_id": self.merchant.id,
                "event_id": event_id,
                "event_type": kind,
                "content": {"type": content, "object": self.view.show(record)},
                "timestamp": iso(record.modified_ms),
            }
        )
        number = self.turn.next_number()
        plan = self.turn.chaos.plan(number)
        if plan.forgery is not None:
            plan = replace(plan, forgery=FORGERY_WITHOUT_TIME.get(plan.forgery, plan.forgery))
        event = Event(
            id=event_id,
            type=kind,
            created=self.turn.now_s,
            object_id=record.id,
            body=body,
            body_sha256=hashlib.sha256(body).hexdigest(),
            chaos_index=number,
            dropped=plan.dropped,
        )
        event.seq = self.shelf.store.insert(event)
        named = {"object_id": record.id, "type": kind, "class": family, "created_ms": record.modified_ms}
        self.shelf.store.run("insert_hyperswitch_event", id=event_id, **named)
        self.turn.events.append((event, plan))

    def _told(self, object_id: str, kind: str) -> bool:
        return bool(self.shelf.store.rows("hyperswitch_event_of", object_id=object_id, type=kind))

    def move(self, kind: str, source: str, amount: int, currency: str) -> None:
        """Records that money moved, once per kind and source object."""
        payer, payee = _PAYS[kind]
        self.shelf.store.run(
            "insert_hyperswitch_movement",
            created_ms=self.now_ms,
            kind=kind,
            source=source,
            amount=amount,
            currency=currency,
            payer=payer,
            payee=payee,
        )


def new_id(prefix: str) -> str:
    """`pay_…` and so on, thirty characters as a caller's own."""
    return f"{prefix}_{random_text(own_id_chars - len(prefix) - 1)}"
