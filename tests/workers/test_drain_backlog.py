"""A backlog of more than one claim: connections share it, and nothing is left, lost or applied twice."""

from __future__ import annotations

from runtime import limits
from tests.support import stripe_events as made
from tests.workers.conftest import House


async def test_a_backlog_is_applied_wholly_in_one_drain(house: House) -> None:
    """Refunds whose payment is in another batch, before or after them, are applied in the same drain."""
    purchases = limits.claim_batch_rows_max * limits.drain_helpers  # with the refunds a batch for each
    sessions = [made.checkout(account=f"cust_{number % 7}") for number in range(purchases)]
    refunds = [
        made.event("refund.created", made.refund(session["payment_intent"], 289)) for session in sessions[::2]
    ]
    await house.receive(*refunds[::2])
    await house.receive(*(made.event("checkout.session.completed", session) for session in sessions))
    await house.receive(*refunds[1::2])
    await house.drain()

    balances = [await house.credits(f"cust_{number}") for number in range(7)]
    assert {("applied", None)} == set(await house.outcomes())
    assert (purchases - len(refunds)) * 250 == sum(balances)
