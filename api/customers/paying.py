"""Opens the payment of an order or a subscription at its provider, once both are committed; never before.

No connection is held while the provider is asked. What it answers is said in the log like anything else.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from aiohttp import web

from api import errors, intents
from api.errors import ApiError
from api.world import REQUEST_ID, WORLD
from billing.commands import OrderPlaced, PlanSubscribed
from billing.terms import OrderTerms, Terms
from psp.payments import OpenedPayment, PaymentRefusedError, Payments, PaymentUnavailableError
from runtime import telemetry

_OPEN_S_MAX = 18.0
"""For all calls that one payment takes: with the waits for the workers around it, less than the lease of an
idempotency key."""


def provider(request: web.Request, source: str | None, message: str) -> Payments:
    """The provider of this source, or (None) the preferred one. Raises ApiError 503 with `message`."""
    payments = request.app[WORLD].payments
    found = next(iter(payments.values()), None) if source is None else payments.get(source)
    if found is None:
        raise ApiError(503, "PROVIDER_NOT_CONFIGURED", message)
    return found


async def open_payment(
    request: web.Request, payments: Payments, terms: Terms, known_id: str | None, placed_at: datetime
) -> OpenedPayment:
    """The payment for these terms, made or found, and known to us. Raises ApiError 502 or 503."""
    try:
        async with asyncio.timeout(_OPEN_S_MAX):
            opened = await payments.open(terms, known_id, int(placed_at.timestamp()))
    except PaymentRefusedError as error:
        _tell(request, payments, error.kind)
        raise ApiError(502, "PROVIDER_ERROR", "The payment provider refused the request") from None
    except (PaymentUnavailableError, TimeoutError) as error:
        _tell(request, payments, error.kind if isinstance(error, PaymentUnavailableError) else "TimeoutError")
        raise errors.unavailable("The payment provider does not answer; try again") from None
    if known_id is None:
        await intents.say(
            request, placed(payments.source, opened.id, terms), f"{terms.key}:payment", terms.id
        )
    return opened


def placed(source: str, payment_id: str | None, terms: Terms) -> OrderPlaced | PlanSubscribed:
    """The command that these terms are agreed, to be paid by this payment where it is known."""
    if isinstance(terms, OrderTerms):
        return OrderPlaced(source, payment_id, terms)
    return PlanSubscribed(source, payment_id, terms)


def _tell(request: web.Request, payments: Payments, kind: str) -> None:
    telemetry.logger().warning(
        "payment_not_opened", request_id=request[REQUEST_ID], source=payments.source, kind=kind
    )
