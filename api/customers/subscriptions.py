"""`/api/v1/subscriptions`: subscribe to a plan of ours, get its payment again, and see what one has.

A plan that has to be paid grants nothing before its payment; what is free, or a trial, calls nobody.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from aiohttp import web

from api import bodies, catalogue, errors, intents
from api.amounts import iso_ms
from api.answers import json_answer
from api.customers import opening
from api.errors import ApiError
from api.idempotency import OPERATION
from api.world import CALLER, WORLD
from billing.commands import Command, PlanSubscribed
from billing.terms import PlanTerms
from db import catalogue as rows
from db import shop
from db.catalogue import Plan
from db.pool import type_connection
from db.shop import SubscriptionRow
from psp.calls import Opened
from psp.sluice.commands import SOURCE as OURS
from runtime import clock

NO_PROVIDER = "payment provider not configured \N{EM DASH} paid plans temporarily unavailable"
_PENDING, _EXPIRED = "pending_payment", "expired"
_DAY_S = 86_400


class Subscribe(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which plan a customer wants."""

    plan_id: catalogue.type_id


class SubscriptionAnswer(msgspec.Struct):
    """A subscription as it stands; without a provider nobody has to be paid."""

    id: str
    plan_id: str
    status: str
    provider: str | None
    payment_id: str | None
    amount_minor: int | None
    currency: str | None
    trial_ends_at: str | None
    created_at: str


class Subscribed(msgspec.Struct):
    """The subscription, its id and status once more beside it, and what completes its payment."""

    subscription: SubscriptionAnswer
    id: str
    status: str
    payment_id: str | None
    client_secret: str | None


class CurrentSubscription(msgspec.Struct):
    """The newest subscription that grants something."""

    subscription: SubscriptionAnswer


async def subscribe(request: web.Request) -> web.Response:
    """A subscription under this operation's id: committed first, with the intent to open its payment where
    there is any; then that.
    """
    subscription_id = str(request[OPERATION])
    found = await _find(request, subscription_id)
    if found is None:
        event_id = f"subscription:{subscription_id}"
        async with request.app[WORLD].connection() as connection, connection.transaction():
            command = await _agreed(connection, request, subscription_id)
            await intents.append(connection, request, command, event_id, subscription_id)
        await intents.outcome(request, event_id)
        found = await _find(request, subscription_id)
        assert found is not None, "the workers have applied it"
    never_opened = found.status == _EXPIRED and found.payment_id is None
    opened = await _open_payment(request, found) if found.status == _PENDING or never_opened else None
    return json_answer(await _subscribed(request, found, opened), status=201)


async def complete(request: web.Request) -> web.Response:
    """The payment of the caller's pending subscription once more, with the same secret."""
    found = await _find(request, request.match_info["id"])
    if found is None or not found.ours:
        # Another's subscription and no subscription look the same.
        raise errors.not_found("No such subscription")
    if found.status != _PENDING:
        raise ApiError(409, "SUBSCRIPTION_NOT_PENDING", "This subscription does not wait for a payment")
    return json_answer(await _subscribed(request, found, await _open_payment(request, found)))


async def show_current(request: web.Request) -> web.Response:
    """The caller's newest subscription that grants something."""
    now = clock.now_unix_s()
    async with request.app[WORLD].connection() as connection:
        held = await shop.list_subscriptions(connection, request[CALLER].name)
    found = next((each for each in held if each.held.grants(now)), None)
    if found is not None:
        return json_answer(CurrentSubscription(_answer(found)))
    if any(each.status == _PENDING for each in held):
        raise payment_pending()
    raise errors.not_found("No current subscription")


def payment_pending() -> ApiError:
    """403: what was subscribed to is not paid for yet."""
    return ApiError(403, "PAYMENT_PENDING", "complete payment")


async def _agreed(connection: type_connection, request: web.Request, subscription_id: str) -> Command:
    """What the customer agrees to, with the account's one trial where the plan has one. Raises ApiError."""
    account_id = request[CALLER].name
    plan = await rows.read_plan(connection, bodies.of(request, Subscribe).plan_id)
    if plan is None:
        raise errors.not_found("No such plan")
    if plan.trial_days and await shop.take_trial(connection, account_id, subscription_id):
        ends_at = clock.now_unix_s() + plan.trial_days * _DAY_S
        return PlanSubscribed(OURS, None, _terms(plan, subscription_id, account_id, ends_at))
    free = plan.amount_minor == 0
    source = OURS if free else opening.provider(request, None, NO_PROVIDER).source
    return PlanSubscribed(source, None, _terms(plan, subscription_id, account_id, None))


def _terms(plan: Plan, subscription_id: str, account_id: str, trial_ends_at: int | None) -> PlanTerms:
    return PlanTerms(subscription_id, account_id, plan.id, plan.amount_minor, plan.currency, trial_ends_at)


async def _open_payment(request: web.Request, found: SubscriptionRow) -> Opened:
    effects = opening.provider(request, found.source, NO_PROVIDER)
    return await opening.payment(request, effects, found.terms(request[CALLER].name), found.payment_id)


async def _find(request: web.Request, subscription_id: str) -> SubscriptionRow | None:
    """A subscription of the caller's."""
    async with request.app[WORLD].connection() as connection:
        held = await shop.list_subscriptions(connection, request[CALLER].name)
    return next((each for each in held if each.id == subscription_id), None)


async def _subscribed(request: web.Request, found: SubscriptionRow, opened: Opened | None) -> Subscribed:
    fresh = await _find(request, found.id)
    assert fresh is not None, "subscriptions are never deleted"
    answer = _answer(fresh)
    return Subscribed(
        subscription=answer,
        id=answer.id,
        status=answer.status,
        payment_id=answer.payment_id,
        client_secret=None if opened is None else opened.secret,
    )


def _answer(found: SubscriptionRow) -> SubscriptionAnswer:
    ends_at = found.trial_ends_at
    return SubscriptionAnswer(
        id=found.id,
        plan_id=found.plan_id,
        status=found.status,
        provider=None if found.source == OURS else found.source,
        payment_id=found.payment_id,
        amount_minor=found.amount_minor,
        currency=found.currency,
        trial_ends_at=None if ends_at is None else iso_ms(datetime.fromtimestamp(ends_at, UTC)),
        created_at=iso_ms(found.created_at),
    )
