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
from .versions import api_version, earlier_values
from .view import View

_PAYS: dict[str, tuple[str, str]] = {
    "charge": ("customers", "merchant"),
    "refund": ("merchant", "customers"),
    "refund_failure": ("customers", "merchant"),
    "dispute": ("merchant", "disputes"),
    "dispute_reversal": ("disputes", "merchant"),
    "transfer": ("merchant", "sellers"),
    "transfer_reversal": ("sellers", "merchant"),
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
    events_version: str = api_version
    events: list[tuple[Event, Plan]] = field(default_factory=list)

    def look(self, record: Record) -> dict[str, Any]:
        """The object as an event of this moment would show it: what `emit_change` compares with later."""
        return self.view.show(record, self.events_version)

    def emit(
        self, kind: str, record: Record, previous: dict[str, Any] | None = None, *, beside: bool = False
    ) -> None:
        """Records an event about an object as it is now; `previous` holds the old values of what changed.

        `beside` keeps events that somebody else's timing brings about, like a reversal that the receiver asks
        for, from shifting the numbers of all others: one seed then still means one bad day.
        """
        self.tell(kind, self.look(record), previous, beside=beside)

    def emit_change(self, kind: str, record: Record, before: dict[str, Any], *, beside: bool = False) -> None:
        """As `emit`, where `before` is the whole object as `look` showed it before the change."""
        after = self.look(record)
        self.tell(kind, after, earlier_values(before, after), beside=beside)

    def tell(
        self, kind: str, thing: dict[str, Any], previous: dict[str, Any] | None, *, beside: bool = False
    ) -> None:
        """Records an event about a shape."""
        data: dict[str, Any] = {"object": thing}
        if previous is not None:
            data["previous_attributes"] = previous
        event_id = self.mint.id("evt")
        body = encode(
            {
                "id": event_id,
                "object": "event",
                "api_version": self.events_version,
                "created": self.now_s,
                "data": data,
                "livemode": False,
                "pending_webhooks": 1,
                "request": {"id": self.cause.request_id, "idempotency_key": self.cause.idempotency_key},
                "type": kind,
            }
        )
        number = self.next_number(beside=beside)
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

    def next_number(self, *, beside: bool = False) -> int:
        """The next event's number since the seed was set: from 0 upwards, or beside the plan from -1 down."""
        from_seq = self.chaos.from_seq
        if beside:
            return -1 - int(self.store.rows("events_beside_the_plan", from_seq=from_seq)[0]["events"])
        return int(self.store.rows("last_planned_number", from_seq=from_seq)[0]["number"]) + 1

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
