"""Runs as operators know them: on record with who, counts and errors; by several processes."""

from __future__ import annotations

import json
import signal
from functools import partial
from typing import Any

from db.findings import PHASES
from reconciler import watch
from runtime import clock
from tests.api.house import DASHBOARD, OPS, running
from tests.reconciler.shop import Shop
from tests.sandbox.worlds import KEY
from tests.support.poll import until
from tests.support.processes import Processes


def environment(shop: Shop, **changes: str) -> dict[str, str | None]:
    """For a process of the reconciler."""
    return {
        "DATABASE_URL": shop.dsn,
        "REDIS_URL": shop.redis_url,
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_API_BASE": shop.world.url,
        "RECONCILE_ORDER_STUCK_AFTER": "30m",
        "RECONCILE_INTERVAL": "1h",
        **changes,
    }


async def lost_orders(shop: Shop, count: int) -> None:
    """Orders that are paid at the PSP and stuck here."""
    for number in range(1, count + 1):
        await shop.place_order(f"order-{number}", pays=True)
    await shop.lose_webhooks()
    await shop.age()


async def test_three_processes_at_once_have_one_effect(shop: Shop, processes: Processes) -> None:
    """By the interval, by the command line and by an operator's request, at the same time: each run is on
    record, and every order was repaired once.
    """
    await lost_orders(shop, 5)
    async with running(shop.dsn, shop.redis_url) as house:
        asked_for = (await house.post("/ops/reconcile", OPS, {"phases": ["stuck_orders"]})).json["run_id"]
    serving = [processes.start("-m", "reconciler", environment=environment(shop)) for _ in range(2)]
    by_hand = processes.start(
        "-m", "reconciler", "run", "--phase", "stuck_orders", environment=environment(shop), name="by-hand"
    )
    assert await by_hand.ended(60) == 0, by_hand.output()

    async def finished() -> bool:
        states = await shop.admin.fetch("SELECT status FROM reconcile_run")
        return len(states) == 4 and {row["status"] for row in states} == {"succeeded"}

    await until(finished, 60, "all four runs to succeed")
    for process in serving:
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0, process.output()
    await shop.drain()
    asked = await shop.admin.fetch("SELECT requested_by FROM reconcile_run ORDER BY requested_by")
    told = json.loads(by_hand.output().splitlines()[-1])

    async with running(shop.dsn, shop.redis_url) as house:
        shown = (await house.get(f"/ops/reconcile/{asked_for}", DASHBOARD)).json
        listed = (await house.get("/ops/reconcile", DASHBOARD)).json["items"]

    assert [row["requested_by"] for row in asked] == ["command line", "eva", "interval", "interval"]
    assert (shown["requested_by"], shown["status"], shown["errors"]) == ("eva", "succeeded", [])
    assert sum(run["counts"].get("repaired", 0) for run in listed) == 5
    assert told["status"] == "succeeded"
    assert await shop.value("SELECT count(*) FROM orders WHERE status = 'completed'") == 5
    assert await shop.value("SELECT count(*) FROM ledger_transaction WHERE movement = 'sale'") == 5
    applied = (
        "SELECT count(*) FROM webhook_event "
        "WHERE event_type = 'payment_intent.succeeded' AND state = 'applied'"
    )
    assert await shop.value(applied) == 5
    assert await shop.value("SELECT count(*) FROM webhook_event WHERE conflict") == 0


async def test_without_its_interval_it_does_what_it_is_asked_for(shop: Shop, processes: Processes) -> None:
    """`RECONCILE_WORKER_ENABLED=false` stops the interval, and nothing that a person wants."""
    await lost_orders(shop, 1)
    switched_off = {**environment(shop), "RECONCILE_WORKER_ENABLED": "false", "RECONCILE_INTERVAL": "1s"}
    serving = processes.start("-m", "reconciler", environment=switched_off)

    async def succeeded(count: int) -> bool:
        rows = await shop.admin.fetch("SELECT status FROM reconcile_run")
        return [row["status"] for row in rows] == ["succeeded"] * count

    async with running(shop.dsn, shop.redis_url) as house:
        for count in (1, 2):
            asked = await house.post("/ops/reconcile", OPS, {"phases": ["stuck_orders"]})
            assert asked.status == 202, asked.body
            await until(partial(succeeded, count), 60, "the run that was asked for")
    serving.signal(signal.SIGTERM)

    assert await serving.ended() == 0, serving.output()
    by = await shop.admin.fetch("SELECT requested_by FROM reconcile_run")
    assert [row["requested_by"] for row in by] == ["eva", "eva"]


async def test_a_run_that_failed_in_part_says_so(shop: Shop) -> None:
    """One phase without an answer does not cost the others anything."""
    await lost_orders(shop, 1)
    await shop.world.fault(kind="status", path="/v1/disputes", status=500, times=2)
    ran = await shop.repair()

    assert (ran.status, ran.errors) == (
        "partial",
        ["money_tie_out: stripe APIError", "object_diff: stripe APIError"],
    )
    assert await shop.status("orders", "order-1") == "completed"
    assert ran.record["requested_by"] == "tests"
    assert ran.record["counts"]["phases"]["stuck_orders"]["looked_at"] == 1
    assert set(ran.record["counts"]["phases"]) == set(PHASES)


async def test_one_object_is_read_and_repaired_at_once(shop: Shop) -> None:
    """By our id or the PSP's, however young; the others are left alone. What nobody has is no error."""
    payment_id = await shop.place_order("order-1", pays=True)
    await shop.place_order("order-2", pays=True)
    bought = await shop.world.open()
    await shop.world.post(f"checkout/sessions/{bought.id}/pay")
    await shop.lose_webhooks()
    by_our_id = await shop.repair("stuck_orders", named="order:order-1")
    by_id_there = await shop.repair("stuck_orders", named=f"checkout_session:{bought.id}")
    again = await shop.repair("stuck_orders", named=f"payment:{payment_id}")
    nothing = await shop.repair("stuck_orders", named="order:no-such")
    nonsense = await shop.repair("stuck_orders", named="planet:mars")

    assert by_our_id.findings == [("stale", payment_id, True)]
    assert by_id_there.findings == [("missing_event", bought.id, True)]
    assert [again.findings, nothing.findings, nonsense.findings] == [[], [], []]
    assert (nothing.status, nonsense.status) == ("succeeded", "failed")
    assert await shop.status("orders", "order-2") == "pending"
    assert await shop.value("SELECT amount FROM balance WHERE account_id = 'acc-1'") == 250


async def test_an_object_is_explained_on_the_command_line(shop: Shop, processes: Processes) -> None:
    """Row, steps and money with the run that was their cause; an unknown object is an error."""
    await lost_orders(shop, 1)
    ran = await shop.repair("stuck_orders")
    known, unknown = (
        processes.start("-m", "reconciler", "explain", named, environment=environment(shop), name=name)
        for named, name in (("order:order-1", "known"), ("order:none", "unknown"))
    )

    assert (await known.ended(), await unknown.ended()) == (0, 1)
    told: dict[str, Any] = json.loads(known.output())
    assert (told["kind"], told["state"]["status"]) == ("order", "completed")
    assert [step["to_state"] for step in told["transitions"] if step["kind"] == "order"] == [
        "pending",
        "completed",
    ]
    assert f"reconciler:{ran.id}" in known.output()


async def test_a_key_of_another_mode_than_the_endpoint_is_not_asked(shop: Shop) -> None:
    """A test key beside a live endpoint would give credits for play money."""
    await lost_orders(shop, 1)
    endpoints = json.dumps(
        [{"path": "live", "provider": "stripe", "mode": "live", "secrets": ["whsec_0123456789abcdef0123"]}]
    )
    ran = await shop.repair(WEBHOOK_ENDPOINTS=endpoints)

    assert (ran.status, ran.errors) == ("failed", ["stripe: no endpoint takes the mode of its key"])
    assert await shop.status("orders", "order-1") == "pending"


async def test_broken_invariants_are_alerts_until_they_are_mended(shop: Shop) -> None:
    """Money that nothing accounts for is told to a person, and no more once it is gone."""
    await shop.world.buy()
    await shop.webhooks()
    planted = "UPDATE balance SET amount = amount + $1 WHERE account_id = 'acc-1'"
    await shop.admin.execute(planted, 5)
    ran = await shop.repair("stuck_orders")
    raised = await shop.admin.fetch(
        "SELECT subject FROM alert WHERE name = 'invariant_broken' AND resolved_at IS NULL"
    )
    await shop.admin.execute(planted, -5)
    await shop.repair("stuck_orders")

    assert ran.counts["invariants_broken"] == len(raised) > 0
    assert "balance_is_sum_of_postings" in {row["subject"] for row in raised}
    assert await shop.value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 0


async def test_a_source_that_falls_silent_and_a_clock_that_is_off_are_noticed(shop: Shop) -> None:
    """By the source's own rate and by the time in its signatures; both alerts close by themselves."""
    for _ in range(14):
        await shop.world.buy()
    await shop.webhooks()
    assert await shop.value("SELECT count(*) FROM webhook_log") >= watch.DELIVERIES_MIN

    async def open_alerts() -> list[str]:
        await watch.watch_sources(shop.reconcilers, clock.now())
        rows = await shop.admin.fetch("SELECT name FROM alert WHERE resolved_at IS NULL ORDER BY name")
        return [row["name"] for row in rows]

    off = await open_alerts()
    await shop.admin.execute(
        "UPDATE source_pulse SET skew_s = 1, last_received_at = now() - interval '2 hours'"
    )
    silent = await open_alerts()
    await shop.admin.execute("UPDATE source_pulse SET last_received_at = now()")
    calm = await open_alerts()

    assert (off, silent, calm) == (["clock_skew"], ["source_silent"], [])
    assert await shop.value("SELECT count(*) FROM secret_use WHERE secret_id = '00000000'") == 1
