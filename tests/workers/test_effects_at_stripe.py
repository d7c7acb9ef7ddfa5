"""Refunds and reads of the outbox over a real database and a real HTTP server: what Stripe answers, in our
words.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from billing.decision import PspCall
from runtime import clock, limits
from tests.support.office import Office, opened
from tests.support.poll import until
from tests.support.processes import Processes
from tests.support.stripe_stub import Fault

pytestmark = pytest.mark.books_left_broken(reason="subscriptions are written by hand, without their journal")


@pytest.fixture
async def office(dsn: str) -> AsyncIterator[Office]:
    """One worker's outbox over a fresh database and a fresh PSP."""
    async with opened(dsn) as office:
        yield office


async def test_a_refund_is_made_once_with_our_id(office: Office) -> None:
    """After a 500 that hid a refund we look for our id first, so that no second one is made."""
    arguments: dict[str, str | int] = {"payment_id": "pi_1", "amount_minor": 250, "currency": "usd"}
    await office.stage(PspCall("create_refund", "ref_ours", "ref_ours", arguments))
    office.stub.faults.append(Fault(500, works=True))
    await office.effects.run_once()
    await office.due()
    counts = await office.effects.run_once()

    assert (counts, office.stub.keys) == ({"done": 1}, ["ref_ours"])
    assert [(refund["amount"], refund["metadata"]) for refund in office.stub.refunds] == [
        (250, {"refundId": "ref_ours"})
    ]
    assert await office.told() == [("sluice", "refund.accepted", "ref_ours")]


async def test_a_worker_killed_before_it_stored_the_id_makes_no_second_refund(
    office: Office, processes: Processes, redis_url: str
) -> None:
    """The refund was made, the answer never came to anybody; the next worker looks for our id first."""
    arguments: dict[str, str | int] = {"payment_id": "pi_1", "amount_minor": 250, "currency": "usd"}
    await office.stage(PspCall("create_refund", "ref_ours", "ref_ours", arguments))
    office.stub.faults.append(Fault(works=True, then="hold"))
    worker = processes.start("-m", "workers", environment=office.environment(redis_url))
    await until(office.stub.worked.is_set, 30, f"the refund at the PSP:\n{worker.output()}")
    worker.signal(signal.SIGKILL)
    await worker.ended()
    office.stub.release.set()
    await office.due()
    counts = await office.effects.run_once()

    assert (counts, office.stub.keys) == ({"done": 1}, ["ref_ours"])
    assert [refund["metadata"] for refund in office.stub.refunds] == [{"refundId": "ref_ours"}]
    assert await office.told() == [("sluice", "refund.accepted", "ref_ours")]


async def test_a_refund_that_the_psp_refuses_has_ended(office: Office) -> None:
    """The order can go on; the log hears of it."""
    await office.stage(PspCall("create_refund", "ref_ours", "ref_ours", {"payment_id": "pi_1"}))
    office.stub.faults.append(Fault(400, code="charge_disputed"))

    assert await office.effects.run_once() == {"failed": 1}
    assert await office.told() == [("sluice", "refund.refused", "ref_ours")]


async def test_a_refund_of_unknown_fate_is_a_persons_matter(office: Office) -> None:
    """It may have been made, so nothing is said of it to the log."""
    await office.stage(PspCall("create_refund", "ref_ours", "ref_ours", {"payment_id": "pi_1"}))
    office.stub.faults.extend([Fault(500)] * limits.effect_attempts_max)
    for tried in range(limits.effect_attempts_max):
        await office.effects.run_once(clock.now() + timedelta(hours=tried))  # past every pause of the breaker
        await office.due()

    assert (await office.rows(), await office.told()) == (
        [("failed", limits.effect_attempts_max, "APIError")],
        [],
    )
    assert [name for name, _, _ in await office.alerts()] == ["effect_failed"]


async def test_an_object_that_was_read_is_told_as_an_event_of_the_psp(office: Office) -> None:
    """Its version is the start of the request, so it can never beat a newer webhook."""
    office.stub.objects["/v1/subscriptions/sub_1"] = {
        "id": "sub_1",
        "object": "subscription",
        "n": 10**15 + 1,
    }
    await office.tie("sub_1")
    await office.stage(PspCall("read_object", "sub_1", "read:sub_1:5", {"object": "subscription"}))
    started = clock.now()
    await office.effects.run_once(started)

    assert await office.told() == [("stripe", "customer.subscription.updated", "sub_1")]
    (body,) = await office.bodies()
    assert body["data"]["object"] == office.stub.objects["/v1/subscriptions/sub_1"]
    assert (body["created"], body["livemode"], body["object"]) == (int(started.timestamp()), False, "event")


async def test_an_object_that_the_psp_does_not_know_fails_with_an_alert(office: Office) -> None:
    """There is nothing to tell."""
    await office.tie("sub_2")
    await office.stage(PspCall("read_object", "sub_2", "read:sub_2:5", {"object": "subscription"}))

    assert (await office.effects.run_once(), await office.told()) == ({"failed": 1}, [])
    assert await office.alerts() == [("effect_failed", "stripe:read_object:sub_2", "resource_missing")]


async def test_what_has_settled_itself_is_not_read(office: Office) -> None:
    """No tie and nobody who waits: the PSP is not asked."""
    await office.stage(
        PspCall("read_object", "sub_1", "read:sub_1:5", {"object": "subscription"}),
        PspCall("read_refunds", "pi_1", "refunds:pi_1:100"),
    )

    assert await office.effects.run_once() == {"obsolete": 2}
    assert office.stub.asked == []


async def test_refunds_that_are_read_twice_are_one_event_each(office: Office) -> None:
    """The inbox takes the second reading as a duplicate with the same bytes; more than a page are read."""
    office.stub.refunds = [
        {
            "id": f"re_{number}",
            "object": "refund",
            "payment_intent": "pi_1",
            "amount": 1,
            "currency": "usd",
            "status": "succeeded",
            "created": 1_790_000_000 + number,
        }
        for number in range(101)
    ]
    await office.parked("refunds:pi_1")
    await office.stage(PspCall("read_refunds", "pi_1", "refunds:pi_1:100"))
    await office.effects.run_once()
    await office.stage(PspCall("read_refunds", "pi_1", "refunds:pi_1:101"))
    await office.effects.run_once(clock.now() + timedelta(hours=1))
    again = await office.admin.fetchval(
        """SELECT count(*) FROM webhook_redelivery r JOIN webhook_event e USING (source, event_id)
           WHERE r.body_sha256 = e.body_sha256"""
    )

    told = await office.told()
    assert (len(told), again) == (101, 101)
    assert {source_and_type[:2] for source_and_type in told} == {("stripe", "refund.updated")}
