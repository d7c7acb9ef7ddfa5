"""The merchant's side of the control plane: customers, processors and banks on demand, under
/sandbox/hyperswitch; it must never be reachable from outside.

JSON in, JSON out; refusals have Hyperswitch's shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from aiohttp import web

from psp.sandbox.api import Handler

from . import payments, reversals
from .api import fields_of
from .books import books
from .desk import HYPERSWITCH_DESK
from .fields import Fields
from .records import Dispute, Payment, Record, Refund
from .turn import Work

Act: TypeAlias = "Callable[[Work, str, Fields], Record]"
_OUTCOMES = (*payments.OUTCOMES, "fail_then_succeed")
_REASONS = ("fraudulent", "product_not_received", "duplicate", "general")
_OF_REFUND = {"succeed": "succeeded", "fail": "failed", "review": "review"}
_OF_DISPUTE = {
    "challenge": "dispute_challenged",
    "accept": "dispute_accepted",
    "expire": "dispute_expired",
    "cancel": "dispute_cancelled",
    "win": "dispute_won",
    "lose": "dispute_lost",
}


def routes() -> list[web.RouteDef]:
    """All routes of this merchant's control plane."""
    base = "/sandbox/hyperswitch"
    return [
        web.post(f"{base}/payments/{{id}}/pay", _acts(_pay)),
        web.post(f"{base}/payments/{{id}}/expire", _acts(_expire)),
        web.post(f"{base}/payments/{{id}}/dispute", _acts(_dispute)),
        *(web.post(f"{base}/refunds/{{id}}/{verb}", _acts(_decide(to))) for verb, to in _OF_REFUND.items()),
        *(web.post(f"{base}/disputes/{{id}}/{verb}", _acts(_move(to))) for verb, to in _OF_DISPUTE.items()),
        web.post(f"{base}/next_refunds", _next_refunds),
        web.get(f"{base}/books", _books),
        web.get(f"{base}/account", _account),
    ]


def _acts(act: Act) -> Handler:
    """A POST that changes one object and answers with it as the API would show it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        merchant = request.app[HYPERSWITCH_DESK]
        fields = await fields_of(request)
        with merchant.turn() as work:
            shape = merchant.view.show(act(work, request.match_info["id"], fields))
        return web.json_response(shape)

    return handle


def _pay(work: Work, payment_id: str, fields: Fields) -> Record:
    """`{"outcome": "succeed"|"fail"|"requires_action"|"processing"|"fail_then_succeed"}`: a customer with a
    card, or the bank's answer to what is under way.
    """
    outcome = fields.word("outcome", _OUTCOMES)
    payment = work.shelf.the(Payment, payment_id)
    for each in outcome.split("_then_"):
        payments.customer_acts(work, payment, each)
    return payment


def _expire(work: Work, payment_id: str, fields: Fields) -> Record:
    return payments.expire(work, work.shelf.the(Payment, payment_id))


def _dispute(work: Work, payment_id: str, fields: Fields) -> Record:
    """`{"amount": n|null, "reason": word}`."""
    amount, reason = fields.amount("amount"), fields.word("reason", _REASONS)
    return reversals.open_dispute(work, work.shelf.the(Payment, payment_id), amount, reason)


def _decide(status: str) -> Act:
    return lambda work, refund_id, _: reversals.become(work, work.shelf.the(Refund, refund_id), status)


def _move(status: str) -> Act:
    return lambda work, dispute_id, _: reversals.move_dispute(
        work, work.shelf.the(Dispute, dispute_id), status
    )


async def _next_refunds(request: web.Request) -> web.StreamResponse:
    """`{"status": "succeeded"|"pending"|"review"|"failed", "times": n}`: how the processor answers the next
    refunds; after that it lets them succeed again.
    """
    merchant, fields = request.app[HYPERSWITCH_DESK], await fields_of(request)
    status, times = fields.word("status", reversals.ANSWERS), fields.whole("times", 1, 1, 1_000)
    merchant.next_refunds.extend([status] * times)
    return web.json_response({"next_refunds": list(merchant.next_refunds)})


async def _books(request: web.Request) -> web.StreamResponse:
    return web.json_response(books(request.app[HYPERSWITCH_DESK].shelf))


async def _account(request: web.Request) -> web.StreamResponse:
    merchant = request.app[HYPERSWITCH_DESK].merchant
    return web.json_response({"merchant_id": merchant.id, "profile_id": merchant.profile_id})
