"""What a set of subscriptions grants."""

from __future__ import annotations

from billing import entitlement
from billing.entitlement import Entitlement, Held
from billing.subscription import SUBSCRIPTION

NOW = 1_790_000_000


def test_only_active_and_trialing_grant() -> None:
    """Every state of the machine, one by one."""
    granting = {
        state for state in SUBSCRIPTION.states if entitlement.of([Held(state, "p")], NOW).access == "granted"
    }

    assert granting == {"active", "trialing"}


def test_a_pending_subscription_says_that_its_payment_is_awaited() -> None:
    """It grants nothing, and nothing is no answer to why."""
    held = [Held("pending_payment", "p"), Held("canceled", "p")]

    assert entitlement.of(held, NOW) == Entitlement("payment_pending")
    assert entitlement.of([Held("expired", "p")], NOW) == Entitlement("none")
    assert entitlement.of([], NOW) == Entitlement("none")


def test_what_one_subscription_grants_another_does_not_take() -> None:
    """Grants add up; each plan once."""
    held = [Held("active", "b"), Held("trialing", "a"), Held("pending_payment", "c")]

    assert entitlement.of([*held, *held], NOW) == Entitlement("granted", ("a", "b"))


def test_a_trial_of_ours_ends_by_time() -> None:
    """To the second; what was paid for meanwhile, and a PSP's trial, do not."""
    found = [
        entitlement.of([Held(status, "p", ends_at)], NOW).access
        for status, ends_at in (
            ("trialing", NOW + 1), ("trialing", NOW), ("trialing", None), ("active", NOW - 1),
        )
    ]  # fmt: skip

    assert found == ["granted", "none", "granted", "granted"]
