"""Hyperswitch's deliveries of a real sandbox process: which events there are, signed how, retried how, and
found how by who missed them.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from psp.hyperswitch import envelope
from psp.sandbox.hyperswitch.letters import Schedule
from tests.sandbox.merchants import (
    HYPERSWITCH_KEY,
    HYPERSWITCH_SECRET,
    Mailbox,
    Shop,
    environment,
    shop_at,
    types,
)
from tests.support.ports import free_port
from tests.support.processes import Processes


async def test_a_purchase_is_told_in_the_documented_shape(shop: Shop, mailbox: Mailbox) -> None:
    """The envelope, the family, the object as the API shows it, and a signature that the product takes."""
    payment_id = await shop.paid(metadata={"purpose": "order", "orderId": "o1", "buyerId": "b1"})
    await shop.settled()
    (letter,) = mailbox.letters
    event = letter.event
    read = envelope.read(letter.body)

    assert letter.verdict == "ok"
    assert {"merchant_id", "event_id", "event_type", "content", "timestamp"} == set(event)
    assert (event["event_type"], event["content"]["type"]) == ("payment_succeeded", "payment_details")
    assert event["content"]["object"] == await shop.api("GET", f"/payments/{payment_id}")
    assert event["timestamp"] == event["content"]["object"]["updated"]
    assert (read.event_id, read.event_type, read.object_id) == (
        event["event_id"],
        "payment_succeeded",
        payment_id,
    )


async def test_each_status_has_its_event_and_some_have_none(shop: Shop, mailbox: Mailbox) -> None:
    """Waiting for a card or a confirmation is not told; everything else is, by its own name."""
    waiting = await shop.payment()
    lives: list[str] = []
    for outcomes in (["requires_action", "succeed"], ["processing", "fail"], ["fail", "succeed"]):
        lives.append(await shop.payment())
        for outcome in outcomes:
            await shop.control(f"hyperswitch/payments/{lives[-1]}/pay", {"outcome": outcome})
    authorised = await shop.paid(capture_method="manual")
    await shop.api("POST", f"/payments/{authorised}/capture", {"amount_to_capture": 1})
    cancelled, expired = await shop.payment(), await shop.payment()
    await shop.api("POST", f"/payments/{cancelled}/cancel")
    await shop.control(f"hyperswitch/payments/{expired}/expire")
    await shop.settled()

    assert mailbox.told(waiting) == []
    assert [mailbox.told(payment_id) for payment_id in lives] == [
        ["action_required", "payment_succeeded"],
        ["payment_processing", "payment_failed"],
        ["payment_failed", "payment_succeeded"],
    ]
    assert mailbox.told(authorised) == ["payment_authorized", "payment_captured"]
    assert (mailbox.told(cancelled), mailbox.told(expired)) == (["payment_cancelled"], ["payment_expired"])


async def test_there_is_one_event_per_object_and_type(shop: Shop, mailbox: Mailbox) -> None:
    """A payment that fails three times tells it once, and still tells its late success."""
    payment_id = await shop.payment()
    for outcome in ("fail", "fail", "fail_then_succeed"):
        await shop.control(f"hyperswitch/payments/{payment_id}/pay", {"outcome": outcome})
    await shop.settled()
    shown = await shop.api("GET", f"/payments/{payment_id}")

    assert mailbox.told(payment_id) == ["payment_failed", "payment_succeeded"]
    assert (shown["status"], shown["attempt_count"]) == ("succeeded", 4)


async def test_an_open_refund_is_not_told(shop: Shop, mailbox: Mailbox) -> None:
    """`pending` and `review` are seen by who asks; only success and failure are events."""
    payment_id = await shop.paid(1_000)
    refunds = [
        str((await shop.refund(payment_id, answer, amount=10))["refund_id"])
        for answer in ("pending", "review", "review", "failed", "succeeded")
    ]
    await shop.control(f"hyperswitch/refunds/{refunds[0]}/review")
    await shop.control(f"hyperswitch/refunds/{refunds[1]}/succeed")
    await shop.control(f"hyperswitch/refunds/{refunds[2]}/fail")
    await shop.settled()
    statuses = [(await shop.api("GET", f"/refunds/{refund_id}"))["status"] for refund_id in refunds]

    assert statuses == ["review", "succeeded", "failed", "failed", "succeeded"]
    assert [mailbox.told(refund_id) for refund_id in refunds] == [
        [],
        ["refund_succeeded"],
        ["refund_failed"],
        ["refund_failed"],
        ["refund_succeeded"],
    ]
    failed = next(e for e in mailbox.genuine() if e["event_type"] == "refund_failed")
    assert (failed["content"]["type"], failed["content"]["object"]["error_code"]) == (
        "refund_details",
        "refund_failed",
    )
    assert await shop.control_refused(f"hyperswitch/refunds/{refunds[4]}/fail") == "IR_16"


async def test_disputes_carry_their_amount_as_text(shop: Shop, mailbox: Mailbox) -> None:
    """In events and answers alike; each step is told, and impossible ones are refused."""
    payment_id = await shop.paid(1_000)
    opened = await shop.control(f"hyperswitch/payments/{payment_id}/dispute", {"amount": 250})
    dispute_id = opened["dispute_id"]
    for verb in ("challenge", "lose", "win"):
        await shop.control(f"hyperswitch/disputes/{dispute_id}/{verb}")
    again = await shop.control(f"hyperswitch/payments/{payment_id}/dispute")
    accepted = await shop.api("POST", f"/disputes/accept/{again['dispute_id']}")
    third, fourth = await shop.paid(), await shop.paid()
    endings = []
    for disputed, verb in ((third, "expire"), (fourth, "cancel")):
        made = await shop.control(f"hyperswitch/payments/{disputed}/dispute")
        endings.append(await shop.control(f"hyperswitch/disputes/{made['dispute_id']}/{verb}"))
    await shop.settled()
    told = [e["content"]["object"] for e in mailbox.genuine() if e["content"]["type"] == "dispute_details"]

    assert mailbox.told(dispute_id) == [
        "dispute_opened",
        "dispute_challenged",
        "dispute_lost",
        "dispute_won",
    ]
    assert {each["amount"] for each in told} == {"250", "1000", "5000"}
    assert accepted["dispute_status"] == "dispute_accepted"
    assert [each["dispute_status"] for each in endings] == ["dispute_expired", "dispute_cancelled"]
    assert (await shop.api("GET", f"/disputes/{dispute_id}"))["amount"] == "250"
    listed = await shop.api("GET", "/disputes/list?dispute_status=dispute_won")
    assert [each["dispute_id"] for each in listed] == [dispute_id]
    assert await shop.control_refused(f"hyperswitch/disputes/{dispute_id}/accept") == "IR_16"
    assert await shop.control_refused(f"hyperswitch/payments/{payment_id}/dispute") == "IR_07"


async def test_a_retry_is_the_same_letter(shop: Shop, mailbox: Mailbox) -> None:
    """Same bytes, same event id, same signature, until a 2xx comes."""
    mailbox.answers = [500, 302, 404]
    await shop.paid()
    stats = await shop.settled()

    assert (stats["deliveries_sent"], stats["retries"], stats["acknowledged"]) == (4, 3, 1)
    assert len({letter.body for letter in mailbox.letters}) == 1
    assert len({tuple(letter.signatures) for letter in mailbox.letters}) == 1
    assert {letter.verdict for letter in mailbox.letters} == {"ok"}


def test_retries_keep_the_documented_distances() -> None:
    """1 m; 5 m twice; 10 m five times; 1 h five times; 6 h three times: a day, and in a demo a minute."""
    real, demo = Schedule(times_faster=1), Schedule()
    minutes = [real.pause_s(attempt) / 60 for attempt in range(1, real.attempts_max)]

    assert minutes == [1, 5, 5, *[10] * 5, *[60] * 5, *[360] * 3]
    assert sum(demo.pause_s(attempt) for attempt in range(1, demo.attempts_max)) == pytest.approx(60, abs=1)


async def test_a_bad_day_reaches_these_letters_too(shop: Shop, mailbox: Mailbox) -> None:
    """Doubled, dropped, delayed, forged and told twice differently; nothing forged verifies."""
    rates = {"duplicate": 0.5, "drop": 0.3, "delay": 0.5, "forge": 0.6, "conflict": 0.3}
    quick = {"delay_max_s": 0.2, "duplicate_within_s": 0.2}
    await shop.control("chaos", {"seed": 3, "rates": rates | quick})
    for _ in range(40):
        await shop.paid()
    stats = await shop.settled()
    journal = {entry["id"]: entry for entry in (await shop.look("journal"))["items"]}
    arrived = Counter(event["event_id"] for event in mailbox.genuine())
    conflicting = sum(entry["conflict_sha256"] is not None for entry in journal.values())

    assert len(journal) == 40
    assert {key for key, entry in journal.items() if not entry["dropped"]} == set(arrived)
    assert 0 < stats["dropped"] == 40 - len(arrived)
    assert 0 < conflicting == stats["conflicting_acknowledged"]
    assert sum(arrived.values()) == len(arrived) + stats["duplicates_sent"] + conflicting
    assert 0 < stats["forged_sent"] == sum(stats["refused"].values())
    assert stats["forged_accepted"] == 0
    assert set(stats["refused"]) == {"bad_sig", "missing_sig", "malformed_sig"}
    assert Counter(letter.verdict for letter in mailbox.letters if letter.verdict != "ok") == stats["refused"]


async def test_what_was_not_delivered_is_listed_and_sent_on_request(shop: Shop, mailbox: Mailbox) -> None:
    """A dropped event stands in the events API with its exact body, until a manual retry delivers it."""
    merchant = (await shop.look("hyperswitch/account"))["merchant_id"]
    await shop.paid()
    await shop.settled()
    await shop.control("chaos", {"seed": 1, "rates": {"drop": 1.0}})
    missed = await shop.paid()
    await shop.settled()
    by_query = await shop.api("GET", f"/events/{merchant}?is_delivered=false")
    by_body = await shop.api("POST", f"/events/{merchant}", {"is_delivered": False, "limit": 10})
    (entry,) = by_query["events"]
    (attempt,) = await shop.api("GET", f"/events/{merchant}/{entry['event_id']}/attempts")
    retried = await shop.api("POST", f"/events/{merchant}/{entry['event_id']}/retry")
    body = mailbox.letters[-1].body

    assert by_query == by_body
    assert (by_query["total_count"], entry["object_id"], entry["event_class"]) == (1, missed, "payments")
    assert entry["is_delivery_successful"] is False
    assert attempt["request"]["body"].encode() == body
    assert ["x-webhook-signature-512", mailbox.letters[-1].signatures[0]] in attempt["request"]["headers"]
    assert (retried["delivery_attempt"], retried["response"]["status_code"]) == ("manual_retry", 200)
    assert retried["is_delivery_successful"] is True
    assert (await shop.api("GET", f"/events/{merchant}?is_delivered=false"))["total_count"] == 0
    assert (await shop.api("GET", f"/events/{merchant}?object_id={missed}"))["total_count"] == 1
    assert await shop.refused("GET", f"/events/{merchant}?object_id={missed}&limit=5") == (400, "IR_06")
    assert await shop.refused("GET", "/events/merchant_other") == (404, "HE_02")


async def test_the_two_psps_keep_apart(shop: Shop, mailbox: Mailbox) -> None:
    """Stripe's event list knows nothing of Hyperswitch's events, by page, id or cursor."""
    await shop.paid()
    (entry,) = (await shop.look("journal"))["items"]
    event_id = entry["id"]

    assert (await shop.stripe("/v1/events"))[1]["data"] == []
    assert (await shop.stripe(f"/v1/events/{event_id}"))[0] == 404
    assert (await shop.stripe(f"/v1/events?starting_after={event_id}"))[0] == 404


async def test_a_kill_loses_neither_books_nor_letters(
    tmp_path: Path, processes: Processes, mailbox: Mailbox
) -> None:
    """What was undelivered when the process was killed is delivered by the next one, once."""
    async with shop_at(tmp_path, processes, f"http://127.0.0.1:{free_port()}/") as shop:
        ids = [await shop.paid() for _ in range(3)]
        shop.process.signal(signal.SIGKILL)
        await shop.process.ended()
    async with shop_at(tmp_path, processes, mailbox.url) as shop:
        await shop.settled()
        books = await shop.look("hyperswitch/books")

    assert {event["content"]["object"]["payment_id"] for event in mailbox.genuine()} == set(ids)
    assert types(mailbox.genuine()) == {"payment_succeeded": 3}
    assert books["money"]["usd"]["captured"] == 15_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HYPERSWITCH_API_KEY", None),
        ("HYPERSWITCH_WEBHOOK_SECRETS", None),
        ("HYPERSWITCH_WEBHOOK_SECRETS", "short"),
        ("SANDBOX_HYPERSWITCH_WEBHOOK_URL", "nowhere"),
    ],
)
async def test_half_a_merchant_refuses_to_start(
    tmp_path: Path, processes: Processes, name: str, value: str | None
) -> None:
    """Exit status 78, one line that names the setting and no secret."""
    settings = environment(tmp_path, free_port(), "http://127.0.0.1:1/") | {name: value}
    refused = processes.start("-m", "psp.sandbox", environment=settings)

    assert await refused.ended() == 78
    assert refused.output().startswith(f"sandbox: {name} must ")
    assert HYPERSWITCH_SECRET not in refused.output()


async def test_without_settings_there_is_no_such_merchant(
    tmp_path: Path, processes: Processes, mailbox: Mailbox
) -> None:
    """The paths do not exist, whatever key is shown; the rest serves on."""
    port = free_port()
    none = {"HYPERSWITCH_API_KEY": None, "HYPERSWITCH_WEBHOOK_SECRETS": None}
    settings = environment(tmp_path, port, mailbox.url) | none
    url = f"http://127.0.0.1:{port}"
    await processes.start_ready("-m", "psp.sandbox", url=f"{url}/health/live", environment=settings)
    found: list[int] = []
    async with aiohttp.ClientSession(headers={"api-key": HYPERSWITCH_KEY}) as session:
        for path in ("/hyperswitch/payments/p", "/sandbox/hyperswitch/books", "/sandbox/books"):
            async with session.get(f"{url}{path}") as answer:
                found.append(answer.status)

    assert found == [404, 404, 200]
