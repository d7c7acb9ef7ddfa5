"""Chaos: decided by seed and number alone, and forged letters that Stripe's own library refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import stripe

from psp.sandbox.chaos import BAD_DAY, CALM, FORGERIES, Chaos, Forgery, Rates, enriched, plan, rates_from
from psp.sandbox.signing import encode, forged, genuine
from tests.sandbox.worlds import World

SECRET = "whsec_chaos_0123456789"
NOW = 1_790_000_000
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "type": "checkout.session.completed",
    "data": {"object": {"id": "cs_1", "amount_total": 289, "metadata": {"credits": "250"}}},
}


def test_one_seed_gives_one_fate() -> None:
    """The same seed decides the same for every number, in any order; another seed decides otherwise."""
    first = [plan(7, number, BAD_DAY) for number in range(500)]
    again = [plan(7, number, BAD_DAY) for number in reversed(range(500))][::-1]

    assert first == again
    assert first != [plan(8, number, BAD_DAY) for number in range(500)]


def test_a_calm_sandbox_does_nothing_odd() -> None:
    """Without rates every plan is the plain one."""
    assert {plan(3, number, CALM) for number in range(200)} == {plan(3, 0, CALM)}
    assert plan(3, 0, CALM).dropped is False
    assert plan(3, 0, CALM).delay_s == 0.0


def test_rates_are_met_and_independent() -> None:
    """Over many events each share is about its rate, and switching one off leaves the others alone."""
    plans = [plan(1, number, BAD_DAY) for number in range(20_000)]
    undropped = [plan(1, number, Rates(duplicate=0.10, delay=0.15, forge=0.05)) for number in range(20_000)]

    assert sum(p.dropped for p in plans) / 20_000 == pytest.approx(0.03, abs=0.01)
    assert sum(p.forgery is not None for p in plans) / 20_000 == pytest.approx(0.05, abs=0.01)
    assert sum(p.delay_s > 0 for p in plans) / 20_000 == pytest.approx(0.15, abs=0.02)
    assert [p.forgery for p in plans] == [p.forgery for p in undropped]
    assert {p.forgery for p in plans} == {None, *FORGERIES}


def test_a_dropped_event_is_never_sent_in_any_form() -> None:
    """Neither a duplicate nor a second body of a dropped event goes out."""
    dropped = [
        p for n in range(5_000) if (p := plan(2, n, Rates(drop=0.5, duplicate=1.0, conflict=1.0))).dropped
    ]

    assert len(dropped) > 2_000
    assert {(p.duplicates_at_s, p.conflict_after_s) for p in dropped} == {((), None)}


async def test_numbers_count_from_where_the_seed_was_set(world: World) -> None:
    """A second run over kept books meets the misfortunes of the first."""
    numbers = []
    for _ in range(2):
        chaos = await world.post("chaos", seed=5, preset="calm")
        await world.buy()
        journal = await world.get(f"journal?after={chaos['from_seq']}")
        numbers.append([entry["chaos_number"] for entry in journal["items"]])

    assert numbers == [[0, 1, 2, 3]] * 2


async def test_reversals_shift_no_other_number(world: World) -> None:
    """When a receiver reverses a transfer is up to it; the plan's numbers go on as if it had not."""
    for number in range(2):
        transfer = await world.stripe.v1.transfers.create_async(
            {"amount": 5 + number, "currency": "usd", "destination": "acct_1"}
        )
        await world.stripe.v1.transfers.reversals.create_async(transfer.id)
    await world.order()

    assert [entry["chaos_number"] for entry in (await world.get("journal"))["items"]] == [0, -1, 1, -2, 2]


def test_some_reversals_are_refused_a_few_times() -> None:
    """By seed and number alone; about as many transfers as the rate says, each at most a few times."""
    chaos = Chaos(5, Rates(refuse_reversals=0.3))
    refused = [chaos.reversal_refusals(number) for number in range(2_000)]

    assert refused == [chaos.reversal_refusals(number) for number in range(2_000)]
    assert sum(map(bool, refused)) / 2_000 == pytest.approx(0.3, abs=0.05)
    assert {len(each) for each in refused} == {0, 1, 2, 3}
    assert {status for each in refused for status in each} == {429, 500}
    assert {Chaos(5).reversal_refusals(number) for number in range(200)} == {()}


def test_a_genuine_letter_is_genuine() -> None:
    """Stripe's own library takes it."""
    letter = genuine(encode(EVENT), SECRET, NOW)

    assert letter.signature == stripe.WebhookSignature.generate_signature_header(
        encode(EVENT).decode(), SECRET, NOW
    )


@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_forgery_verifies(forgery: Forgery) -> None:
    """Every forged letter fails on signature or time; only the two with a wrong time carry the true body."""
    letter = forged(encode(EVENT), SECRET, NOW, forgery, 400)
    fields = dict(part.partition("=")[::2] for part in (letter.signature or "").split(","))
    fresh = abs(int(fields.get("t") or 0) - NOW) <= 300
    expected = genuine(letter.body, SECRET, int(fields.get("t") or 0)).signature

    assert not (fresh and letter.signature == expected)
    assert (letter.body == encode(EVENT)) == (forgery in {"stale", "future"})


def test_a_forger_asks_for_more() -> None:
    """The tampered story grants a thousandfold under the same id and leaves the original alone."""
    story = enriched(EVENT)

    assert story["id"] == "evt_1"
    assert story["data"]["object"]["metadata"]["credits"] == "250000"
    assert EVENT["data"]["object"]["metadata"]["credits"] == "250"
    assert json.loads(encode(story)) == story


@pytest.mark.parametrize("rates", [{"drop": 1.1}, {"drop": -0.1}, {"drop": "x"}, {"dorp": 0.1}])
def test_impossible_rates_are_refused(rates: dict[str, object]) -> None:
    """A typing error in a rate is an error, not a calm day."""
    with pytest.raises((TypeError, ValueError)):
        rates_from(rates)
