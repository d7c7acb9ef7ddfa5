"""The control plane's customers: they pay or their card fails, and time passes for what they subscribe to.

As `control`, it must never be reachable from outside.
"""

from __future__ import annotations

from aiohttp import web

from . import invoices, payments, subscriptions
from .api import DESK, the
from .control import Body, acts, body_of
from .errors import StripeError, invalid, state
from .records import PaymentIntent, Record, Subscription
from .turn import Turn
from .versions import VERSIONS

_CARD = {"succeed": "pm_card_visa", "fail": "pm_card_chargeDeclined"}


def routes() -> list[web.RouteDef]:
    """All routes about direct payments, subscriptions and the account."""
    return [
        web.post("/sandbox/payment_intents/{id}/pay", acts(_pay_intent)),
        web.post("/sandbox/payment_intents/{id}/settle", acts(_settle_intent)),
        web.post("/sandbox/subscriptions/{id}/pay", acts(_pay_subscription)),
        web.post("/sandbox/subscriptions/{id}/advance", acts(_advance)),
        web.post("/sandbox/subscriptions/{id}/give_up", acts(_give_up)),
        web.post("/sandbox/subscriptions/{id}/trial_will_end", acts(_trial_will_end)),
        web.get("/sandbox/account", _get_account),
        web.post("/sandbox/account", _set_account),
    ]


def _pay_intent(turn: Turn, intent_id: str, body: Body) -> Record:
    """`{"method": "card"|"us_bank_account", "outcome": "succeed"|"fail"|"fail_then_succeed"}`: a customer
    pays what was asked for without a checkout. A bank debit is on its way: settle it.
    """
    method = body.word("method", payments.METHODS)
    outcome = body.word("outcome", ("succeed", "fail", "fail_then_succeed"))
    intent = the(turn.store, PaymentIntent, intent_id)
    if intent.checkout_session is not None or intent.status not in {
        "requires_payment_method",
        "requires_confirmation",
    }:
        raise StripeError(
            "This payment does not wait for a customer.", code="payment_intent_unexpected_state"
        )
    if method != "card":
        if outcome != "succeed":
            raise invalid("outcome", "a bank debit fails later: settle it")
        payments.debit_later(turn, intent)
        return intent
    for each in outcome.split("_then_"):
        payments.charge_now(turn, intent, _CARD[each])
        invoices.follow(turn, intent)
    return intent


def _settle_intent(turn: Turn, intent_id: str, body: Body) -> Record:
    """`{"outcome": "succeed"|"fail"}`: the bank's answer to a debit."""
    failed = body.word("outcome", ("succeed", "fail")) == "fail"
    intent = the(turn.store, PaymentIntent, intent_id)
    if intent.checkout_session is not None or intent.status != "processing":
        raise state("This payment is not processing.", "payment_intent_unexpected_state")
    payments.settle_debit(turn, intent, failed=failed)
    invoices.follow(turn, intent)
    return intent


def _pay_subscription(turn: Turn, subscription_id: str, body: Body) -> Record:
    """`{"outcome": "succeed"|"fail"}`: the customer pays the latest invoice, or the card fails."""
    card = _CARD[body.word("outcome", ("succeed", "fail"))]
    return subscriptions.pay_latest(turn, the(turn.store, Subscription, subscription_id), card)


def _advance(turn: Turn, subscription_id: str, body: Body) -> Record:
    """`{"outcome": "succeed"|"fail"|"draft"}`: the period or trial ends, and how the next one's bill goes."""
    outcome = body.word("outcome", ("succeed", "fail", "draft"))
    return subscriptions.advance(turn, the(turn.store, Subscription, subscription_id), outcome)


def _give_up(turn: Turn, subscription_id: str, body: Body) -> Record:
    return subscriptions.give_up(turn, the(turn.store, Subscription, subscription_id))


def _trial_will_end(turn: Turn, subscription_id: str, body: Body) -> Record:
    return subscriptions.trial_will_end(turn, the(turn.store, Subscription, subscription_id))


async def _get_account(request: web.Request) -> web.StreamResponse:
    return web.json_response({"api_version": request.app[DESK].events_version})


async def _set_account(request: web.Request) -> web.StreamResponse:
    """`{"api_version": …}`: the version in which the account's events are written from now on."""
    body = await body_of(request)
    if "api_version" not in body.fields:
        raise invalid("api_version", f"must be one of {', '.join(VERSIONS)}")
    request.app[DESK].set_events_version(body.word("api_version", VERSIONS))
    return await _get_account(request)
