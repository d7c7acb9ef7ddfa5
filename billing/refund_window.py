"""For how long after its completion an order is refunded on request; pure. A PSP's own word has no limit."""

from __future__ import annotations

from datetime import datetime, timedelta

REFUND_WINDOW = timedelta(days=14)
"""The contract with buyers."""


def is_open(completed_at: datetime, now: datetime) -> bool:
    """Whether an order that was completed then may be refunded now."""
    return now <= completed_at + REFUND_WINDOW
