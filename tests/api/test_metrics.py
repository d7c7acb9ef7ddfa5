"""The house's gauges: numbers that equal what was put there, and -1 for what nobody can know."""

from __future__ import annotations

import math

from prometheus_client.parser import text_string_to_metric_families

from tests.api.house import House, running
from tests.api.seed import MEASURED, Seed
from tests.support.stripe_events import checkout, event, refund, subscription

ANYWHERE = "postgresql://nobody@127.0.0.1:1/none"


OPEN = [f'sluice_events_open{{state="{state}"}}' for state in ("pending", "parked", "quarantined")]


async def scrape(house: House) -> dict[str, float]:
    """Every sample by name and labels, as `name{a="b"}`."""
    answer = await house.get("/metrics")
    assert answer.status == 200
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def test_gauges_are_what_was_put_there(house: House, seed: Seed) -> None:
    """Open events by state, alerts by name, latency, processes and what they count, the last run."""
    await seed.applied(event("checkout.session.completed", checkout()))
    await seed.applied(event("checkout.session.completed", checkout(credits="many")))
    await seed.applied(event("refund.created", refund("pi_never_seen", 10)))
    await seed.event(event("checkout.session.completed", checkout()))
    await seed.connection.execute(
        "UPDATE webhook_event SET received_at = received_at - interval '10 min' WHERE state = 'parked'"
    )
    await seed.connection.execute(
        "INSERT INTO process_heartbeat (process, instance, started_at, beat_at, counters) VALUES "
        "('worker', 'a:1', now(), now(), '{\"applied\": 7}'), "
        "('worker', 'a:2', now(), now() - interval '1 min', '{\"applied\": 5}'), "
        "('reconciler', 'a:3', now(), now(), '{\"runs\": 2, \"repaired_stuck_orders\": 3}')"
    )
    await seed.connection.execute(
        "INSERT INTO reconcile_run (id, requested_by, phases, status, picked_up_at, finished_at, counts) "
        "VALUES (gen_random_uuid(), 'interval', '{}', 'succeeded', to_timestamp(100), to_timestamp(102.5), "
        "'{}')"
    )
    await seed.connection.execute(MEASURED)

    found = await scrape(house)

    assert [found[name] for name in OPEN] == [1, 1, 1]
    assert found["sluice_events_due"] == 1
    assert found["sluice_oldest_pending_seconds"] > 0
    assert found["sluice_orphan_refund_rows"] == 1
    assert found['sluice_alerts_open{name="event_quarantined"}'] == 1
    assert 0 < found['sluice_receipt_to_outcome_seconds{quantile="0.99"}'] < 300
    assert found['sluice_processes_alive{process="worker"}'] == 1
    assert found['sluice_processes_alive{process="reconciler"}'] == 1
    assert found['sluice_reconcile_actions_total{member="a:3",phase="stuck_orders"}'] == 3
    assert found['sluice_process_actions_total{action="applied",member="a:2",process="worker"}'] == 5
    assert found["sluice_reconcile_last_run_timestamp_seconds"] == 102.5
    assert found["sluice_reconcile_last_run_seconds"] == 2.5
    assert found["sluice_reconcile_last_run_ok"] == 1
    assert found['sluice_completeness_ratio{source="stripe"}'] == 0.7
    assert found['sluice_completeness_measured_timestamp_seconds{source="stripe"}'] > 1_790_000_000


async def test_an_empty_house_is_zero_and_not_unknown(house: House) -> None:
    """Nothing waits, nothing is stuck, no run: zeros; a latency of nothing is no number."""
    found = await scrape(house)

    assert [found[name] for name in OPEN] == [0, 0, 0]
    assert found["sluice_stuck_refunds_pending"] == found["sluice_reconcile_last_run_timestamp_seconds"] == 0
    assert math.isnan(found['sluice_receipt_to_outcome_seconds{quantile="0.5"}'])


async def test_stuck_objects_are_counted(house: House, seed: Seed) -> None:
    """A refund and a subscription that wait for longer than the settings say."""
    bought = checkout()
    await seed.applied(event("checkout.session.completed", bought))
    await seed.applied(event("refund.created", refund(bought["payment_intent"], 10, "pending")))
    await seed.connection.execute("UPDATE refund SET created_at = now() - interval '31 min'")
    told = {"accountId": "cust_1"}
    await seed.applied(event("customer.subscription.created", subscription("incomplete", metadata=told)))
    await seed.connection.execute("UPDATE subscription SET created_at = now() - interval '31 min'")
    found = await scrape(house)

    assert found["sluice_stuck_refunds_pending"] == 1
    assert found["sluice_stuck_subscriptions_pending"] == 1


async def test_without_a_database_gauges_are_unknown() -> None:
    """A scrape is answered all the same, and -1 says that nobody could look."""
    async with running(ANYWHERE, "redis://127.0.0.1:1/0") as house:
        found = await scrape(house)

    assert found['sluice_events_open{state="pending"}'] == -1
    assert found["sluice_oldest_pending_seconds"] == -1
    assert found['sluice_processes_alive{process="worker"}'] == -1
    assert found["sluice_reconcile_last_run_timestamp_seconds"] == -1
