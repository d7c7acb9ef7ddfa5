"""What an account may use because of its subscriptions: a pure view over them, kept nowhere.

Only `active` and `trialing` grant. A pending subscription grants nothing before its payment.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

GRANTING_STATES = frozenset({"active", "trialing"})
GRANTED, PAYMENT_PENDING, NONE = "granted", "payment_pending", "none"


class Held(Struct, frozen=True):
    """A subscription of an account: its state and its plan (a PSP's: the price).

    `trial_ends_at` (unix seconds) is of a trial that we give; None where nothing ends by time alone, because
    a PSP tells of the end.
    """

    status: str
    plan_id: str
    trial_ends_at: int | None = None

    def grants(self, now: int) -> bool:
        """Whether it grants anything at `now` (unix seconds)."""
        over = self.status == "trialing" and self.trial_ends_at is not None and self.trial_ends_at <= now
        return self.status in GRANTING_STATES and not over


class Entitlement(Struct, frozen=True):
    """`access` is granted, payment_pending or none; `plan_ids` are what is granted, sorted."""

    access: str
    plan_ids: tuple[str, ...] = ()


def of(subscriptions: Iterable[Held], now: int) -> Entitlement:
    """What these subscriptions of one account grant together at `now` (unix seconds)."""
    held = list(subscriptions)
    granted = {each.plan_id for each in held if each.grants(now)}
    if granted:
        return Entitlement(GRANTED, tuple(sorted(granted)))
    pending = any(each.status == "pending_payment" for each in held)
    return Entitlement(PAYMENT_PENDING if pending else NONE)
