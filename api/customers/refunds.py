"""`POST /api/v1/orders/{id}/refund`: asks for a refund and says `pending`; only events tell how it ends."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from api import bodies, intents
from api.answers import json_answer
from api.customers import orders
from api.errors import ApiError
from api.idempotency import OPERATION
from billing import refund_window
from billing.commands import RefundRequested
from runtime import clock

_REFUSALS = {
    "refund_already_requested": ("REFUND_ALREADY_REQUESTED", "A refund of this order is already in progress"),
}
_UNPAID = frozenset({"pending", "failed", "cancelled"})
_NOT_REFUNDABLE = ("ORDER_NOT_REFUNDABLE", "This order cannot be refunded, or not by as much")


class RequestRefund(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How much, in minor units of the order's currency; all that is left when nothing is said."""

    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None = None


class OpenedRefund(msgspec.Struct):
    """A refund that is under way."""

    id: str
    status: str


class RequestedRefund(msgspec.Struct):
    """The refund, and a sentence for whoever asked for it."""

    refund: OpenedRefund
    message: str


async def request_refund(request: web.Request) -> web.Response:
    """Open a refund under this operation's id, for buyer or seller within the window."""
    order, refund_id = await orders.visible(request), str(request[OPERATION])
    # A row that has lost the time of its completion is as old as the order: the window never stays open.
    since = order.completed_at or (None if order.status in _UNPAID else order.created_at)
    if since is not None and not refund_window.is_open(since, clock.now()):
        raise ApiError(400, "REFUND_WINDOW_EXPIRED", "The time in which this order could be refunded is over")
    amount_minor = bodies.of(request, RequestRefund).amount_minor
    command = RefundRequested(order.source, order.terms.id, refund_id, amount_minor)
    outcome = await intents.say(request, command, f"refund:{refund_id}", refund_id)
    if outcome.state == "ignored":
        code, message = _REFUSALS.get(outcome.reason or "", _NOT_REFUNDABLE)
        raise ApiError(400, code, message)
    return json_answer(
        RequestedRefund(
            OpenedRefund(refund_id, "pending"), "The refund has been requested and is in progress"
        )
    )
