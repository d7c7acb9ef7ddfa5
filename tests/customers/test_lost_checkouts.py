"""`POST /api/credits/sessions` where Stripe does not say what it did: the session is found again, once."""

from __future__ import annotations

import pytest

from tests.api.house import customer, running
from tests.api.seed import Seed
from tests.customers.providers import forwarding
from tests.customers.test_checkouts import GOOD, PATH, opened
from tests.sandbox.worlds import KEY, World

pytestmark = pytest.mark.usefixtures("worker")


@pytest.mark.parametrize("misfortune", ["500", "hang", "429", "drop"])
async def test_a_provider_that_does_not_say_what_it_did(
    dsn: str, redis_url: str, stripe: World, seed: Seed, misfortune: str
) -> None:
    """Whatever becomes of its answer: one session there, and the same one here. A failure that the provider
    keeps under our key is overcome by looking for what it has done."""
    headers = {**customer("acc-1"), "Idempotency-Key": "buy-1"}
    async with (
        forwarding(stripe.url) as wire,
        running(dsn, redis_url, STRIPE_SECRET_KEY=KEY, STRIPE_API_BASE=wire.url) as shop,
    ):
        wire.spoil = [misfortune]
        answers = [await shop.post(PATH, headers, GOOD)]
        if answers[0].status != 200:
            answers.append(await shop.post(PATH, headers, GOOD))
    (session,) = await opened(stripe)

    assert [answer.status for answer in answers] == ([200] if misfortune == "500" else [503, 200])
    assert answers[-1].json == {"id": session.id, "url": session.url}
    assert await seed.rows("SELECT id, status FROM checkout_session") == [
        {"id": session.id, "status": "open"}
    ]


async def test_a_lost_session_is_given_to_one_customer_only(
    dsn: str, redis_url: str, stripe: World, seed: Seed
) -> None:
    """Two equal purchases under two keys, of which both answers are lost, stay two sessions; one of another
    amount is never taken for it."""
    async with (
        forwarding(stripe.url) as wire,
        running(dsn, redis_url, STRIPE_SECRET_KEY=KEY, STRIPE_API_BASE=wire.url) as shop,
    ):
        wire.spoil = ["500", "500", "500"]
        answers = [
            await shop.post(PATH, {**customer("acc-1"), "Idempotency-Key": key}, {**GOOD, "credits": bought})
            for key, bought in (("k1", 250), ("k2", 250), ("k3", 251))
        ]
    sessions = await opened(stripe)

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert {answer.json["id"] for answer in answers} == {session.id for session in sessions}
    assert await seed.rows("SELECT credits, count(*) FROM checkout_session GROUP BY 1 ORDER BY 1") == [
        {"credits": 250, "count": 2}, {"credits": 251, "count": 1},
    ]  # fmt: skip
