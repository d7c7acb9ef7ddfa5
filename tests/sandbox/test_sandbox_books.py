"""The books against cases computed by hand: 250 credits bought for 289 cents."""

from __future__ import annotations

from typing import Any

import pytest

from psp.sandbox.books import granted, taken
from tests.sandbox.worlds import TOPUP, World


@pytest.mark.parametrize(
    ("reversed_amount", "expected"), [(0, 0), (1, 0), (2, 1), (100, 86), (288, 249), (289, 250), (578, 500)]
)
def test_credits_taken_are_in_proportion_and_rounded_down(reversed_amount: int, expected: int) -> None:
    """250 · R // 289, beyond what was granted too: what went back twice is owed."""
    assert expected == taken(250, 289, reversed_amount)


@pytest.mark.parametrize(
    ("metadata", "amount", "currency"),
    [
        ({"credits": "250"}, 289, "usd"),
        ({"accountId": "a"}, 289, "usd"),
        *(({"accountId": "a", "credits": text}, 289, "usd") for text in ("0", "-5", "2.5", "a few", "", "٢")),
        ({"accountId": "a", "credits": "250"}, 249, "usd"),
        ({"accountId": "a", "credits": "250"}, 289, "eur"),
    ],
)
def test_unbelievable_sales_grant_nothing(metadata: dict[str, str], amount: int, currency: str) -> None:
    """No account, no credits, too cheap or the wrong currency."""
    assert granted(metadata, amount, currency) == 0


async def _refund(world: World, payment: str, amount: int | None = None) -> str:
    params: Any = {"payment_intent": payment} | ({} if amount is None else {"amount": amount})
    return (await world.stripe.v1.refunds.create_async(params)).id


async def test_partial_refunds_take_credits_over_their_sum(world: World) -> None:
    """Three refunds of 1, 1 and 98 cents take floor(250 · 100 / 289) = 86, not the sum of three floors."""
    payment = await world.buy()
    for amount in (1, 1, 98):
        await _refund(world, payment, amount)

    assert await world.credits() == 250 - 86


async def test_a_refund_that_fails_gives_credits_back(world: World) -> None:
    """Refunding 289 takes all; its failure gives all back; a second refund of 145 takes 125."""
    payment = await world.buy()
    refund = await _refund(world, payment)
    refunded = await world.credits()
    await world.post(f"refunds/{refund}/fail")
    failed = await world.credits()
    await _refund(world, payment, 145)

    assert (refunded, failed, await world.credits()) == (0, 250, 250 - 125)
    assert (await world.get("books"))["money"] == {
        "usd": {
            "charged": 289,
            "refunded": 145,
            "disputed": 0,
            "transferred": 0,
            "net": 144,
            "balanced": True,
        }
    }


async def test_a_dispute_takes_credits_until_it_is_won(world: World) -> None:
    """Withdrawal takes, a win gives back; a loss keeps; an inquiry never takes."""
    won, lost, asked = [await world.buy() for _ in range(3)]
    dispute = await world.post(f"payment_intents/{won}/dispute", amount=100)
    disputed = await world.credits()
    await world.post(f"disputes/{dispute['id']}/answer")
    await world.post(f"disputes/{dispute['id']}/close", outcome="won")
    reinstated = await world.credits()
    other = await world.post(f"payment_intents/{lost}/dispute", amount=100)
    await world.post(f"disputes/{other['id']}/close", outcome="lost")
    inquiry = await world.post(f"payment_intents/{asked}/dispute", inquiry=True)
    await world.post(f"disputes/{inquiry['id']}/close")

    assert (disputed, reinstated, await world.credits()) == (750 - 86, 750, 750 - 86)


async def test_a_dispute_that_was_won_can_be_lost_for_good(world: World) -> None:
    """Its money goes, comes back and goes again, each in a second of its own; then no more."""
    payment = await world.buy()
    dispute = await world.post(f"payment_intents/{payment}/dispute", amount=100)
    path = f"disputes/{dispute['id']}/take_again"
    await world.post(path, status=400)
    await world.post(f"disputes/{dispute['id']}/close", outcome="won")
    await world.post(path, status=400)
    world.clock.ahead_s += 2
    lost = await world.post(path)
    await world.post(path, status=400)
    money = (await world.get("books"))["money"]["usd"]

    assert (lost["status"], len(lost["balance_transactions"])) == ("lost", 3)
    assert [part["amount"] for part in lost["balance_transactions"]] == [-100, 100, -100]
    assert (money["disputed"], money["net"], money["balanced"]) == (100, 189, True)
    assert await world.credits() == 250 - 86


async def test_a_refund_and_a_dispute_take_back_what_each_moved(world: World) -> None:
    """200 refunded and 289 disputed is 489 of 289: the account owes what went back twice."""
    payment = await world.buy()
    await _refund(world, payment, 200)
    await world.post(f"payment_intents/{payment}/dispute")
    books = await world.get("books")

    assert books["accounts"] == {"acc-1": {"credits": -173, "granted": 250, "taken": 423, "purchases": 1}}
    assert books["money"]["usd"]["net"] == 289 - 200 - 289


async def test_a_bank_debit_counts_when_the_bank_has_paid(world: World) -> None:
    """Unpaid grants nothing, success grants, failure never does; a refund of it waits for the bank."""
    sessions = [await world.open() for _ in range(2)]
    for session in sessions:
        await world.post(f"checkout/sessions/{session.id}/pay", method="us_bank_account")
    unpaid = await world.credits()
    paid = await world.post(f"checkout/sessions/{sessions[0].id}/settle", outcome="succeed")
    await world.post(f"checkout/sessions/{sessions[1].id}/settle", outcome="fail")
    settled = await world.credits()
    refund = await _refund(world, paid["payment_intent"], 100)
    pending = await world.credits()
    await world.post(f"refunds/{refund}/succeed")

    assert (unpaid, settled, pending, await world.credits()) == (0, 250, 250, 250 - 86)


async def test_unbelievable_and_foreign_sales_are_not_in_anybodys_favour(world: World) -> None:
    """Money is charged all the same; only accounts that a top-up names are listed."""
    foreign = await world.open(metadata={"order": "7"})
    odd = await world.open(metadata=TOPUP | {"credits": "a few"})
    for session in (foreign, odd):
        await world.post(f"checkout/sessions/{session.id}/pay")
    books = await world.get("books")

    assert books["accounts"] == {"acc-1": {"credits": 0, "granted": 0, "taken": 0, "purchases": 0}}
    assert books["totals"]["refused"] == 1
    assert books["money"]["usd"] == {
        "charged": 578,
        "refunded": 0,
        "disputed": 0,
        "transferred": 0,
        "net": 578,
        "balanced": True,
    }


async def test_a_payment_of_a_session_is_not_counted_twice(world: World) -> None:
    """A session whose payment is marked off-session, too, is one sale: one crediting path per payment."""
    await world.buy(metadata=TOPUP | {"paymentMethod": "off_session"})

    assert await world.credits() == 250
