"""What the audit API asks, and each page of the console, of the database of a bench; asks it the same way
and measures nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from api.house_metrics import waits_window_s
from bench.past import GROWTH
from db import desk, explain, gauges, reads, rollup, search, status
from db.log_ids import span_of_time
from db.pool import type_connection
from db.reads import DeliveryFilter
from runtime import clock

type_ask = Callable[[], Awaitable[object]]

_PAGE = 51
"""A page of fifty and one row more, which tells whether another page follows."""
_DAY = timedelta(days=1)
_PATIENCE = gauges.Patience(300.0, 1_800.0, 1_800.0, 1_800.0, 1_800.0)


async def of_api(connection: type_connection, midnight: datetime) -> Mapping[str, type_ask]:
    """The audit API's questions; the day that they are about ends at `midnight`."""
    delivery = await connection.fetchrow(GROWTH.a_delivery, midnight - _DAY)
    purchase = await connection.fetchrow(GROWTH.a_purchase)
    assert delivery is not None and purchase is not None  # noqa: PT018 - both are the fill's promise

    def listed(narrowed: DeliveryFilter) -> type_ask:
        return lambda: search.list_deliveries(connection, narrowed, span_of_time(None, None, None), _PAGE)

    return {
        "latest 50, ms": listed(DeliveryFilter()),
        "latest 50 of a type, ms": listed(DeliveryFilter(event_type="customer.updated")),
        "latest 50 of a state, ms": listed(DeliveryFilter(state="ignored")),
        "latest 50 refused, ms": listed(DeliveryFilter(verdict="bad_sig")),
        "latest 50 in quarantine, ms": listed(DeliveryFilter(state="quarantined")),
        "by event id, ms": listed(DeliveryFilter(event_id=delivery["event_id"])),
        "by object id, ms": listed(DeliveryFilter(object_id=delivery["object_id"])),
        "one delivery's story, ms": lambda: reads.read_story(connection, delivery["id"]),
        "explain a purchase, ms": lambda: explain.read_object(
            connection, "checkout_session", purchase["id"], None
        ),
        "explain an account, ms": lambda: explain.read_account(connection, purchase["account_id"]),
        "status, ms": lambda: status.read_status(connection),
        "counts of a day, ms": lambda: rollup.count(connection, midnight - _DAY, midnight, 3_600.0),
        "counts of the last 24 hours, ms": lambda: rollup.count(
            connection, clock.now() - _DAY, clock.now(), 3_600.0
        ),
        "metrics sample, ms": lambda: gauges.read(connection, _PATIENCE, waits_window_s),
    }


def of_dashboards(connection: type_connection, midnight: datetime) -> Mapping[str, type_ask]:
    """What the Grafana dashboard asks of the views, in the dashboards' role."""
    return {
        "view throughput_minute of a day, ms": lambda: connection.fetch(
            GROWTH.a_day_of_throughput, midnight - _DAY, midnight
        ),
    }


async def of_console(connection: type_connection, midnight: datetime) -> Mapping[str, type_ask]:
    """What each page of the console asks for, all of it; the invariants excepted, for which no page waits."""
    delivery = await connection.fetchrow(GROWTH.a_delivery, midnight - _DAY)
    purchase = await connection.fetchrow(GROWTH.a_purchase)
    run_id = await connection.fetchval(GROWTH.a_run)
    assert delivery is not None and purchase is not None  # noqa: PT018 - both are the fill's promise

    async def overview() -> None:
        await status.read_status(connection)
        await desk.read_series(connection, midnight - _DAY, midnight, 900.0)

    async def deliveries() -> None:
        everything = span_of_time(None, None, None)
        await search.list_deliveries(connection, DeliveryFilter(origin="psp"), everything, _PAGE)

    async def quarantine() -> None:
        await desk.read_quarantine(connection, None, None, _PAGE)
        await desk.list_alerts(connection, None, 100)

    async def balances() -> None:
        await desk.list_balances(connection, ("", ""), None, False, _PAGE)
        await desk.list_balances(connection, ("", ""), None, True, _PAGE)

    async def account() -> None:
        await explain.read_balances(connection, purchase["account_id"])
        await desk.list_postings(connection, purchase["account_id"], None, _PAGE)

    return {
        "console overview, ms": overview,
        "console deliveries, ms": deliveries,
        "console delivery, ms": lambda: reads.read_story(connection, delivery["id"]),
        "console explain, ms": lambda: explain.read_account(connection, purchase["account_id"]),
        "console quarantine, ms": quarantine,
        "console reconcile, ms": lambda: desk.list_runs(connection, None, _PAGE),
        "console reconcile run, ms": lambda: desk.read_run(connection, run_id, 0, _PAGE),
        "console balances, ms": balances,
        "console account, ms": account,
    }
