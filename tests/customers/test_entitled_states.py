"""What each state of a mirrored subscription lets its customer use, asked over HTTP."""

from __future__ import annotations

import pytest

from tests.api.house import House, customer
from tests.api.seed import Seed
from tests.support import stripe_events as made

PENDING = (403, "PAYMENT_PENDING")
NOTHING = (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("psp_status", "state", "refusal"),
    [
        ("active", "active", None),
        ("trialing", "trialing", None),
        ("incomplete", "pending_payment", PENDING),
        ("past_due", "past_due", NOTHING),
        ("unpaid", "suspended", NOTHING),
        ("paused", "suspended", NOTHING),
        ("incomplete_expired", "expired", NOTHING),
        ("canceled", "canceled", NOTHING),
    ],
)
async def test_only_active_and_trialing_grant(
    shop: House, seed: Seed, psp_status: str, state: str, refusal: tuple[int, str] | None
) -> None:
    """The eight cases of the old predicate: whoever has not paid has nothing, on every endpoint that could
    tell otherwise. Past due grants nothing either, which the system before this one left to a policy.
    """
    told = made.subscription(psp_status, metadata={"accountId": "u1"})
    await seed.applied(made.event("customer.subscription.created", told))
    status = await seed.value("SELECT status FROM subscription")
    current = await shop.get("/api/v1/subscriptions/current", customer("u1"))
    entitled = await shop.get("/api/v1/entitlements", customer("u1"))
    credits = await shop.get("/api/accounts/u1/credits", customer("u1"))

    assert status == state
    assert credits.json["is_pro"] is (refusal is None)
    if refusal is None:
        assert (current.status, current.json["subscription"]["status"]) == (200, state)
        assert entitled.json["access"] == "granted"
    else:
        assert (current.status, current.json["code"]) == refusal
        if refusal == PENDING:
            assert (entitled.status, entitled.json["code"], entitled.json["error"]) == (
                *PENDING,
                "complete payment",
            )
        else:
            assert (entitled.status, entitled.json["access"], entitled.json["plans"]) == (200, "none", [])
