"""One scripted bad day of a PSP: what is delivered, in which order, and what must have come of it. Knows
no receiver.

A scenario is a list of deliveries about one subscription of its own. The final status is what Stripe
itself would
show; an answer class is what a PSP needs to know: taken (2xx), refused (4xx), or broken (anything else).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import bodies

CREATED = bodies.CREATED
TAKEN, REFUSED, NOT_BROKEN = "taken", "refused", "not broken"
OVERSIZE_BYTES = 1_048_576
"""Four times what any PSP sends; a receiver may take it or refuse it, but must live on."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery: its body, how it is signed, and the class of answer that is right."""

    body: bytes
    answer: str = TAKEN
    secret: str = bodies.SECRET
    skew_s: int = 0
    kill_after: bool = False
    """Every process of the receiver is killed at the moment of the answer, and started again."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """The receiver reads the subscription at the PSP, after the deliveries of the scenario."""

    known: str
    """The status that the PSP knows when it is asked, and answers with, however late."""
    meanwhile: Callable[[int], Delivery] | None = None
    """Made at the unix second given: it is delivered, and takes effect, between the question and the
    answer.
    """


@dataclass(frozen=True, slots=True)
class Scenario:
    """`status` is the final status of `subscription`; None: it must not exist."""

    name: str
    subscription: str
    deliveries: tuple[Delivery, ...]
    status: str | None
    others: tuple[dict[str, Any], ...] = ()
    """Further objects that the PSP knows by then, for receivers that read them back."""
    at_first: str | None = None
    """The status that the PSP shows during the deliveries; None: the final one."""
    backfill: Backfill | None = None


def _price() -> dict[str, Any]:
    """What every subscription of the day is for."""
    return {
        "id": "price_bench",
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": CREATED,
        "currency": "usd",
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": "prod_bench",
        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": 2000,
        "unit_amount_decimal": "2000",
    }


def _items(number: str) -> dict[str, Any]:
    """Its one item."""
    return {
        "object": "list",
        "has_more": False,
        "total_count": 1,
        "url": "/v1/subscription_items",
        "data": [
            {
                "id": f"si_day{number}",
                "object": "subscription_item",
                "created": CREATED,
                "metadata": {},
                "price": _price(),
                "quantity": 1,
                "subscription": f"sub_day{number}",
                "tax_rates": [],
                "current_period_start": CREATED,
                "current_period_end": CREATED + 2_592_000,
            }
        ],
    }


def subscription(number: str, status: str) -> dict[str, Any]:
    """A subscription as Stripe shows it, with all that mirrors want to see."""
    return {
        "id": f"sub_day{number}",
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"enabled": False},
        "billing_cycle_anchor": CREATED,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": CREATED + 120 if status == "canceled" else None,
        "collection_method": "charge_automatically",
        "created": CREATED,
        "currency": "usd",
        "current_period_start": CREATED,
        "current_period_end": CREATED + 2_592_000,
        "customer": f"cus_day{number}",
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discount": None,
        "discounts": [],
        "ended_at": CREATED + 120 if status == "canceled" else None,
        "items": _items(number),
        "latest_invoice": None,
        "livemode": False,
        "metadata": {"accountId": f"day_{number}"},
        "next_pending_invoice_item_invoice": None,
        "pause_collection": None,
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "quantity": 1,
        "schedule": None,
        "start_date": CREATED,
        "status": status,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_start": None,
    }


def event(
    name: str,
    kind: str,
    subject: dict[str, Any],
    second: int = CREATED,
    previous: dict[str, Any] | None = None,
) -> bytes:
    """An event about `subject`, created at `second`."""
    data: dict[str, Any] = {"object": subject}
    if previous is not None:
        data["previous_attributes"] = previous
    made = {
        "id": f"evt_day{name}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": second,
        "data": data,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }
    return json.dumps(made, indent=2).encode()


def script(run: str) -> list[Scenario]:
    """The whole day; `run` makes its ids differ from those of any other run."""
    parts: list[Callable[[str], Scenario]] = [
        _plain,
        _duplicates,
        _reversed_order,
        _same_second,
        _late_after_delete,
        _unknown_type,
        _forged,
        _stale,
        _future,
        _conflicting,
        _oversize,
        _missed,
        _race,
        _killed,
    ]
    return [part(f"{run}{place}") for place, part in enumerate(parts)]


def _made(n: str, status: str = "active") -> bytes:
    return event(f"{n}a", "customer.subscription.created", subscription(n, status))


def _late_payment(n: str, second: int = CREATED + 60) -> bytes:
    changed = subscription(n, "past_due")
    return event(f"{n}b", "customer.subscription.updated", changed, second, {"status": "active"})


def _plain(n: str) -> Scenario:
    return Scenario("in order", f"sub_day{n}", (Delivery(_made(n)), Delivery(_late_payment(n))), "past_due")


def _duplicates(n: str) -> Scenario:
    again = (Delivery(_made(n)),) * 2
    late = (Delivery(_late_payment(n)),) * 3
    return Scenario(
        "duplicates, also of the past", f"sub_day{n}", (*again, *late, Delivery(_made(n))), "past_due"
    )


def _reversed_order(n: str) -> Scenario:
    return Scenario("reversed", f"sub_day{n}", (Delivery(_late_payment(n)), Delivery(_made(n))), "past_due")


def _same_second(n: str) -> Scenario:
    deliveries = (Delivery(_late_payment(n, CREATED)), Delivery(_made(n)))
    return Scenario("reversed within a second", f"sub_day{n}", deliveries, "past_due")


def _late_after_delete(n: str) -> Scenario:
    gone = event(f"{n}c", "customer.subscription.deleted", subscription(n, "canceled"), CREATED + 120)
    return Scenario(
        "late after delete",
        f"sub_day{n}",
        (Delivery(_made(n)), Delivery(gone), Delivery(_late_payment(n))),
        "canceled",
    )


def _unknown_type(n: str) -> Scenario:
    unknown = event(f"{n}d", "bench.invented", {"id": f"inv_{n}", "object": "bench.invention"})
    return Scenario("unknown type", f"sub_day{n}", (Delivery(_made(n)), Delivery(unknown)), "active")


def _forged(n: str) -> Scenario:
    forged = Delivery(_late_payment(n), REFUSED, secret=f"{bodies.SECRET}x")
    return Scenario("forged", f"sub_day{n}", (Delivery(_made(n)), forged), "active")


def _stale(n: str) -> Scenario:
    stale = Delivery(_late_payment(n), REFUSED, skew_s=-3_600)
    return Scenario("stale", f"sub_day{n}", (Delivery(_made(n)), stale), "active")


def _future(n: str) -> Scenario:
    future = Delivery(_late_payment(n), REFUSED, skew_s=3_600)
    return Scenario("from the future", f"sub_day{n}", (Delivery(_made(n)), future), "active")


def _conflicting(n: str) -> Scenario:
    other = event(f"{n}a", "customer.subscription.created", subscription(n, "past_due"))
    return Scenario(
        "another body under a known id", f"sub_day{n}", (Delivery(_made(n)), Delivery(other)), "active"
    )


def _oversize(n: str) -> Scenario:
    large = subscription(f"{n}large", "active") | {"description": "x" * OVERSIZE_BYTES}
    huge = Delivery(event(f"{n}e", "customer.subscription.created", large), NOT_BROKEN)
    return Scenario("oversize", f"sub_day{n}", (huge, Delivery(_made(n))), "active", (large,))


def _missed(n: str) -> Scenario:
    """Shows that a receiver's backfill does bring what was missed: without it, one that reads and writes
    nothing would win every race.
    """
    return _backfilled(n, "backfill of what was missed", Backfill("past_due"))


def _race(n: str) -> Scenario:
    newer = Backfill("active", lambda second: Delivery(_late_payment(n, second)))
    return _backfilled(n, "backfill race", newer)


def _backfilled(n: str, name: str, backfill: Backfill) -> Scenario:
    made = (Delivery(_made(n)),)
    return Scenario(name, f"sub_day{n}", made, "past_due", at_first="active", backfill=backfill)


def _killed(n: str) -> Scenario:
    deliveries = (Delivery(_made(n)), Delivery(_late_payment(n), kill_after=True))
    return Scenario("kill -9 after the answer", f"sub_day{n}", deliveries, "past_due")
