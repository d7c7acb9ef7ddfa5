"""Refunds and disputes of a payment as values, and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from billing.keys import refund_key


class Refund(Struct, frozen=True):
    """One refund of a payment. `psp_id` is the PSP's own id of a refund that has one of ours."""

    id: str
    payment_id: str
    amount_minor: int
    currency: str
    status: str
    version: int = 1
    psp_id: str | None = None


class Dispute(Struct, frozen=True):
    """One dispute of a payment. `status_at` and `funds_at` are the PSP times of its status and of the last
    movement of its money, unix seconds (0: none).

    `funds_withdrawn`: the PSP has taken the money; `funds_reinstated`: the last that it did was to give it
    back. A bank that judges anew may take it again.
    """

    id: str
    payment_id: str
    amount_minor: int
    currency: str
    status: str
    status_at: int
    funds_withdrawn: bool = False
    funds_reinstated: bool = False
    funds_at: int = 0
    version: int = 1


def refunded_minor(refunds: Mapping[str, Refund]) -> int:
    """The sum of the refunds that stand."""
    return sum(refund.amount_minor for refund in refunds.values() if refund.status == "succeeded")


def withdrawn_minor(disputes: Mapping[str, Dispute]) -> int:
    """The sum that disputes have taken away."""
    return sum(
        dispute.amount_minor
        for dispute in disputes.values()
        if dispute.funds_withdrawn and not dispute.funds_reinstated
    )


def refund_keys(refunds: Mapping[str, Refund]) -> tuple[str, ...]:
    """The keys by which events name whatever these refunds give back: our id of each and the PSP's own."""
    names = (name for refund in refunds.values() for name in (refund.id, refund.psp_id) if name is not None)
    return tuple(refund_key(name) for name in names)
