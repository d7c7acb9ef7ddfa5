"""One unit of work on the books: what is written and the events it causes are kept together or not at all.

It must never send anything: events leave only after the commit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from .chaos import Chaos, Plan
from .ids import Mint
from .records import Event, Movement, Record
from .signing import encode
from .store import Store
from .view import View

api_version = "2026-10-28.endive"
"""The version in whose shape every object and event is written: the newest one of the client library."""

_PAYS: dict[str, tuple[str, str]] = {
    "charge": ("customers", "merchant"),
    "refund": ("merchant", "customers"),
    "refund_failure": ("customers", "merchant"),
    "dispute": ("merchant", "disputes"),
    "dispute_reversal": ("disputes", "merchant"),
}
"""Who pays whom in each kind of movement."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The API request behind a change; both None where the bank or the customer caused it."""

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass(slots=True)
class Turn:
    """What the operations of one unit of work share. Lives inside one transaction of the store."""

    store: Store
    view: View
    mint: Mint
    chaos: Chaos
    now_s: int
    cause: Cause = field(default_factory=Cause)
    events: list[tuple[Event, Plan]] = field(default_factory=list)

    def emit(self, kind: str, record: Record, previous: dict[str, Any] | None = None) -> None:
        """Records an event about an object as it is now; `previous` holds the old values of what changed."""
        thing = self.view.show(record)
        data: dict[str, Any] = {"object": thing}
        if previous is not None:
            data["previous_attributes"] = previous
        event_id = self.mint.id("evt")
        body = encode(
            {
                "id": event_id,
                "object": "event",
                "api_version": api_version,
                "created": self.now_s,
                "data": data,
                "livemode": False,
                "pending_webhooks": 1,
                "request": {"id": self.cause.request_id, "idempotency_key": self.cause.idempotency_key},
                "type": kind,
            }
        )
        number = self.chaos.number(int(self.store.rows("last_event_seq")[0]["seq"]) + 1)
        plan = self.chaos.plan(number)
        event = Event(
            id=event_id,
            type=kind,
            created=self.now_s,
            object_id=str(thing["id"]),
            body=body,
            body_sha256=hashlib.sha256(body).hexdigest(),
            chaos_index=number,
            dropped=plan.dropped,
        )
        event.seq = self.store.insert(event)
        self.events.append((event, plan))

    def move(self, kind: str, source: str, amount: int, currency: str) -> None:
        """Records that money moved, once per kind and source object."""
        payer, payee = _PAYS[kind]
        self.store.insert(
            Movement(
                id=self.mint.id("txn"),
                created=self.now_s,
                kind=kind,
                source=source,
                amount=amount,
                currency=currency,
                payer=payer,
                payee=payee,
            )
        )
