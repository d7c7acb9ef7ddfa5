"""Orders, transfers and reversals: direct payments, what sellers are given, and what is taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import stripe

from psp.sandbox.books_sales import order_status
from tests.sandbox.worlds import World

SELLER = {"sellerId": "seller-1", "sellerAmount": "800", "licences": "lic-1, lic-2"}


async def _sold(world: World, amount: int = 1_000, **metadata: str) -> stripe.PaymentIntent:
    """A paid order of seller-1, whose share is 800 of 1000 unless told otherwise."""
    intent = await world.order(amount, **(SELLER | metadata))
    await world.post(f"payment_intents/{intent.id}/pay")
    return await world.stripe.v1.payment_intents.retrieve_async(intent.id)


async def _transfer(world: World, intent: stripe.PaymentIntent, amount: int = 800) -> stripe.Transfer:
    params: Any = {
        "amount": amount,
        "currency": "usd",
        "destination": "acct_seller1",
        "source_transaction": intent.latest_charge,
        "metadata": {"orderId": intent.metadata["orderId"]},
    }
    return await world.stripe.v1.transfers.create_async(params)


async def test_a_transfer_passes_a_charge_on(world: World) -> None:
    """It inherits the group, moves money once, and its event says so."""
    intent = await _sold(world)
    transfer = await _transfer(world, intent)
    movement = await world.stripe.v1.balance_transactions.retrieve_async(str(transfer.balance_transaction))

    assert (transfer.amount, transfer.amount_reversed, transfer.reversed) == (800, 0, False)
    assert (transfer.transfer_group, transfer.metadata.to_dict()) == ("order-1", {"orderId": "order-1"})
    assert (movement.amount, movement.type, movement.source) == (-800, "transfer", transfer.id)
    assert [event["type"] for event in await world.events(transfer.id)] == ["transfer.created"]
    assert (await world.get("books"))["money"] == {
        "usd": {
            "charged": 1_000,
            "refunded": 0,
            "disputed": 0,
            "transferred": 800,
            "net": 200,
            "balanced": True,
        }
    }


async def test_a_full_reversal_takes_everything_back_once(world: World) -> None:
    """A second one is refused in Stripe's words, under its own key too; the first key repeats its answer."""
    transfer = await _transfer(world, await _sold(world))
    reversals = world.stripe.v1.transfers.reversals
    first = await reversals.create_async(transfer.id, {}, {"idempotency_key": "reverse-1"})
    again = await reversals.create_async(transfer.id, {}, {"idempotency_key": "reverse-1"})
    with pytest.raises(stripe.InvalidRequestError, match="has already been fully reversed") as second:
        await reversals.create_async(transfer.id, {}, {"idempotency_key": "reverse-2"})
    after = await world.stripe.v1.transfers.retrieve_async(transfer.id)
    event = (await world.events(transfer.id))[-1]

    assert (first.id, first.amount, first.transfer) == (again.id, 800, transfer.id)
    assert second.value.http_status == 400
    assert (after.amount_reversed, after.reversed) == (800, True)
    assert [each.id for each in after.reversals.data] == [first.id]
    assert event["type"] == "transfer.reversed"
    assert event["data"]["previous_attributes"] == {
        "amount_reversed": 0,
        "reversals": {"data": [], "total_count": 0},
        "reversed": False,
    }
    assert (await world.get("books"))["money"]["usd"]["transferred"] == 0


async def test_reversals_in_parts_never_exceed_the_transfer(world: World) -> None:
    """Twenty at once of 100 each take back 800 of 800, and the lists know them all."""
    transfer = await _transfer(world, await _sold(world))
    reversals = world.stripe.v1.transfers.reversals
    answers = await asyncio.gather(
        *(reversals.create_async(transfer.id, {"amount": 100}) for _ in range(20)), return_exceptions=True
    )
    listed = await reversals.list_async(transfer.id, {"limit": 3})
    everything = [each.id async for each in listed.auto_paging_iter()]
    made = {answer.id for answer in answers if not isinstance(answer, BaseException)}

    assert (len(made), set(everything)) == (8, made)
    assert (await reversals.retrieve_async(transfer.id, everything[0])).amount == 100
    assert (await world.stripe.v1.transfers.retrieve_async(transfer.id)).amount_reversed == 800


async def test_unfit_transfers_and_reversals_are_refused(world: World) -> None:
    """More than the charge has left, another currency, no destination, no such transfer."""
    intent = await _sold(world)
    transfer = await _transfer(world, intent, 300)
    transfers = world.stripe.v1.transfers
    charge: Any = intent.latest_charge
    with pytest.raises(stripe.InvalidRequestError, match="greater than what is left"):
        await _transfer(world, intent, 701)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed amount on transfer"):
        await transfers.reversals.create_async(transfer.id, {"amount": 301})
    with pytest.raises(stripe.InvalidRequestError, match="must be usd"):
        await transfers.create_async(
            {"amount": 1, "currency": "eur", "destination": "acct_1", "source_transaction": charge}
        )
    with pytest.raises(stripe.InvalidRequestError, match="No such destination"):
        await transfers.create_async({"amount": 1, "currency": "usd", "destination": "seller-1"})
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await transfers.reversals.create_async("tr_none")

    assert (unknown.value.http_status, unknown.value.code) == (404, "resource_missing")
    assert [each.id for each in (await transfers.list_async({"transfer_group": "order-1"})).data] == [
        transfer.id
    ]


async def test_a_change_of_metadata_is_an_update(world: World) -> None:
    """With what it was before."""
    transfer = await _transfer(world, await _sold(world))
    await world.stripe.v1.transfers.update_async(transfer.id, {"metadata": {"note": "late"}})
    event = (await world.events(transfer.id))[-1]

    assert event["type"] == "transfer.updated"
    assert event["data"]["previous_attributes"] == {"metadata": {"note": None}}


async def test_refused_reversals_succeed_in_the_end(world: World) -> None:
    """A 429 or 500 of chaos has done nothing and is not saved: the same key gets through later."""
    transfer = await _transfer(world, await _sold(world))
    await world.post("chaos", seed=1, rates={"refuse_reversals": 1.0})
    met: list[int | None] = []
    reversal = None
    while reversal is None and len(met) < 5:
        try:
            reversal = await world.stripe.v1.transfers.reversals.create_async(
                transfer.id, {}, {"idempotency_key": "one"}
            )
        except stripe.StripeError as error:
            met.append(error.http_status)

    assert reversal is not None
    assert 1 <= len(met) <= 3
    assert set(met) <= {429, 500}
    assert (await world.stripe.v1.transfers.retrieve_async(transfer.id)).amount_reversed == 800


async def test_a_card_may_fail_and_then_succeed(world: World) -> None:
    """Two charges of one payment; only the second moves money."""
    intent = await world.order()
    await world.post(f"payment_intents/{intent.id}/pay", outcome="fail_then_succeed")
    charges = (await world.stripe.v1.charges.list_async({"payment_intent": intent.id})).data

    assert [charge.status for charge in charges] == ["succeeded", "failed"]
    assert [event["type"] for event in await world.events(intent.id)] == [
        "payment_intent.created",
        "payment_intent.payment_failed",
        "payment_intent.succeeded",
    ]
    assert (await world.get("books"))["money"]["usd"]["charged"] == 1_000


async def test_a_bank_debit_of_a_direct_payment_is_processing_first(world: World) -> None:
    """The bank answers later; a payment that waits for nobody cannot be settled."""
    paid, failed = await world.order(), await world.order()
    for intent in (paid, failed):
        await world.post(f"payment_intents/{intent.id}/settle", status=400)
        await world.post(f"payment_intents/{intent.id}/pay", method="us_bank_account")
    await world.post(f"payment_intents/{paid.id}/settle")
    await world.post(f"payment_intents/{failed.id}/settle", outcome="fail")

    assert [event["type"] for event in await world.events(paid.id)] == [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.succeeded",
    ]
    assert (await world.events(failed.id))[-1]["type"] == "payment_intent.payment_failed"


async def test_the_books_know_what_a_seller_is_owed(world: World) -> None:
    """800 of 1000: 333 refunded takes 266, a dispute of 200 takes 160 more; then a reversal."""
    intent = await _sold(world)
    transfer = await _transfer(world, intent)
    owed = []

    async def note() -> None:
        owed.append((await world.get("books"))["sellers"]["seller-1"]["usd"])

    await note()
    await world.stripe.v1.refunds.create_async({"payment_intent": intent.id, "amount": 333})
    await note()
    dispute = await world.post(f"payment_intents/{intent.id}/dispute", amount=200)
    await note()
    await world.post(f"disputes/{dispute['id']}/close", outcome="won")
    await world.stripe.v1.transfers.reversals.create_async(transfer.id)
    await note()

    assert owed == [0, -266, -426, 800 - 266]
    assert (await world.get("books"))["transfers"] == {
        transfer.id: {"status": "reversed", "order": "order-1"}
    }


async def test_an_order_is_refunded_only_when_all_of_it_is(world: World) -> None:
    """A part leaves it completed; a refund that fails late brings it back."""
    intent = await _sold(world)
    refunds, states = world.stripe.v1.refunds, []

    async def note() -> None:
        states.append((await world.get("books"))["orders"]["order-1"]["status"])

    await refunds.create_async({"payment_intent": intent.id, "amount": 999})
    await note()
    last = await refunds.create_async({"payment_intent": intent.id})
    await note()
    await world.post(f"refunds/{last.id}/fail")
    await note()

    assert states == ["completed", "refunded", "completed"]
    assert (await world.get("books"))["orders"]["order-1"] == {
        "status": "completed",
        "amount": 1_000,
        "currency": "usd",
        "reversed": 999,
        "seller": "seller-1",
        "share": 800,
        "licences": ["lic-1", "lic-2"],
    }


async def test_an_order_without_a_share_or_seller(world: World) -> None:
    """A named seller gets all unless a share is named; the house keeps the rest; no buyer, no order."""
    whole = await world.order(orderId="order-2", sellerId="seller-2")
    house = await world.order(orderId="order-3")
    nobody = await world.order(orderId="order-4", buyerId="")
    for intent in (whole, house, nobody):
        await world.post(f"payment_intents/{intent.id}/pay")
    books = await world.get("books")

    assert books["sellers"] == {"seller-2": {"usd": 1_000}}
    assert set(books["orders"]) == {"order-2", "order-3"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "pending"),
        ({"last_error": "card_declined"}, "failed"),
        ({"status": "processing"}, "pending"),
        ({"status": "canceled"}, "cancelled"),
        ({"status": "succeeded"}, "completed"),
        ({"status": "succeeded", "refunds_pending": 1}, "refund_pending"),
        ({"status": "succeeded", "refunded": 1_000}, "refunded"),
    ],
)
def test_a_payment_says_how_its_order_stands(changes: dict[str, Any], expected: str) -> None:
    """The words of the product for each state of a payment."""
    row = {
        "status": "requires_payment_method",
        "amount": 1_000,
        "last_error": None,
        "refunded": 0,
        "refunds_pending": 0,
    }

    assert expected == order_status(row | changes)
