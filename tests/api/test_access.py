"""The access log over HTTP: who has looked at which payload, and who gave which command."""

from __future__ import annotations

import re

import pytest

from db.access import ACCESS
from db.log_ids import ID_MAX
from tests.api.house import DASHBOARD, OPS, House
from tests.api.seed import Seed, delivery, refused

MANY = """
INSERT INTO access_log (actor, action, object, request_id)
SELECT 'somebody ' || n % 5000, 'read_payload', 'delivery:' || n, 'r' FROM generate_series(1, 20000) n
"""


async def test_who_looked_is_told_newest_first(house: House, seed: Seed) -> None:
    """Narrowed to a delivery or to a person; both roles may know, and asking leaves no entry."""
    one, other = await seed.append(delivery(b'{"id": "evt_1"}'), refused(b"{}"))
    await house.get(f"/audit/deliveries/{one}", {**DASHBOARD, "X-Request-Id": "look-1"})
    await house.get(f"/audit/deliveries/{one}/raw", OPS)
    await house.get(f"/audit/deliveries/{other}", OPS)

    about_one = (await house.get(f"/audit/access?object=delivery:{one}", DASHBOARD)).json
    by_eva = (await house.get("/audit/access?actor=eva", OPS)).json

    assert [(each["actor"], each["action"]) for each in about_one["items"]] == [
        ("eva", "read_raw"),
        ("board", "read_payload"),
    ]
    assert about_one["items"][1]["request_id"] == "look-1"
    assert about_one["items"][1]["source_ip"] == "127.0.0.1"
    assert [each["object"] for each in by_eva["items"]] == [f"delivery:{other}", f"delivery:{one}"]
    assert about_one["next_cursor"] is None
    assert await seed.value("SELECT count(*) FROM access_log") == 3


async def test_pages_stay_right_while_entries_arrive(house: House, seed: Seed) -> None:
    """The next page goes on where the last one ended; a cursor of nothing is refused."""
    await seed.connection.execute(MANY.replace("20000", "7"))
    first = (await house.get("/audit/access?limit=4", OPS)).json
    await seed.connection.execute(MANY.replace("20000", "2"))
    rest = (await house.get(f"/audit/access?limit=4&cursor={first['next_cursor']}", OPS)).json

    seen = [each["object"] for each in (*first["items"], *rest["items"])]
    assert seen == [f"delivery:{number}" for number in range(7, 0, -1)]
    assert rest["next_cursor"] is None
    assert (await house.get("/audit/access?cursor=x", OPS)).status == 400


async def test_customers_see_no_access_log(house: House) -> None:
    """Nor does anybody without a token."""
    assert (await house.get("/audit/access")).status == 401


@pytest.mark.parametrize(("thing", "actor"), [("delivery:7", None), (None, "somebody 7"), (None, None)])
async def test_it_goes_by_index(seed: Seed, thing: str | None, actor: str | None) -> None:
    """However many have looked before."""
    await seed.connection.execute(MANY)
    await seed.connection.execute("ANALYZE access_log")
    async with seed.connection.transaction():
        await seed.connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        asked = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {ACCESS.list_accesses}"
        lines = [row[0] for row in await seed.connection.fetch(asked, ID_MAX, thing, actor, 21)]

    assert [line for line in lines if "Seq Scan" in line or "Rows Removed" in line] == []
    assert max(float(rows) for line in lines for rows in re.findall(r"actual rows=([\d.]+)", line)) <= 21
