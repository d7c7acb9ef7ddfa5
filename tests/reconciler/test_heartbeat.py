"""What a reconciler says with its heartbeat: what it has repaired, by phase, and that it has ended."""

from __future__ import annotations

import signal

from db.findings import OBJECT, PHASES
from tests.api.house import OPS, running
from tests.reconciler.shop import Shop
from tests.reconciler.test_runs import environment, lost_orders
from tests.support.poll import until
from tests.support.processes import Processes

BEATS = "SELECT count(*) FROM process_heartbeat WHERE process = 'reconciler'"


async def test_repairs_are_counted_by_phase(shop: Shop, processes: Processes) -> None:
    """Every phase has its series from the start; a repair counts for the phase that found the need of it."""
    await lost_orders(shop, 2)
    settings = environment(shop, RECONCILE_WORKER_ENABLED="false")
    process = processes.start("-m", "reconciler", environment=settings)

    async def actions() -> dict[str, int]:
        async with running(shop.dsn, shop.redis_url) as house:
            scraped = (await house.get("/metrics")).body.decode()
        rows = [line for line in scraped.splitlines() if line.startswith("sluice_reconcile_actions_total{")]
        return {row.split('phase="')[1].split('"')[0]: int(float(row.split()[-1])) for row in rows}

    before = await until(actions, 30, "the first heartbeat")
    async with running(shop.dsn, shop.redis_url) as house:
        for order in ({"phases": ["stuck_orders"], "dry_run": True}, {"phases": ["stuck_orders"]}):
            assert (await house.post("/ops/reconcile", OPS, order)).status == 202
        assert (await house.post("/ops/reconcile", OPS, {"object": "order:order-1"})).status == 202

    async def counted() -> dict[str, int] | None:
        now = await actions()
        return now if any(now.values()) else None

    after = await until(counted, 30, "a repair to be counted")
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0, process.output()

    assert before == dict.fromkeys((*PHASES, OBJECT), 0)
    assert after == before | {"stuck_orders": 2}


async def test_an_orderly_end_is_told_and_a_kill_is_not(shop: Shop, processes: Processes) -> None:
    """Ctrl-C takes the heartbeat away; what a killed process leaves behind is shown as not alive."""
    for number, left in ((signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, 1)):
        process = processes.start("-m", "reconciler", environment=environment(shop))

        async def beating() -> bool:
            return bool(await shop.value(BEATS) == 1)

        await until(beating, 30, "a heartbeat")
        process.signal(number)
        await process.ended()
        assert await shop.value(BEATS) == left, number.name

    await shop.admin.execute("UPDATE process_heartbeat SET beat_at = beat_at - interval '1 min'")
    async with running(shop.dsn, shop.redis_url) as house:
        shown = (await house.get("/ops/status", OPS)).json["processes"]
    assert [one["alive"] for one in shown if one["process"] == "reconciler"] == [False]
