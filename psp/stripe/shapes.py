"""Which fields of Stripe's objects our mapping takes for null where they are gone; pure. A field that decides
about money and must be there need not be: without it the event is in quarantine. An invoice's payment is not
watched: since 2025-03-31 events of its own tell it, and the reconciler reads it.
"""

from __future__ import annotations

import functools

from psp.shapes import Shape, Watch
from psp.strict_json import Fields
from psp.stripe import versions

_REFUND = Watch(payment_intent="payment_intent", metadata="metadata")
_WATCHED = (
    ("checkout.session.", Watch(mode="mode", metadata="metadata", payment_intent="payment_intent")),
    ("payment_intent.", Watch(metadata="metadata", amount_received="amount_received")),
    ("refund.", _REFUND),
    ("charge.refund.", _REFUND),
    ("charge.refunded", Watch(payment_intent="payment_intent")),
    ("charge.dispute.", Watch(payment_intent="payment_intent")),
    (
        "customer.subscription.",
        Watch(
            metadata="metadata",
            current_period_end="current_period_end items.data.current_period_end",
            trial_end="trial_end",
            canceled_at="canceled_at",
            ended_at="ended_at",
            latest_invoice="latest_invoice",
        ),
    ),
    ("invoice.", Watch(subscription="subscription parent.subscription_details")),
    ("transfer.", Watch(metadata="metadata", transfer_group="transfer_group")),
)
"""By the beginning of the event's type."""


def shaped(event: Fields) -> Shape | None:
    """The shape of an event; None where nothing is watched, or it tells no version: Stripe's own do."""
    event_type, data, version = event.raw("type"), event.raw("data"), versions.told(event)
    watch = _watch(event_type) if isinstance(event_type, str) else None
    if watch is None or not version or not isinstance(data, dict):
        return None
    return watch.shape(event_type, version, data.get("object"))


@functools.lru_cache(maxsize=256)
def _watch(event_type: str) -> Watch | None:
    return next((watch for begins, watch in _WATCHED if event_type.startswith(begins)), None)
