"""Opens the payment of an order or a subscription at its provider, once both are committed; never before.

No connection is held while the provider is asked. What it answers is said in the log like anything else: the
payment that it has opened, or that it will open none.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from aiohttp import web

from api import errors, intents
from api.errors import ApiError
from api.world import REQUEST_ID, WORLD
from billing.commands import OrderPlaced, PaymentRefused, PlanSubscribed
from billing.terms import OrderTerms, Terms
from db import intents as rows
from psp.payments import OpenedPayment, PaymentRefusedError, Payments, PaymentUnavailableError
from psp.sluice import commands
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
        if error.is_final:
            command = PaymentRefused(payments.source, terms.key, error.kind)
            await intents.say(request, command, _refusal(terms), terms.id)
        raise _refused() from None
    except (PaymentUnavailableError, TimeoutError) as error:
        _tell(request, payments, error.kind if isinstance(error, PaymentUnavailableError) else "TimeoutError")
        raise errors.unavailable("The payment provider does not answer; try again") from None
    if known_id is None:
        await intents.say(
            request, placed(payments.source, opened.id, terms), f"{terms.key}:payment", terms.id
        )
    return opened


async def refuse_again(request: web.Request, terms: Terms) -> None:
    """Raises ApiError 502 where the provider has refused this payment for good; it is not asked again."""
    async with request.app[WORLD].connection() as connection:
        if await rows.outcome(connection, commands.SOURCE, _refusal(terms)) is not None:
            raise _refused()


def _refusal(terms: Terms) -> str:
    return f"{terms.key}:refused"


def _refused() -> ApiError:
    return ApiError(502, "PROVIDER_ERROR", "The payment provider refused the request")


def placed(source: str, payment_id: str | None, terms: Terms) -> OrderPlaced | PlanSubscribed:
    """The command that these terms are agreed, to be paid by this payment where it is known."""
    if isinstance(terms, OrderTerms):
        return OrderPlaced(source, payment_id, terms)
    return PlanSubscribed(source, payment_id, terms)


def _tell(request: web.Request, payments: Payments, kind: str) -> None:
    telemetry.logger().warning(
        "payment_not_opened", request_id=request[REQUEST_ID], source=payments.source, kind=kind
    )
