"""Reading Stripe's objects for the reconciler, from a real HTTP server: by which events they are told."""

from __future__ import annotations

import pytest

from psp.stripe.client import StripeApi
from psp.stripe.reads import StripeReader
from tests.support import stripe_events as made
from tests.support.stripe_stub import serving

TAKEN, BACK, TAKEN_AGAIN = -300, 300, -300


@pytest.mark.parametrize(
    ("moved", "word"),
    [
        ([], None),
        ([(1, TAKEN)], "withdrawn"),
        ([(1, TAKEN), (2, BACK)], "reinstated"),
        ([(2, BACK), (1, TAKEN)], "reinstated"),
        ([(1, TAKEN), (1, BACK)], "reinstated"),
        ([(1, TAKEN), (2, BACK), (3, TAKEN_AGAIN)], "withdrawn"),
        ([(3, TAKEN_AGAIN), (2, BACK), (1, TAKEN)], "withdrawn"),
    ],
)
async def test_a_dispute_is_told_by_the_last_movement_of_its_money(
    moved: list[tuple[int, int]], word: str | None
) -> None:
    """In whatever order Stripe lists the movements."""
    entries = [{"object": "balance_transaction", "created": at, "amount": amount} for at, amount in moved]
    dispute = made.dispute("pi_1", 300, "lost", id="dp_1", balance_transactions=entries)
    async with serving() as stub, StripeApi("sk_test_0123456789", stub.url) as api:
        stub.objects["/v1/disputes/dp_1"] = dispute
        sighting = await StripeReader(api).read("dispute", "dp_1", 5)

    assert sighting is not None
    assert sighting.event_types == (
        "charge.dispute.updated",
        *([f"charge.dispute.funds_{word}"] if word is not None else []),
    )
