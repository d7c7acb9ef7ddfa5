"""The control plane: banks and bad days, on demand; it must never be reachable from outside.

JSON in, JSON out, under /sandbox. A refusal is `{"error": {"message", …}}`, as under /v1.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeAlias

from aiohttp import web

from . import limits, payments, reversals
from .api import DESK, Handler, the
from .books import books
from .chaos import PRESETS, Chaos, rates_from
from .desk import FAULT_KINDS, ApiFault, Desk
from .errors import StripeError, invalid
from .records import Charge, CheckoutSession, Dispute, Event, PaymentIntent, Record, Refund
from .turn import Turn

Act: TypeAlias = "Callable[[Turn, str, Body], Record]"


class Body:
    """A JSON object with typed access; a wrong type is a refusal, never a guess."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def word(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the allowed words; the first one where it is absent."""
        value = self.fields.get(name, allowed[0])
        if value not in allowed:
            raise invalid(name, f"must be one of {', '.join(allowed)}")
        return str(value)

    def whole(self, name: str) -> int | None:
        """A whole number, or None where it is absent."""
        value = self.fields.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise invalid(name, "must be a whole number")
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is absent."""
        value = self.fields.get(name, False)
        if not isinstance(value, bool):
            raise invalid(name, "must be true or false")
        return value


def routes() -> list[web.RouteDef]:
    """All routes of the control plane."""
    return [
        web.post("/sandbox/checkout/sessions/{id}/pay", acts(_pay_session)),
        web.post("/sandbox/checkout/sessions/{id}/settle", acts(_settle_session)),
        web.post("/sandbox/payment_intents/{id}/dispute", acts(_dispute_intent)),
        web.post("/sandbox/charges/{id}/dispute", acts(_dispute_charge)),
        web.post("/sandbox/disputes/{id}/answer", acts(_answer_dispute)),
        web.post("/sandbox/disputes/{id}/close", acts(_close_dispute)),
        web.post("/sandbox/disputes/{id}/take_again", acts(_take_dispute_again)),
        web.post("/sandbox/refunds/{id}/succeed", acts(_succeed_refund)),
        web.post("/sandbox/refunds/{id}/fail", acts(_fail_refund)),
        web.get("/sandbox/chaos", _get_chaos),
        web.post("/sandbox/chaos", _set_chaos),
        web.post("/sandbox/api_faults", _add_api_fault),
        web.get("/sandbox/books", _books),
        web.get("/sandbox/stats", _stats),
        web.get("/sandbox/journal", _journal),
        web.post("/sandbox/settle", _settle),
        web.get("/health/live", _live),
    ]


@web.middleware
async def control_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals of the control plane as JSON. It has no key, so pages of other origins must not command it."""
    if not request.path.startswith("/sandbox/"):
        return await handler(request)
    try:
        _require_own_page(request)
        return await handler(request)
    except StripeError as error:
        return web.json_response(error.body, status=error.status)


def _require_own_page(request: web.Request) -> None:
    own = f"http://{request.host}"
    if request.headers.get("Origin", own) != own:
        raise StripeError("The sandbox takes no commands from other pages.", status=403)


async def body_of(request: web.Request) -> Body:
    """The request's JSON object; an empty body is an empty one."""
    text = await request.text()
    try:
        fields = json.loads(text) if text.strip() else {}
    except ValueError:
        raise StripeError("Invalid JSON body.") from None
    if not isinstance(fields, dict):
        raise StripeError("The body must be a JSON object.")
    return Body(fields)


def acts(act: Act) -> Handler:
    """A POST that changes one object and answers with it as the API would show it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        desk = request.app[DESK]
        body = await body_of(request)
        with desk.turn() as turn:
            shape = desk.view.show(act(turn, request.match_info["id"], body))
        return web.json_response(shape)

    return handle


def _pay_session(turn: Turn, session_id: str, body: Body) -> Record:
    """`{"method": "card"|"us_bank_account", "outcome": "succeed"|"fail"}`; only a card can fail at once."""
    method, outcome = body.word("method", payments.METHODS), body.word("outcome", ("succeed", "fail"))
    if method != "card" and outcome == "fail":
        raise invalid("outcome", "a bank debit fails later: settle it")
    session = the(turn.store, CheckoutSession, session_id)
    return payments.pay_session(turn, session, method, declined=outcome == "fail")


def _settle_session(turn: Turn, session_id: str, body: Body) -> Record:
    """`{"outcome": "succeed"|"fail"}`: the bank's answer to a debit."""
    failed = body.word("outcome", ("succeed", "fail")) == "fail"
    return payments.settle_session(turn, the(turn.store, CheckoutSession, session_id), failed=failed)


def _dispute_intent(turn: Turn, intent_id: str, body: Body) -> Record:
    intent = the(turn.store, PaymentIntent, intent_id)
    return _dispute_charge(turn, intent.latest_charge or "", body)


def _dispute_charge(turn: Turn, charge_id: str, body: Body) -> Record:
    """`{"amount": n|null, "reason": word, "inquiry": bool}`."""
    return reversals.open_dispute(
        turn,
        the(turn.store, Charge, charge_id),
        amount=body.whole("amount"),
        reason=body.word("reason", reversals.DISPUTE_REASONS),
        inquiry=body.flag("inquiry"),
    )


def _answer_dispute(turn: Turn, dispute_id: str, body: Body) -> Record:
    return reversals.answer_dispute(turn, the(turn.store, Dispute, dispute_id))


def _close_dispute(turn: Turn, dispute_id: str, body: Body) -> Record:
    """`{"outcome": "lost"|"won"}`."""
    won = body.word("outcome", ("lost", "won")) == "won"
    return reversals.close_dispute(turn, the(turn.store, Dispute, dispute_id), won=won)


def _take_dispute_again(turn: Turn, dispute_id: str, body: Body) -> Record:
    return reversals.take_again(turn, the(turn.store, Dispute, dispute_id))


def _succeed_refund(turn: Turn, refund_id: str, body: Body) -> Record:
    return reversals.succeed_refund(turn, the(turn.store, Refund, refund_id))


def _fail_refund(turn: Turn, refund_id: str, body: Body) -> Record:
    """`{"reason": word}`: the bank sends the money back."""
    reason = body.word("reason", reversals.REFUND_FAILURES)
    return reversals.fail_refund(turn, the(turn.store, Refund, refund_id), reason)


def _shown(chaos: Chaos) -> dict[str, Any]:
    return {"seed": chaos.seed, "rates": asdict(chaos.rates), "from_seq": chaos.from_seq}


async def _get_chaos(request: web.Request) -> web.StreamResponse:
    return web.json_response(_shown(request.app[DESK].chaos))


async def _set_chaos(request: web.Request) -> web.StreamResponse:
    """`{"seed": n}` with `preset` (`calm`, `bad_day`) or `rates`; answers with the place where it begins."""
    body = await body_of(request)
    given = body.fields.get("rates")
    try:
        rates = PRESETS[body.word("preset", tuple(PRESETS))] if given is None else rates_from(given)
    except (TypeError, ValueError) as error:
        raise invalid("rates", str(error)) from None
    chaos = request.app[DESK].set_chaos(body.whole("seed") or 0, rates)
    return web.json_response(_shown(chaos))


async def _add_api_fault(request: web.Request) -> web.StreamResponse:
    """`{"kind": "status"|"drop_before"|"drop_after", "path": "/v1/…", "times": n, "status": n}`;
    the path may also begin with `/hyperswitch/`.
    """
    body = await body_of(request)
    path, status = body.fields.get("path", "/v1/"), body.whole("status")
    if not isinstance(path, str) or not path.startswith(("/v1/", "/hyperswitch/")):
        raise invalid("path", "must begin with /v1/ or /hyperswitch/")
    status = 500 if status is None else status
    if not 400 <= status <= 599:
        raise invalid("status", "must be between 400 and 599")
    desk = request.app[DESK]
    if len(desk.api_faults) >= limits.api_faults_max:
        raise StripeError("Too many faults wait already.")
    fault = ApiFault(body.word("kind", FAULT_KINDS), path, body.whole("times") or 1, status)
    desk.api_faults.append(fault)
    return web.json_response(asdict(fault))


async def _books(request: web.Request) -> web.StreamResponse:
    return web.json_response(books(request.app[DESK].store))


def stats(desk: Desk) -> dict[str, Any]:
    """What this process has sent and received so far, and how many letters are still scheduled."""
    return asdict(desk.deliverer.stats) | {"scheduled": desk.deliverer.scheduled}


async def _stats(request: web.Request) -> web.StreamResponse:
    return web.json_response(stats(request.app[DESK]))


async def _journal(request: web.Request) -> web.StreamResponse:
    """`?after=<seq>&limit=`: what became of each event, oldest first, with the digests of its bodies."""
    after, limit = request.query.get("after", "0"), request.query.get("limit", str(limits.journal_rows_max))
    if not (after.isascii() and after.isdigit() and limit.isascii() and limit.isdigit()):
        raise invalid("after", "after and limit must be whole numbers")
    rows = max(1, min(int(limit), limits.journal_rows_max))
    events = request.app[DESK].store.many(Event, "journal_page", after=int(after), rows=rows)
    items = [
        {
            "seq": event.seq,
            "id": event.id,
            "type": event.type,
            "created": event.created,
            "object_id": event.object_id,
            "body_sha256": event.body_sha256,
            "chaos_number": event.chaos_index,
            "dropped": event.dropped,
            "delivered": event.delivered_at is not None,
            "gave_up": event.gave_up,
            "attempts": event.attempts,
            "acknowledged": event.acknowledged,
            "conflict_sha256": event.conflict_sha256,
            "conflict_acknowledged": event.conflict_acknowledged,
        }
        for event in events
    ]
    return web.json_response({"items": items, "next_after": events[-1].seq if len(events) == rows else None})


async def _settle(request: web.Request) -> web.StreamResponse:
    """`{"timeout_s": n}`: answers when nothing is scheduled any more, or when the time is over."""
    body = await body_of(request)
    timeout_s = body.fields.get("timeout_s", 30.0)
    if (
        isinstance(timeout_s, bool)
        or not isinstance(timeout_s, int | float)
        or not 0 <= timeout_s <= limits.settle_s_max
    ):
        raise invalid("timeout_s", f"must be a number from 0 to {limits.settle_s_max:g}")
    desk = request.app[DESK]
    settled = await desk.deliverer.settled(float(timeout_s))
    return web.json_response({"settled": settled, "stats": stats(desk)})


async def _live(request: web.Request) -> web.StreamResponse:
    return web.json_response({"status": "ok"})
