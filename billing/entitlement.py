"""What an account may use because of its subscriptions: a pure view over them, kept nowhere.

Only `active` and `trialing` grant. A pending subscription grants nothing before its payment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from billing.subscription import Subscription

GRANTING_STATES = frozenset({"active", "trialing"})
GRANTED, PAYMENT_PENDING, NONE = "granted", "payment_pending", "none"


@dataclass(frozen=True, slots=True)
class Entitlement:
    """`access` is granted, payment_pending or none; `price_ids` are what is granted, sorted."""

    access: str
    price_ids: tuple[str, ...] = ()


def of(subscriptions: Iterable[Subscription]) -> Entitlement:
    """What these subscriptions of one account grant together."""
    held = list(subscriptions)
    granted = {each.values.price_id for each in held if each.status in GRANTING_STATES}
    if granted:
        return Entitlement(GRANTED, tuple(sorted(granted)))
    pending = any(each.status == "pending_payment" for each in held)
    return Entitlement(PAYMENT_PENDING if pending else NONE)
