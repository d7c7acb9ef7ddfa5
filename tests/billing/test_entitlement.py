"""What a set of subscriptions grants."""

from __future__ import annotations

from billing import entitlement
from billing.entitlement import Entitlement
from billing.ordering import CREATED, Value, Version
from billing.subscription import SUBSCRIPTION, Subscription


def subscription(status: str, price_id: str = "price_1") -> Subscription:
    """A subscription in this state."""
    values: dict[str, Value] = {
        "status": status,
        "customer_id": "cus_1",
        "account_id": "a",
        "price_id": price_id,
        "cancel_at_period_end": False,
        "current_period_start": 1,
        "current_period_end": 31,
        "trial_end": None,
        "canceled_at": None,
        "ended_at": None,
        "latest_invoice_id": None,
    }
    return Subscription("stripe", f"sub_{price_id}", status, (Version("evt_1", 1, CREATED, values, None),))


def test_only_active_and_trialing_grant() -> None:
    """Every state of the machine, one by one."""
    granting = {
        state for state in SUBSCRIPTION.states if entitlement.of([subscription(state)]).access == "granted"
    }

    assert granting == {"active", "trialing"}


def test_a_pending_subscription_says_that_its_payment_is_awaited() -> None:
    """It grants nothing, and nothing is no answer to why."""
    assert entitlement.of([subscription("pending_payment"), subscription("canceled")]) == Entitlement(
        "payment_pending"
    )
    assert entitlement.of([subscription("expired")]) == Entitlement("none")
    assert entitlement.of([]) == Entitlement("none")


def test_what_one_subscription_grants_another_does_not_take() -> None:
    """Grants add up; each price once."""
    held = [subscription("active", "b"), subscription("trialing", "a"), subscription("pending_payment", "c")]

    assert entitlement.of([*held, *held]) == Entitlement("granted", ("a", "b"))
