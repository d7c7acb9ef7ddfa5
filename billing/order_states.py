"""The transition tables of orders, licences and transfers to sellers, and the ladder of a payment. Values
only.

A delivery may be missed or late, so a table also joins states that are several steps apart.
"""

from __future__ import annotations

from billing.machine import Edge, Machine

PAYMENT_LADDER = ("pending", "failed", "canceled", "succeeded", "reversed")
"""What a payment can say of itself: only upwards. A failed one may still succeed, and a success that was told
late is no news; `reversed` is one that was voided after its capture.
"""
PAID = frozenset({"succeeded", "reversed"})
"""Of these the money has come in, and may have gone out again."""

ORDER = Machine(
    "order",
    states=("pending", "failed", "completed", "refund_pending", "refunded", "cancelled"),
    initial=("pending", "failed", "completed", "cancelled"),
    edges=(
        Edge(None, "pending", "placed"),
        Edge(None, "failed", "payment_failed"),
        Edge(None, "completed", "payment_succeeded"),
        Edge(None, "cancelled", "payment_canceled"),
        Edge("pending", "pending", "payment_opened"),
        Edge("pending", "failed", "payment_failed"),
        Edge("pending", "failed", "payment_refused"),  # the PSP would not even open one
        Edge("pending", "completed", "payment_succeeded"),
        Edge("pending", "cancelled", "payment_canceled"),
        Edge("failed", "failed", "payment_failed"),  # another payment of the same order
        Edge("failed", "cancelled", "payment_canceled"),
        Edge("cancelled", "cancelled", "payment_canceled"),  # another payment, or voided after its capture
        Edge("failed", "completed", "late_success"),
        Edge("cancelled", "completed", "late_success"),
        Edge("completed", "refund_pending", "refund_requested"),
        Edge("completed", "refunded", "refunded"),
        Edge("refund_pending", "refunded", "refunded"),
        Edge("refund_pending", "completed", "refund_failed"),
        Edge("refund_pending", "completed", "refunded_in_part"),
        Edge("refunded", "completed", "late_failure"),
        Edge("refunded", "refund_pending", "late_failure"),
        Edge("completed", "cancelled", "payment_reversed"),
        Edge("refund_pending", "cancelled", "payment_reversed"),
        Edge("refunded", "cancelled", "payment_reversed"),
    ),
    terminal=(),
)

LICENCE = Machine(
    "license",
    states=("active", "revoked"),
    initial=("active", "revoked"),
    edges=(
        Edge(None, "active", "granted"),
        Edge(None, "revoked", "never_granted"),  # voided before we heard that it had been paid
        Edge("active", "revoked", "revoked"),
        Edge("revoked", "active", "reinstated"),
    ),
    terminal=(),
)

TRANSFER = Machine(
    "transfer",
    states=("completed", "reversal_pending", "permanently_failed", "reversed"),
    initial=("completed", "reversal_pending", "reversed"),
    edges=(
        Edge(None, "completed", "transferred"),
        Edge(None, "reversal_pending", "reversal_due"),
        Edge(None, "reversed", "reversed"),
        Edge("completed", "completed", "reversed_in_part"),
        Edge("reversal_pending", "reversal_pending", "reversed_in_part"),
        Edge("permanently_failed", "permanently_failed", "reversed_in_part"),
        Edge("completed", "reversal_pending", "reversal_due"),
        Edge("completed", "reversed", "reversed"),
        Edge("reversal_pending", "reversed", "reversed"),
        Edge("reversal_pending", "permanently_failed", "reversal_given_up"),
        Edge("reversal_pending", "completed", "reversal_withdrawn"),
        Edge("completed", "permanently_failed", "reversal_given_up"),
        Edge("permanently_failed", "reversed", "late_success"),
    ),
    terminal=("reversed",),
)
