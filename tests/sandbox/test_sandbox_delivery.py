"""Deliveries: signed, retried byte for byte, dropped, doubled, forged, and booked as delivered or not."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from psp.sandbox.delivery import Patience
from tests.sandbox.worlds import Receiver, World, world_at
from tests.support.poll import until
from tests.support.ports import free_port

QUICK = Patience(attempts_max=3, first_s=0.01, max_s=0.02)


async def test_a_purchase_is_told_in_signed_events(world: World, receiver: Receiver) -> None:
    """Four events for a card, each verified by Stripe's own library, in the newest version's shape."""
    payment = await world.buy()
    await world.settled()
    completed = next(x.event for x in receiver.letters if x.event["type"] == "checkout.session.completed")

    assert all(letter.verified() for letter in receiver.letters)
    assert Counter(receiver.types) == Counter(
        [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded",
            "checkout.session.completed",
        ]
    )
    assert completed["data"]["object"]["payment_intent"] == payment
    assert (completed["api_version"], completed["livemode"]) == ("2026-10-28.endive", False)
    assert {letter.content_type for letter in receiver.letters} == {"application/json"}


async def test_refunds_and_disputes_are_told(world: World, receiver: Receiver) -> None:
    """Every step has its events; one change of a refund has two, with ids of their own."""
    payment = await world.buy()
    await world.settled()
    receiver.letters.clear()
    refund = await world.stripe.v1.refunds.create_async({"payment_intent": payment, "amount": 100})
    await world.post(f"refunds/{refund.id}/fail")
    dispute = await world.post(f"payment_intents/{payment}/dispute")
    await world.post(f"disputes/{dispute['id']}/answer")
    await world.post(f"disputes/{dispute['id']}/close", outcome="won")
    await world.settled()
    told = sorted((letter.event for letter in receiver.letters), key=lambda event: event["id"])

    assert Counter(event["type"] for event in told) == {
        "refund.created": 1,
        "charge.refunded": 1,
        "refund.updated": 2,
        "charge.refund.updated": 2,
        "refund.failed": 1,
        "charge.dispute.created": 1,
        "charge.dispute.funds_withdrawn": 1,
        "charge.dispute.updated": 1,
        "charge.dispute.closed": 1,
        "charge.dispute.funds_reinstated": 1,
    }
    assert len({event["id"] for event in told}) == len(told)
    refunded = next(event["data"] for event in told if event["type"] == "charge.refunded")
    assert refunded["previous_attributes"] == {"amount_refunded": 0}
    assert "refunds" not in refunded["object"]


async def test_an_async_payment_completes_unpaid_and_pays_later(world: World, receiver: Receiver) -> None:
    """`completed` says unpaid; the later event says paid; a failure says so and stays unpaid."""
    for outcome in ("succeed", "fail"):
        session = await world.open()
        await world.post(f"checkout/sessions/{session.id}/pay", method="us_bank_account")
        await world.post(f"checkout/sessions/{session.id}/settle", outcome=outcome)
    await world.settled()
    told = {
        (event["type"], event["data"]["object"]["payment_status"])
        for event in (letter.event for letter in receiver.letters)
        if event["type"].startswith("checkout.")
    }

    assert told == {
        ("checkout.session.completed", "unpaid"),
        ("checkout.session.async_payment_succeeded", "paid"),
        ("checkout.session.async_payment_failed", "unpaid"),
    }


async def test_a_retry_repeats_the_bytes_under_a_new_time(tmp_path: Path, receiver: Receiver) -> None:
    """The body stays as it was, the signature is of the moment, and each verifies."""
    receiver.answers = [500, 302]
    async with world_at(tmp_path, receiver.url, patience=Patience(first_s=1.1, max_s=1.1)) as world:
        session = await world.open()
        await world.stripe.v1.checkout.sessions.expire_async(session.id)
        stats = await world.settled()

    assert (stats["deliveries_sent"], stats["retries"], stats["acknowledged"]) == (3, 2, 1)
    assert len({letter.body for letter in receiver.letters}) == 1
    assert len({letter.signature for letter in receiver.letters}) == 3
    assert all(letter.verified() for letter in receiver.letters)


async def test_delivery_success_follows_the_first_2xx(tmp_path: Path, receiver: Receiver) -> None:
    """Undelivered events are listed as such, page by page, and leave the list when they are taken."""
    async with world_at(tmp_path, receiver.url, patience=QUICK) as world:
        receiver.answers = [503] * 12
        await world.buy()
        stats = await world.settled()
        events = world.stripe.v1.events
        params: Any = {"delivery_success": False, "limit": 1}
        undelivered = [each async for each in (await events.list_async(params)).auto_paging_iter()]
        await world.buy()
        await world.settled()
        delivered = (await events.list_async({"delivery_success": True})).data
        still = (await events.list_async({"delivery_success": False})).data

    assert (stats["gave_up"], stats["acknowledged"], stats["failed_attempts"]) == (4, 0, 12)
    assert len(undelivered) == 4
    assert {event.pending_webhooks for event in undelivered} == {1}
    assert {event.pending_webhooks for event in delivered} == {0}
    assert len(delivered) == 4
    assert [event.id for event in still] == [event.id for event in undelivered]


async def test_a_receiver_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    """No answer at all is a failed attempt, not the end."""
    async with world_at(tmp_path, f"http://127.0.0.1:{free_port()}/", patience=QUICK) as world:
        await world.buy()
        stats = await world.settled()

    assert stats["answers"] == {"none": 12}
    assert stats["gave_up"] == 4


async def test_a_dropped_event_is_never_sent_but_listed(world: World, receiver: Receiver) -> None:
    """Only who asks the API hears of it."""
    await world.post("chaos", seed=1, rates={"drop": 1.0})
    payment = await world.buy()
    stats = await world.settled()
    listed = (await world.stripe.v1.events.list_async({"delivery_success": False})).data

    assert receiver.letters == []
    assert stats["dropped"] == len(listed) == 4
    assert payment in {event.data.object["id"] for event in listed}


async def test_duplicates_repeat_the_bytes(world: World, receiver: Receiver) -> None:
    """Each event comes two or three times, the same every time."""
    await world.post("chaos", seed=1, rates={"duplicate": 1.0, "duplicate_within_s": 0.1})
    await world.buy()
    stats = await world.settled()
    times = Counter(letter.body for letter in receiver.letters)

    assert len(times) == 4
    assert set(times.values()) <= {2, 3}
    assert stats["acknowledged"] == len(receiver.letters) == 4 + stats["duplicates_sent"]


async def test_forged_letters_do_not_verify_and_are_counted(world: World, receiver: Receiver) -> None:
    """Beside every true letter a forged one, refused and counted by its expected verdict."""
    await world.post("chaos", seed=3, rates={"forge": 1.0, "delay_max_s": 0.1})
    for _ in range(8):
        await world.buy()
    stats = await world.settled()
    forged = [letter for letter in receiver.letters if not letter.verified()]

    assert len(forged) == stats["forged_sent"] == sum(stats["refused"].values()) == 32
    assert set(stats["refused"]) == {"bad_sig", "stale_ts", "future_ts", "missing_sig", "malformed_sig"}
    assert (stats["forged_accepted"], stats["acknowledged"]) == (0, 32)


async def test_a_second_body_comes_only_after_the_first_was_taken(world: World, receiver: Receiver) -> None:
    """Properly signed, the same id, a dearer story; the journal keeps both digests."""
    await world.post("chaos", seed=1, rates={"conflict": 1.0})
    await world.buy()
    stats = await world.settled()
    bodies: dict[str, list[str]] = {}
    for letter in receiver.letters:
        bodies.setdefault(letter.event["id"], []).append(hashlib.sha256(letter.body).hexdigest())
    journal = (await world.get("journal"))["items"]

    assert all(letter.verified() for letter in receiver.letters)
    assert stats["conflicting_sent"] == stats["conflicting_acknowledged"] == 4
    assert {entry["id"]: [entry["body_sha256"], entry["conflict_sha256"]] for entry in journal} == bodies


async def test_what_was_undelivered_is_delivered_after_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    """A new process goes on with what the last one left, and asks about nothing that was taken."""
    async with world_at(tmp_path, f"http://127.0.0.1:{free_port()}/") as world:
        await world.buy()
        assert (await world.get("stats"))["acknowledged"] == 0
    async with world_at(tmp_path, receiver.url) as world:
        first = await world.settled()
    async with world_at(tmp_path, receiver.url) as world:
        second = await world.settled()

    assert (first["acknowledged"], second["deliveries_sent"]) == (4, 0)
    assert len(receiver.letters) == 4


async def test_the_same_seed_brings_the_same_misfortunes(world: World, receiver: Receiver) -> None:
    """Two runs over the same books with one seed drop and double the same numbers."""
    fates: list[list[tuple[str, bool]]] = []
    for _ in range(2):
        chaos = await world.post("chaos", seed=11, rates={"drop": 0.3})
        for _ in range(6):
            await world.buy()
        await world.settled()
        journal = (await world.get(f"journal?after={chaos['from_seq']}"))["items"]
        fates.append([(entry["type"], entry["dropped"]) for entry in journal])

    assert fates[0] == fates[1]
    assert len(fates[0]) == 24
    assert {dropped for _, dropped in fates[0]} == {True, False}


async def test_settle_waits_and_says_when_it_cannot(tmp_path: Path) -> None:
    """With letters waiting it answers false after its time, with none it answers at once."""
    async with world_at(tmp_path, f"http://127.0.0.1:{free_port()}/") as world:
        assert (await world.post("settle", timeout_s=5))["settled"] is True
        await world.buy()
        answer = await world.post("settle", timeout_s=0.05)

    assert answer["settled"] is False
    assert answer["stats"]["scheduled"] == 4


async def test_deliveries_are_bounded_in_flight(world: World, receiver: Receiver) -> None:
    """A receiver that does not answer is asked sixteen times at once, not more; then all arrive."""
    receiver.open.clear()
    for _ in range(5):
        await world.buy()
    await until(lambda: len(receiver.letters) == 16, 10, "sixteen letters")
    waiting = await world.get("stats")
    receiver.open.set()
    stats = await world.settled()

    assert (waiting["deliveries_sent"], waiting["scheduled"]) == (16, 20)
    assert (stats["acknowledged"], len(receiver.letters)) == (20, 20)
