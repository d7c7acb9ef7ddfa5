"""The outbox over a real database and a real HTTP server: each intent once at the PSP, and every end in the
log.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import asyncpg
import pytest

from billing.decision import PSP_CALLS, PspCall
from db import operations, outbox
from outbox.breaker import Breaker
from outbox.effects import Effects, look_for_unconfigured
from outbox.settling import delay_s
from psp.calls import Done, Transient
from psp.stripe.calls import StripeCalls
from psp.stripe.client import StripeApi
from runtime import clock, limits
from tests.support.office import CAUSE, Office, opened
from tests.support.poll import until
from tests.support.processes import Processes
from tests.support.stripe_stub import Fault

pytestmark = pytest.mark.books_left_broken(
    reason="orders and transfers are written by hand, without their journal"
)


@pytest.fixture
async def office(dsn: str) -> AsyncIterator[Office]:
    """One worker's outbox over a fresh database and a fresh PSP."""
    async with opened(dsn) as office:
        yield office


async def test_a_reversal_is_done_once_and_told_to_the_log(office: Office) -> None:
    """The PSP has it once, the effect is done, the event is one of our own, and the drain loop is woken."""
    await office.stage(await office.transfer())
    counts = await office.effects.run_once()

    assert (counts, office.stub.reversals) == ({"done": 1}, [("tr_1", 700)])
    assert await office.told() == [("sluice", "transfer.reversed", "tr_1")]
    logged = await office.admin.fetchrow("SELECT endpoint, origin, verdict, actor FROM webhook_log")
    assert tuple(logged or ()) == ("outbox", "reconciler", "ok", "worker:effects")
    assert office.wake.is_set()
    assert await office.effects.run_once() == {}


async def test_staging_an_intent_twice_stages_it_once(office: Office) -> None:
    """The key names the intent; in one statement, in two, and after it was done."""
    call = await office.transfer()
    await office.stage(call, call)
    await office.stage(call)
    await office.effects.run_once()
    await office.stage(call)

    assert await office.rows() == [("done", 1, None)]
    assert await office.effects.run_once() == {}


async def test_what_is_staged_vanishes_with_its_transaction(office: Office) -> None:
    """A decision that is not committed calls nobody."""
    call = await office.transfer()
    async with office.connections.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await outbox.stage(connection, [(CAUSE, call)])
        await transaction.rollback()

    assert await office.effects.run_once() == {}


async def test_a_worker_killed_between_call_and_commit_costs_no_second_reversal(
    office: Office, processes: Processes, redis_url: str
) -> None:
    """The lease runs out, the next worker calls with the same key, and the PSP has one reversal."""
    await office.stage(await office.transfer())
    office.stub.faults.append(Fault(works=True, then="hold"))
    worker = processes.start("-m", "workers", environment=office.environment(redis_url))
    await until(office.stub.worked.is_set, 30, f"the reversal at the PSP:\n{worker.output()}")
    worker.signal(signal.SIGKILL)
    await worker.ended()
    assert await office.effects.run_once() == {}, "the claim of the dead worker still holds"
    await office.due()
    counts = await office.effects.run_once()

    assert counts == {"done": 1}
    assert office.stub.keys == ["reversal:tr_1:2"] * 2
    assert office.stub.reversals == [("tr_1", 700)]
    assert await office.told() == [("sluice", "transfer.reversed", "tr_1")]


async def test_a_reply_that_was_lost_is_asked_for_again_with_the_same_key(office: Office) -> None:
    """The PSP did it and the connection broke."""
    await office.stage(await office.transfer())
    office.stub.faults.append(Fault(works=True, then="drop"))
    first = await office.effects.run_once()
    await office.due()

    assert (first, await office.effects.run_once()) == ({"postponed": 1}, {"done": 1})
    assert (office.stub.reversals, len(set(office.stub.keys))) == ([("tr_1", 700)], 1)


async def test_a_worker_that_slept_through_its_lease_writes_nothing(office: Office) -> None:
    """Two workers end one effect; the second one's end is fenced off and tells the log nothing."""
    await office.stage(await office.transfer())
    office.stub.faults.append(Fault(works=True, then="hold"))
    sleeper = asyncio.create_task(office.effects.run_once())
    await until(office.stub.worked.is_set, 10, "the sleeper's call")
    await office.due()
    async with StripeApi("sk_test_x", office.stub.url) as api:
        other = Effects(office.connections, "stripe", StripeCalls(api, "stripe"), lambda: None, "worker")
        counts = await other.run_once()
    office.stub.release.set()

    assert (counts, await sleeper) == ({"done": 1}, {"claim_lost": 1})
    assert await office.admin.fetchval("SELECT count(*) FROM webhook_log") == 1


async def test_a_transfer_that_the_psp_does_not_know_has_failed_for_good(office: Office) -> None:
    """404 resource_missing is an end, told to the log and to a person."""
    call = await office.transfer()
    office.stub.transfers.clear()
    await office.stage(call)

    assert await office.effects.run_once() == {"failed": 1}
    assert await office.told() == [("sluice", "transfer.reversal_failed", "tr_1")]
    assert await office.alerts() == [("effect_failed", "stripe:reverse_transfer:tr_1", "resource_missing")]


async def test_a_transfer_that_is_reversed_already_counts_as_reversed(office: Office) -> None:
    """Somebody was faster, at the PSP's dashboard perhaps."""
    await office.stage(await office.transfer())
    office.stub.reversals.append(("tr_1", 700))

    assert await office.effects.run_once() == {"done": 1}
    assert await office.told() == [("sluice", "transfer.reversed", "tr_1")]


async def test_a_reversal_that_nobody_wants_any_more_is_not_made(office: Office) -> None:
    """A transfer that has left `reversal_pending` makes the call obsolete, before it is made."""
    await office.stage(await office.transfer("tr_1", "reversed"), await office.transfer("tr_2"))

    assert await office.effects.run_once() == {"done": 1, "obsolete": 1}
    assert office.stub.asked == ["POST /v1/transfers/tr_2/reversals"]
    assert await office.rows() == [("obsolete", 0, None), ("done", 1, None)]


def test_delays_double_up_to_a_cap() -> None:
    """Short at first, because most trouble passes; a PSP that asks for more time gets it."""
    tries = range(1, limits.effect_attempts_max)

    assert [delay_s(tried, Transient("Error", unwell=True)) for tried in tries] == [
        2, 4, 8, 16, 32, 64, 128, 256, 512, 600
    ]  # fmt: skip
    assert delay_s(1, Transient("Error", unwell=True, retry_after_s=1200.0)) == 1200


async def test_too_many_failures_end_a_reversal_with_an_alert(office: Office) -> None:
    """Each failure is a try; the last one is told to the log and to a person."""
    await office.stage(await office.transfer())
    office.stub.faults.extend([Fault(400, code="balance_insufficient")] * limits.effect_attempts_max)
    for _ in range(limits.effect_attempts_max - 1):
        assert await office.effects.run_once() == {"postponed": 1}
        await office.due()
    counts = await office.effects.run_once()

    tried = limits.effect_attempts_max
    assert (counts, await office.rows()) == ({"failed": 1}, [("failed", tried, "InvalidRequestError")])
    assert await office.told() == [("sluice", "transfer.reversal_failed", "tr_1")]
    assert await office.alerts() == [("effect_failed", "stripe:reverse_transfer:tr_1", "InvalidRequestError")]


async def waiting_s(office: Office) -> int:
    """For how long the one effect was put off, in whole minutes: both times are the database's, so only what
    has passed since must be rounded away.
    """
    left = await office.admin.fetchval(
        "SELECT extract(epoch FROM next_attempt_at - now()) FROM outbox_effect"
    )
    return -(-int(left) // 60) * 60


async def test_retry_after_is_honoured(office: Office) -> None:
    """A 429 that asks for longer than our own delay is believed; one that asks for less changes nothing."""
    await office.stage(await office.transfer())
    office.stub.faults.append(Fault(429, code="rate_limit", headers={"Retry-After": "1200"}))
    await office.effects.run_once()
    longer = await waiting_s(office)
    await office.due()
    office.stub.faults.append(Fault(429, code="rate_limit", headers={"Retry-After": "1"}))
    await office.effects.run_once()

    assert (longer, await waiting_s(office)) == (1200, 60)


async def test_the_breaker_leaves_an_ailing_psp_alone_and_tries_it_with_one_call(office: Office) -> None:
    """Open after five failures in a row; a failed probe keeps it open, a good one lets everything through."""
    now = clock.now()
    calls = [await office.transfer(f"tr_{number}") for number in range(12)]
    await office.stage(*calls)
    office.stub.faults.extend([Fault(503)] * limits.effect_calls_at_once)
    opened = await office.effects.run_once(now)
    await office.due()
    left_alone = await office.effects.run_once(now + timedelta(seconds=limits.effect_breaker_pause_s - 1))
    office.stub.faults.append(Fault(503))
    probed = await office.effects.run_once(now + timedelta(seconds=limits.effect_breaker_pause_s))
    await office.due()
    closed = await office.effects.run_once(now + timedelta(seconds=2 * limits.effect_breaker_pause_s))

    assert (opened, left_alone, probed, closed) == ({"postponed": 8}, {}, {"postponed": 1}, {"done": 12})
    assert len(office.stub.reversals) == 12


def test_the_breaker_counts_failures_in_a_row_of_the_psp_as_a_whole() -> None:
    """A refusal of one call says nothing about the PSP, and a good answer forgets what was before."""
    breaker, now = Breaker(), datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    down, fault = Transient("x", unwell=True), Transient("x", unwell=False)
    for outcome in (down, down, down, down, Done(), down, down, down, down, fault):
        breaker.heard(outcome, now)

    assert breaker.calls_allowed(now) == limits.effect_calls_at_once


async def test_calls_to_a_psp_without_a_key_wait_with_one_alert(office: Office) -> None:
    """They are not failed; the alert closes itself when a key has come and the calls are done."""
    await office.stage(await office.transfer())
    for _ in range(2):
        await look_for_unconfigured(office.connections, ())
    waiting = (await office.alerts(), await office.rows())
    await look_for_unconfigured(office.connections, ("stripe",))
    await office.effects.run_once()
    await look_for_unconfigured(office.connections, ("stripe",))

    assert waiting == (
        [("psp_not_configured", "stripe:reverse_transfer", None)],
        [("pending", 0, None)],
    )
    await operations.close_settled_alerts(office.admin)
    assert (await office.alerts(), await office.rows()) == ([], [("done", 1, None)])


async def test_a_call_at_fault_costs_its_neighbours_nothing(office: Office) -> None:
    """A missing argument is our own mistake: the call fails at last, the other one is done at once."""
    await office.stage(PspCall("create_refund", "ref_ours", "ref_ours"), await office.transfer())

    assert await office.effects.run_once() == {"postponed": 1, "done": 1}
    assert await office.rows() == [("pending", 1, "KeyError"), ("done", 1, None)]


async def test_a_call_that_ends_its_worker_each_time_is_given_up(office: Office) -> None:
    """The attempt is counted before the call, and one too many is not made."""
    await office.stage(await office.transfer())
    async with office.connections.acquire() as connection:
        for _ in range(limits.effect_attempts_max):
            await outbox.claim_due(connection, "stripe", 1, 0)

    assert await office.effects.run_once() == {"failed": 1}
    assert office.stub.asked == []


async def test_a_call_without_its_key_is_never_sent(office: Office) -> None:
    """The library would invent a key, and every retry would be done again."""
    async with StripeApi("sk_test_x", office.stub.url) as api:
        with pytest.raises(ValueError, match="idempotency key"):
            await api.reverse_transfer("tr_1", None, "")
        with pytest.raises(ValueError, match="idempotency key"):
            await api.create_refund("pi_1", 1, "ref_ours", "")

    assert office.stub.asked == []


async def test_the_schema_knows_every_kind_of_call_and_the_worker_can_lose_none(office: Office) -> None:
    """A kind that only one side knows would be refused at the worst moment; what was staged stays."""
    definition = await office.admin.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'outbox_effect_kind'"
    )
    await office.stage(await office.transfer())

    assert set(re.findall(r"'([a-z_]+)'::text", definition)) == set(PSP_CALLS)
    async with office.connections.acquire() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM outbox_effect")
