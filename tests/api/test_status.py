"""Status and statistics: numbers that equal what was put there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from db import checks, pool
from db.queries import CHECKS
from reconciler import watch
from runtime import clock
from tests.api.house import DASHBOARD, OPS, House
from tests.api.seed import MEASURED, Seed, refused
from tests.support.stripe_events import checkout, event, refund


async def status(house: House) -> dict[str, Any]:
    answer = await house.get("/ops/status", OPS)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


async def test_empty_house(house: House) -> None:
    """With nothing in it, everything is zero, every invariant holds, and the checks have run."""
    found = await status(house)

    assert found["queue"] == {"pending": 0, "due": 0, "redeliveries": 0}
    assert (found["oldest_pending_s"], found["parked"], found["quarantined"]) == (0.0, 0, 0)
    assert found["invariants"] == dict.fromkeys(CHECKS.by_name, 0)
    assert found["invariants_checked_at"] is not None
    assert ([process["process"] for process in found["processes"]], found["alerts"]) == (["ingest"], {})
    assert found["completeness"] == {}
    assert found["latest_reconcile_run"] is None


async def test_numbers_are_what_was_put_there(house: House, seed: Seed) -> None:
    """Pending, due, redelivered, parked and quarantined events are each counted as such."""
    await seed.event(event("checkout.session.completed", checkout(credits="many")))
    await seed.event(event("refund.created", refund("pi_unknown", 10)))
    await seed.drain()
    waiting = event("checkout.session.completed", checkout())
    for body in (waiting, waiting, event("checkout.session.completed", checkout())):
        await seed.event(body)
    await seed.connection.execute(
        "UPDATE webhook_event SET next_attempt_at = now() + interval '1 hour', "
        "received_at = now() - interval '90 s' WHERE event_id = $1",
        waiting["id"],
    )

    found = await status(house)

    assert found["queue"] == {"pending": 2, "due": 1, "redeliveries": 1}
    assert (found["parked"], found["quarantined"]) == (1, 1)
    assert 90 <= found["oldest_pending_s"] < 600
    assert found["alerts"]["event_quarantined"] == 1


@pytest.mark.books_left_broken("an invariant is broken so that the status shows it")
async def test_broken_invariant_shows_at_once(house: House, seed: Seed) -> None:
    """A balance that is no sum of postings is in the next answer, although the last one was a moment ago."""
    await seed.grant("cust_1", "credit", 5)
    before = await status(house)
    await seed.connection.execute("UPDATE balance SET amount = 6 WHERE account_id = 'cust_1'")

    after = await status(house)

    assert (
        before["invariants"]["balance_is_sum_of_postings"],
        before["invariants"]["units_sum_to_zero"],
    ) == (0, 0)
    assert (after["invariants"]["balance_is_sum_of_postings"], after["invariants"]["units_sum_to_zero"]) == (
        1,
        1,
    )
    assert after["invariants"] == await checks.run(seed.connection)


async def test_processes_are_alive_or_not(house: House, seed: Seed) -> None:
    """A process that beat within half a minute is alive, one that did not is listed as silent."""
    await seed.connection.execute(
        "INSERT INTO process_heartbeat (process, instance, started_at, beat_at, counters) VALUES "
        "('api', 'a:1', now(), now(), '{}'), "
        "('worker', 'a:2', now(), now() - interval '31 s', '{\"applied\": 7}')"
    )

    found = [each for each in (await status(house))["processes"] if each["process"] != "ingest"]

    assert [(each["process"], each["instance"], each["alive"], each["counters"]) for each in found] == [
        ("api", "a:1", True, {}),
        ("worker", "a:2", False, {"applied": 7}),
    ]


async def test_latest_run_and_what_it_measured(house: House, seed: Seed) -> None:
    """The run that started last is shown, and what all runs of the last day have measured, by type."""
    await seed.connection.execute(
        "INSERT INTO reconcile_run (id, requested_by, phases, status, started_at, counts) VALUES "
        "(gen_random_uuid(), 'eva', '{events}', 'failed', now() - interval '1 hour', '{}'), "
        "(gen_random_uuid(), 'timer', '{events}', 'succeeded', now(), '{}')"
    )
    await seed.connection.execute(MEASURED)

    found = await status(house)

    assert (found["latest_reconcile_run"]["requested_by"], found["latest_reconcile_run"]["status"]) == (
        "timer",
        "succeeded",
    )
    assert found["completeness"] == {"stripe": 0.7}
    detail = found["completeness_detail"]["stripe"]
    assert (detail["listed"], detail["in_time"], detail["in_time_s"]) == (10, 7, 60)
    assert detail["by_type"] == {
        "charge.refunded": {"listed": 4, "in_time": 1, "share": 0.25},
        "refund.created": {"listed": 6, "in_time": 6, "share": 1.0},
    }
    after, until, measured_at = (
        datetime.fromisoformat(detail[name]) for name in ("created_after", "created_until", "measured_at")
    )
    assert after < until <= measured_at


async def test_a_source_is_shown_with_its_clock_and_its_secrets(house: House, seed: Seed, dsn: str) -> None:
    """Its rate, the distance of its clock, what waits, and when each secret was last of use."""
    await seed.applied(event("checkout.session.completed", checkout()))
    connections = await pool.create_pool(dsn, "sluice_reconciler", "tests-reconciler", 1)
    await watch.watch_sources(connections, clock.now())
    await connections.close()
    await seed.event(event("checkout.session.completed", checkout()))
    (log_row,) = await seed.connection.fetch("SELECT received_at FROM webhook_log ORDER BY id LIMIT 1")

    source = (await status(house))["sources"]["stripe"]

    assert source["deliveries"] == 1
    assert {name: datetime.fromisoformat(at) for name, at in source["secrets_last_used"].items()} == {
        "0a1b2c3d": log_row["received_at"]
    }
    assert source["clock_skew_s"] == pytest.approx(log_row["received_at"].timestamp() - 1_795_000_000)
    assert source["oldest_unapplied_s"] > 0
    assert source["silent_s"] > 0


async def test_resolved_alerts_are_not_counted(house: House, seed: Seed) -> None:
    """Only open alerts are counted, by name."""
    await seed.connection.execute(
        "INSERT INTO alert (name, subject, resolved_at) VALUES "
        "('a', '1', NULL), ('a', '2', NULL), ('a', '3', now()), ('b', '1', now())"
    )

    assert (await status(house))["alerts"] == {"a": 2}


async def test_stats_count_by_source_verdict_and_state(house: House, seed: Seed) -> None:
    """Statistics hold one count per verdict and state, refusals that were only counted included."""
    await seed.applied(event("checkout.session.completed", checkout()))
    await seed.append(refused(b"{}"), refused(b"", requests=40, body_sha256=None))

    found = (await house.get("/audit/stats?window=1h&bucket=1h", DASHBOARD)).json

    counts: dict[tuple[str, str, str | None], int] = {}
    for bucket in found["buckets"]:
        key = (bucket["source"], bucket["verdict"], bucket["state"])
        counts[key] = counts.get(key, 0) + bucket["deliveries"]
    assert counts == {("stripe", "ok", "applied"): 1, ("stripe", "bad_sig", None): 41}
    assert found["latency"]["events"] == 1
    assert 0 <= found["latency"]["p50_s"] <= found["latency"]["p99_s"]
    assert found["oldest_unapplied_s"] == 0.0


@pytest.mark.parametrize(
    "query", ["window=1y", "window=32d", "bucket=0s", "window=24h&bucket=1s", "window=-1h", "bucket=", "w=1"]
)
async def test_bad_window_is_refused(house: House, query: str) -> None:
    """A window or bucket that cannot be, or would make too many buckets, is 400."""
    assert (await house.get(f"/audit/stats?{query}", OPS)).status == 400
