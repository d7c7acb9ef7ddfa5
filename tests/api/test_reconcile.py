"""Runs that are asked for over HTTP: on record at once, run by a real reconciler, shown with findings."""

from __future__ import annotations

import json
from typing import Any, Self

import pytest
from aiohttp import web

from db import pool
from db.findings import PHASES, Finding, add
from reconciler.runs import Reconciler
from runtime import clock, process, settings
from runtime.doorbell import Doorbell
from tests.api.house import DASHBOARD, OPS, House
from tests.api.seed import Seed
from tests.support.stripe_events import checkout, event


async def ask(house: House, **order: Any) -> str:
    answer = await house.ask("POST", "/ops/reconcile", OPS, json.dumps(order).encode())
    assert answer.status == 202, answer.body
    return str(answer.json["run_id"])


async def pick_up(dsn: str, redis_url: str, **environment: str) -> int:
    """Let a reconciler do what was asked for."""
    configuration = settings.load({"DATABASE_URL": dsn, "REDIS_URL": redis_url, **environment})
    connections = await pool.create_pool(dsn, "sluice_reconciler", "tests-reconciler", 2)
    doorbell = Doorbell(redis_url)
    try:
        return await Reconciler(configuration, connections, doorbell).run_requested(clock.now())
    finally:
        await doorbell.close()
        await connections.close()


class Psp:
    """A PSP that lists undelivered events, on a port."""

    def __init__(self, *listed: dict[str, Any]) -> None:
        self._listed = list(listed)
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/v1/events", self._events)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _events(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "url": "/v1/events", "data": self._listed, "has_more": False}
        )


async def test_a_run_is_on_record_at_once_and_waits(house: House) -> None:
    """It is `running` from the moment it is asked for; `picked_up_at` tells that nobody has begun."""
    run_id = await ask(house, dry_run=True)

    run = (await house.get(f"/ops/reconcile/{run_id}", DASHBOARD)).json

    assert (run["status"], run["requested_by"], run["dry_run"], run["picked_up_at"], run["findings"]) == (
        "running",
        "eva",
        True,
        None,
        [],
    )
    assert run["phases"] == list(PHASES)


async def test_the_reconciler_does_what_was_asked(house: House, seed: Seed, dsn: str, redis_url: str) -> None:
    """A dry run finds what is missing and repairs nothing; the same run in earnest appends it."""
    body = event("checkout.session.completed", checkout(credits=250))
    async with Psp(body) as psp:
        environment = {"STRIPE_SECRET_KEY": "sk_test_0123456789", "STRIPE_API_BASE": psp.url}
        lost = ["undelivered_events"]
        dry, real = await ask(house, dry_run=True, phases=lost), await ask(house, phases=lost)
        assert await pick_up(dsn, redis_url, **environment) == 2
    await seed.drain()

    runs = [(await house.get(f"/ops/reconcile/{run_id}", OPS)).json for run_id in (dry, real)]

    assert [
        (run["status"], run["counts"]["missing_event"], run["counts"].get("repaired", 0)) for run in runs
    ] == [
        ("succeeded", 1, 0),
        ("succeeded", 1, 1),
    ]
    assert [[(f["class"], f["object_id"], f["repaired"]) for f in run["findings"]] for run in runs] == [
        [("missing_event", body["id"], False)],
        [("missing_event", body["id"], True)],
    ]
    assert all(run["picked_up_at"] and run["finished_at"] for run in runs)
    assert await seed.value("SELECT amount FROM balance WHERE account_id = 'cust_1'") == 250
    listed = (await house.get("/ops/reconcile", DASHBOARD)).json
    assert [run["run_id"] for run in listed["items"]] == [real, dry]


async def test_a_run_about_one_object_leaves_the_others(
    house: House, seed: Seed, dsn: str, redis_url: str
) -> None:
    """Only what is about the object is appended, and the next run looks at the whole span again."""
    wanted, other = (event("checkout.session.completed", checkout()) for _ in range(2))
    object_id = wanted["data"]["object"]["id"]
    async with Psp(wanted, other) as psp:
        environment = {"STRIPE_SECRET_KEY": "sk_test_0123456789", "STRIPE_API_BASE": psp.url}
        await ask(house, object=f"checkout_session:{object_id}")
        await pick_up(dsn, redis_url, **environment)

    assert await seed.value("SELECT array_agg(event_id) FROM webhook_event") == [wanted["id"]]
    assert await seed.value("SELECT count(*) FROM psp_cursor") == 0


async def test_without_a_provider_a_run_fails_and_says_why(
    house: House, seed: Seed, dsn: str, redis_url: str
) -> None:
    """Whoever asked is not left waiting."""
    run_id = await ask(house)

    await pick_up(dsn, redis_url)

    run = (await house.get(f"/ops/reconcile/{run_id}", OPS)).json
    assert (run["status"], run["errors"]) == (
        "failed",
        ["no provider can be asked: STRIPE_SECRET_KEY is not set"],
    )


async def test_a_run_whose_process_ended_is_failed(
    house: House, seed: Seed, dsn: str, redis_url: str
) -> None:
    """A killed reconciler cannot close its record; the next one does, and leaves those that live alone."""
    dead, alive = await ask(house), await ask(house)
    picked = "UPDATE reconcile_run SET picked_up_at = now() - interval '1 min', instance = $2 WHERE id = $1"
    await seed.connection.execute(picked, dead, "gone:1")
    await seed.connection.execute(picked, alive, "here:1")
    await seed.connection.execute(
        "INSERT INTO process_heartbeat (process, instance, started_at) VALUES ('reconciler', 'here:1', now())"
    )

    assert await pick_up(dsn, redis_url) == 0

    assert (await house.get(f"/ops/reconcile/{dead}", OPS)).json["status"] == "failed"
    assert (await house.get(f"/ops/reconcile/{alive}", OPS)).json["status"] == "running"


async def test_findings_come_in_pages(house: House, seed: Seed) -> None:
    """A run with more findings than a page has a cursor that leads to the rest."""
    run_id = await ask(house)
    found = [Finding("stripe", "missing_event", f"evt_{n}", None, repaired=False) for n in range(7)]
    await add(seed.connection, run_id, found)  # type: ignore[arg-type]  # Postgres reads the text as a uuid

    first = (await house.get(f"/ops/reconcile/{run_id}?limit=5", OPS)).json
    rest = (await house.get(f"/ops/reconcile/{run_id}?limit=5&cursor={first['next_cursor']}", OPS)).json

    listed = [each["object_id"] for each in (*first["findings"], *rest["findings"])]
    assert (listed, rest["next_cursor"]) == ([f"evt_{n}" for n in range(7)], None)
    assert first["findings_total"] == 7


@pytest.mark.parametrize(
    "body",
    [
        b"no",
        b'{"phases": []}',
        b'{"phases": ["everything"]}',
        b'{"phases": "undelivered_events"}',
        b'{"object": "invention:x_1"}',
        b'{"object": "cs_1"}',
        b'{"object": "a b:c"}',
        b'{"dry_run": 1}',
        b'{"dry": true}',
    ],
)
async def test_a_wrong_order_is_400(house: House, seed: Seed, body: bytes) -> None:
    """An order that cannot be understood wholly asks for nothing."""
    answer = await house.ask("POST", "/ops/reconcile", OPS, body)

    assert answer.status == 400
    assert await seed.value("SELECT count(*) FROM reconcile_run") == 0


async def test_no_body_asks_for_everything(house: House) -> None:
    """A POST without a body is the plain order."""
    assert (await house.post("/ops/reconcile", OPS)).status == 202


@pytest.mark.parametrize("run_id", ["x", "00000000-0000-0000-0000-000000000000"])
async def test_unknown_run_is_404(house: House, run_id: str) -> None:
    """What is no id names no run."""
    assert (await house.get(f"/ops/reconcile/{run_id}", OPS)).status == 404


async def test_dashboard_reads_and_may_not_ask(house: House) -> None:
    """A dashboard token reads the history and gets 403 on a command."""
    assert (await house.get("/ops/reconcile", DASHBOARD)).json == {"items": [], "next_cursor": None}
    assert (await house.post("/ops/reconcile", DASHBOARD)).status == 403


def test_the_process_names_itself_as_in_its_heartbeat() -> None:
    """Whoever asks whether a run's process lives compares the two."""
    assert process.instance().rpartition(":")[2].isdigit()
