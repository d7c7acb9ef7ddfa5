"""Writes our own commands as events of the source `sluice`, for the log; pure: ids and times come in.

A body is canonical JSON: sorted keys, no white space, UTF-8. So one command under one event id has one body,
and appending it again is a duplicate and no conflict.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from billing.commands import (
    CheckoutOpened,
    CheckoutRefused,
    CheckoutRequested,
    Command,
    CreditsSpent,
    OrderPlaced,
    PaymentOpened,
    PaymentRefused,
    PlanSubscribed,
    RefundCallEnded,
    RefundRequested,
    ReversalEnded,
    SpendReversed,
)

SOURCE = "sluice"
"""The source of these events in log and inbox."""


def event_body(command: Command, event_id: str, created: int) -> bytes:
    """The event that says `command`, made at `created` (unix seconds): `{id, type, created, data}`.

    `psp.sluice.mapping.read` reads it back; what it would refuse (an empty id, an amount below zero) must not
    be written, and is a bug of the caller.
    """
    event_type, data = _said(command)
    event = {"id": event_id, "type": event_type, "created": created, "data": data}
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def event_type(command: Command) -> str:
    """The type of the event that says `command`."""
    return _said(command)[0]


_TYPES: dict[type[Command], str] = {
    OrderPlaced: "order.placed",
    PlanSubscribed: "plan.subscribed",
    PaymentOpened: "payment.opened",
    PaymentRefused: "payment.refused",
    CheckoutRequested: "checkout.requested",
    CheckoutOpened: "checkout.opened",
    CheckoutRefused: "checkout.refused",
    CreditsSpent: "credits.spent",
    SpendReversed: "spend.reversed",
    RefundRequested: "refund.requested",
}
"""What is told in its own fields."""


def _said(command: Command) -> tuple[str, dict[str, Any]]:
    data: dict[str, Any] = msgspec.to_builtins(command)
    match command:
        case RefundCallEnded():
            if command.psp_refund_id is not None:
                return "refund.accepted", data
            del data["psp_refund_id"]
            return "refund.refused", data
        case ReversalEnded():
            reversed_ = data.pop("status") == "reversed"
            return ("transfer.reversed" if reversed_ else "transfer.reversal_failed"), data
        case _:
            return _TYPES[type(command)], data
