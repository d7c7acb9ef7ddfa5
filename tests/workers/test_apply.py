"""The worker over a real database: each event once, whatever comes beside it, and what the database refuses
alone.
"""

from __future__ import annotations

import asyncio

from db import events, pool
from psp.reading import Expected
from runtime import limits
from tests.support import stripe_events as made
from tests.workers.conftest import House
from workers.drain import Drainer


async def test_a_topup_posts_once_however_often_it_arrives(house: House) -> None:
    """Ten deliveries of one event and a second event of the same checkout: one posting."""
    session = made.checkout()
    event = made.event("checkout.session.completed", session)
    for _ in range(10):
        await house.receive(event)
    await house.receive(made.event("checkout.session.async_payment_succeeded", session))
    counts = await house.drain()

    assert (await house.credits(), await house.movements()) == (250, [("topup", session["id"])])
    assert counts["duplicate"] == 9
    assert await house.outcomes() == [("applied", None), ("superseded", "already_credited")]


async def test_a_refund_before_its_payment_waits_and_is_woken(house: House) -> None:
    """Parked under the payment, applied as soon as that is known, in whichever batch."""
    session = made.checkout()
    early = made.event("refund.created", made.refund(session["payment_intent"], 289))
    assert await house.process(early) == {"parked": 1}
    await house.process(made.event("checkout.session.completed", session))

    assert await house.credits() == 0
    assert await house.outcomes() == [("applied", None), ("applied", None)]


async def test_a_refund_and_its_payment_in_one_batch_in_the_wrong_order(house: House) -> None:
    """The batch itself brings what the first event waits for."""
    session = made.checkout()
    counts = await house.process(
        made.event("charge.dispute.funds_withdrawn", made.dispute(session["payment_intent"], 289)),
        made.event("checkout.session.completed", session),
    )

    assert (counts["applied"], await house.credits()) == (2, 0)


async def test_unusable_events_are_quarantined_with_an_alert_beside_good_ones(house: House) -> None:
    """Bad metadata, a bad price and no JSON at all stop nobody."""
    good = made.checkout(account="good")
    await house.process(
        made.event("checkout.session.completed", made.checkout(credits="lots")),
        made.event("checkout.session.completed", good),
        b"not json",
        made.event("checkout.session.completed", made.checkout(credits=500, amount=499)),
    )
    alerts = await house.admin.fetch("SELECT detail FROM alert WHERE name = 'event_quarantined' ORDER BY id")

    assert await house.credits("good") == 250
    assert [reason for _, reason in await house.outcomes()] == [
        "bad_metadata",
        None,
        "bad_json",
        "amount_mismatch",
    ]
    assert sorted(row["detail"] for row in alerts) == ["amount_mismatch", "bad_json", "bad_metadata"]


async def test_a_second_body_under_one_id_is_flagged_and_never_applied(house: House) -> None:
    """A conflict raises an alert; the first body alone has an effect."""
    session = made.checkout()
    first = made.event("checkout.session.completed", session)
    await house.process(first)
    second = first | {"data": {"object": session | {"metadata": session["metadata"] | {"credits": "999"}}}}
    counts = await house.process(second)
    flagged = await house.admin.fetchval("SELECT conflict FROM webhook_event")

    assert (counts["conflict"], flagged, await house.credits()) == (1, True, 250)
    assert await house.admin.fetchval("SELECT count(*) FROM alert WHERE name = 'event_conflict'") == 1


async def test_another_rendering_of_the_same_event_is_a_plain_duplicate(house: House) -> None:
    """pending_webhooks and the order of keys differ between deliveries."""
    event = made.event("checkout.session.completed", made.checkout())
    await house.process(event)
    counts = await house.process(dict(reversed(event.items())) | {"pending_webhooks": 0})

    assert counts == {"duplicate": 1}


async def test_an_operators_replay_opens_what_was_quarantined_and_leaves_what_was_applied(
    house: House,
) -> None:
    """A replay is an append; it has no second effect."""
    bad = made.event("checkout.session.completed", made.checkout(credits="x"))
    good = made.event("checkout.session.completed", made.checkout())
    await house.process(bad, good)
    applied_at = await house.admin.fetchval("SELECT applied_at FROM webhook_event WHERE state = 'applied'")
    counts = await house.process(bad, good, origin="operator", actor="ada")

    assert (counts["replayed"], counts["quarantined"]) == (2, 1)
    assert await house.credits() == 250
    assert (
        await house.admin.fetchval("SELECT applied_at FROM webhook_event WHERE state = 'applied'")
        == applied_at
    )
    notes = await house.admin.fetch("SELECT actor FROM event_note WHERE what = 'replayed'")
    assert [row["actor"] for row in notes] == ["ada", "ada"]


async def test_what_the_database_refuses_is_quarantined_alone(house: House) -> None:
    """One poison event in a batch of twenty costs its neighbours nothing."""
    await house.admin.execute(
        "ALTER TABLE checkout_session ADD CONSTRAINT poison CHECK (account_id <> 'poison')"
    )
    bodies = [made.event("checkout.session.completed", made.checkout(account=f"c{n}")) for n in range(20)]
    bodies[7] = made.event("checkout.session.completed", made.checkout(account="poison"))
    counts = await house.process(*bodies)

    assert (counts["applied"], counts["quarantined"]) == (19, 1)
    assert (await house.outcomes())[7] == ("quarantined", "database_refused")
    assert await house.credits("poison") == 0


async def test_attempts_are_counted_before_the_work(house: House) -> None:
    """An event that ends the worker each time comes alone at last, and is quarantined after the last
    attempt.
    """
    await house.receive(made.event("checkout.session.completed", made.checkout()))
    await house.receive(made.event("checkout.session.completed", made.checkout(account="cust_2")))
    for expected in (2, 2, *[1] * (limits.attempts_max - 2)):
        async with house.connections.acquire() as connection:
            claimed = await events.claim_due(connection, 500, limits.claim_lease_s, 2)
        assert len(claimed) == expected
        first = min(claimed, key=lambda event: event.log_id)
        await house.admin.execute(
            "UPDATE webhook_event SET next_attempt_at = now() WHERE event_id = $1 OR attempts < 3",
            first.event_id,
        )
    counts = await house.drain()

    assert counts == {"quarantined": 1, "applied": 1}
    assert (await house.outcomes())[0] == ("quarantined", "attempts_exhausted")


async def test_a_claim_that_was_taken_over_writes_nothing(house: House) -> None:
    """A worker that slept through its lease is fenced off by the attempt number."""
    await house.receive(made.event("checkout.session.completed", made.checkout()))
    async with house.connections.acquire() as sleeper:
        slept = await events.claim_due(sleeper, 500, 0, 5)
        assert await house.drain() == {"applied": 1}
        from workers import apply  # noqa: PLC0415 - beside the one place that plays the sleeping worker

        counts = await apply.apply_batch(sleeper, slept, {"stripe": Expected()})

    assert counts == {"claim_lost": 1}
    assert await house.credits() == 250


async def test_many_workers_share_the_work_without_double_effects(house: House) -> None:
    """Eight workers over purchases with refunds and disputes in random company: every balance is exact."""
    sessions = [made.checkout(credits=100, amount=100, account=f"c{n % 7}") for n in range(120)]
    bodies = []
    for number, session in enumerate(sessions):
        bodies.append(made.event("checkout.session.completed", session))
        bodies.append(made.event("checkout.session.async_payment_succeeded", session))
        if number % 3 == 0:
            bodies.append(made.event("refund.created", made.refund(session["payment_intent"], 40)))
        if number % 5 == 0:
            bodies.append(
                made.event("charge.dispute.funds_withdrawn", made.dispute(session["payment_intent"], 100))
            )
    for start in range(0, len(bodies), 10):
        await house.receive(*reversed(bodies[start : start + 10]))
    pools = [await pool.create_pool(house.dsn, "sluice_worker", "w", size_max=1) for _ in range(8)]
    await asyncio.gather(*(Drainer(one, {"stripe": Expected()}).run_once() for one in pools))
    await house.drain()
    for one in pools:
        await one.close()

    for account in range(7):
        expected = sum(
            100 - (100 if n % 5 == 0 else 0) - (40 if n % 3 == 0 else 0)
            for n in range(120)
            if n % 7 == account
        )
        assert await house.credits(f"c{account}") == expected


async def test_a_balance_below_zero_is_flagged_and_not_clamped(house: House) -> None:
    """A clawback of spent credits leaves a visible debt."""
    session = made.checkout()
    await house.process(made.event("checkout.session.completed", session))
    await house.admin.execute(
        """WITH t AS (INSERT INTO ledger_transaction (source, movement, money_object, actor)
                      VALUES ('test', 'grant', 'spent', 'test') RETURNING id)
           INSERT INTO ledger_posting (transaction_id, account_id, unit, amount)
           SELECT t.id, leg.account, 'credit', leg.amount
           FROM t, (VALUES ('cust_1', -200), ('system:grants', 200)) AS leg (account, amount)"""
    )
    await house.process(made.event("refund.created", made.refund(session["payment_intent"], 289)))

    assert await house.credits() == -200
    assert await house.admin.fetchval("SELECT subject FROM alert WHERE name = 'negative_balance'") == "cust_1"
