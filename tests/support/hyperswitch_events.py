"""Makes Hyperswitch events for tests from the facts: the native shape of `tests/psp/hyperswitch_bodies`, each
under ids of its own."""

from __future__ import annotations

from typing import Any

from tests.psp import hyperswitch_bodies as bodies
from tests.support.stripe_events import unique

A_DAY_LATER = "2026-11-19T10:00:00.000Z"
"""Than the timestamp of every event here."""


def payment(payment_id: str, status: str, metadata: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
    """The event of a payment of 5000 cents."""
    told = bodies.payment(status, payment_id=payment_id, metadata=metadata, **changes)
    return bodies.event(f"payment_{status}", "payment_details", told, event_id=unique("evt"))


def refund(payment_id: str, refund_id: str, amount: int, status: str, **changes: Any) -> dict[str, Any]:
    """The event of a refund."""
    told = bodies.refund(status, payment_id=payment_id, refund_id=refund_id, amount=amount, **changes)
    return bodies.event(f"refund_{status}", "refund_details", told, event_id=unique("evt"))


def dispute(payment_id: str, dispute_id: str, amount: int, status: str, **changes: Any) -> dict[str, Any]:
    """The event of a dispute; its amount is text."""
    told = bodies.dispute(status, payment_id=payment_id, dispute_id=dispute_id, amount=str(amount), **changes)
    return bodies.event(status, "dispute_details", told, event_id=unique("evt"))


def flat(event_type: str, **fields: Any) -> dict[str, Any]:
    """An event of an older integration: everything stands at the top."""
    return bodies.flat(event_type, **fields) | {"event_id": unique("evt")}
