"""Resolve: a quarantined event leaves the list under a name and with a reason, and nothing else can."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.house import DASHBOARD, OPS, House
from tests.api.seed import Seed, delivery, refused
from tests.support.stripe_events import checkout, encode, event

WHY = b'{"reason": "a test of our own"}'
STATE = "SELECT state || ':' || coalesce(reason, '') FROM webhook_event WHERE event_id = $1"
OPEN_ALERTS = "SELECT array_agg(name ORDER BY name) FROM alert WHERE resolved_at IS NULL"


async def quarantined(seed: Seed) -> tuple[int, str]:
    """A delivery whose event waits in quarantine, and the event's id."""
    body = event("checkout.session.completed", checkout(credits="many"))
    return await seed.applied(body), body["id"]


async def test_resolved_event_leaves_the_list(house: House, seed: Seed) -> None:
    """The event is ignored for the reason `resolved`, its alert is closed, its story tells who and why."""
    log_id, event_id = await quarantined(seed)

    answer = await house.ask("POST", f"/ops/deliveries/{log_id}/resolve", OPS, WHY)

    assert (answer.status, answer.json["state"], answer.json["actor"]) == (200, "ignored", "eva")
    assert await seed.value(STATE, event_id) == "ignored:resolved"
    assert await seed.value(OPEN_ALERTS) is None
    assert await seed.rows("SELECT resolved_by, resolution FROM alert") == [
        {"resolved_by": "eva", "resolution": "a test of our own"}
    ]
    listed = await house.get("/audit/deliveries?state=quarantined", OPS)
    assert listed.json["items"] == []
    story = (await house.get(f"/audit/deliveries/{log_id}", OPS)).json["timeline"]
    assert [
        (step["what"], step["actor"], step["detail"]) for step in story if step["what"] == "resolved"
    ] == [("resolved", "eva", "a test of our own")]
    assert await seed.value("SELECT count(*) FROM access_log WHERE action = 'resolve'") == 1


async def test_only_one_of_ten_clicks_resolves(house: House, seed: Seed) -> None:
    """Ten at once: one note, nine answers that say that it is not in quarantine any more."""
    log_id, event_id = await quarantined(seed)

    answers = await asyncio.gather(
        *(house.ask("POST", f"/ops/deliveries/{log_id}/resolve", OPS, WHY) for _ in range(10))
    )

    assert sorted(answer.status for answer in answers) == [200, *[409] * 9]
    notes = "SELECT count(*) FROM event_note WHERE event_id = $1 AND what = 'resolved'"
    assert await seed.value(notes, event_id) == 1


async def test_a_resolved_event_can_be_replayed(house: House, seed: Seed) -> None:
    """A resolution is no grave: a replay decides the event anew."""
    log_id, event_id = await quarantined(seed)
    await house.ask("POST", f"/ops/deliveries/{log_id}/resolve", OPS, WHY)

    assert (await house.post(f"/ops/deliveries/{log_id}/replay", OPS)).status == 202
    await seed.drain()

    assert (await seed.value(STATE, event_id)).startswith("quarantined:")


async def test_what_is_not_in_quarantine_stays_as_it_is(house: House, seed: Seed) -> None:
    """Applied, pending and refused: 409 and no change; what is gone: 404."""
    applied = await seed.applied(event("checkout.session.completed", checkout()))
    pending = await seed.event(event("checkout.session.completed", checkout()))
    (forged,) = await seed.append(refused(b"{}"))

    for log_id in (applied, pending, forged):
        answer = await house.ask("POST", f"/ops/deliveries/{log_id}/resolve", OPS, WHY)
        assert (answer.status, answer.json["code"]) == (409, "NOT_OPEN")
    missing = await house.ask("POST", "/ops/deliveries/7/resolve", OPS, WHY)

    assert (missing.status, missing.json["code"]) == (404, "NOT_FOUND")
    states = "SELECT array_agg(state ORDER BY log_id) FROM webhook_event"
    assert await seed.value(states) == ["applied", "pending"]
    assert await seed.value("SELECT count(*) FROM event_note WHERE what = 'resolved'") == 0


async def test_a_conflict_is_closed_and_its_event_stays(house: House, seed: Seed) -> None:
    """Of an applied event whose id came with another body, only the alert is closed; the effect stays."""
    first = event("checkout.session.completed", checkout(credits=250))
    log_id = await seed.applied(first)
    other = {**first, "data": {"object": checkout(credits=999)}}
    await seed.append(delivery(encode(other)))
    await seed.drain()
    assert await seed.value(OPEN_ALERTS) == ["event_conflict"]

    answer = await house.ask("POST", f"/ops/deliveries/{log_id}/resolve", OPS, WHY)

    assert (answer.status, answer.json["state"]) == (200, "applied")
    assert await seed.value(OPEN_ALERTS) is None
    assert await seed.value(STATE, first["id"]) == "applied:"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "INVALID_JSON"),
        (b"reason=x", "INVALID_JSON"),
        (b'{"reason":"x","reason":"y"}', "INVALID_JSON"),
        (b"[]", "VALIDATION_ERROR"),
        (b"{}", "VALIDATION_ERROR"),
        (b'{"reason": ""}', "VALIDATION_ERROR"),
        (b'{"reason": "   "}', "VALIDATION_ERROR"),
        (b'{"reason": 7}', "VALIDATION_ERROR"),
        (b'{"reason": "a\\u0000b"}', "VALIDATION_ERROR"),
        (b'{"reason": "x", "state": "applied"}', "VALIDATION_ERROR"),
        (b'{"reason": "' + b"x" * 256 + b'"}', "VALIDATION_ERROR"),
    ],
)
async def test_a_resolution_needs_a_reason(house: House, seed: Seed, body: bytes, code: str) -> None:
    """Without a reason that can be kept it is 400, and the event stays in quarantine."""
    log_id, event_id = await quarantined(seed)

    answer = await house.ask("POST", f"/ops/deliveries/{log_id}/resolve", OPS, body)

    assert (answer.status, answer.json["code"]) == (400, code)
    assert (await seed.value(STATE, event_id)).startswith("quarantined:")


async def test_dashboard_may_not_resolve(house: House, seed: Seed) -> None:
    """A dashboard token on a command is 403."""
    log_id, _ = await quarantined(seed)

    assert (await house.ask("POST", f"/ops/deliveries/{log_id}/resolve", DASHBOARD, WHY)).status == 403
    assert (await house.ask("POST", "/ops/alerts/1/resolve", DASHBOARD, WHY)).status == 403


async def test_alerts_are_listed_and_closed(house: House, seed: Seed) -> None:
    """Open alerts come newest first; closing one names who and why, and only what is open can be closed."""
    for name in ("negative_balance", "ambiguous_order"):
        await seed.connection.execute("INSERT INTO alert (name, subject) VALUES ($1, 'x')", name)
    listed = (await house.get("/ops/alerts?limit=1", DASHBOARD)).json
    rest = (await house.get(f"/ops/alerts?cursor={listed['next_cursor']}", DASHBOARD)).json
    assert [each["name"] for each in (*listed["items"], *rest["items"])] == [
        "ambiguous_order",
        "negative_balance",
    ]
    path = f"/ops/alerts/{rest['items'][0]['id']}/resolve"

    first, second = [await house.ask("POST", path, OPS, WHY) for _ in range(2)]

    assert (first.status, first.json["name"], second.status) == (200, "negative_balance", 409)
    assert await seed.value(OPEN_ALERTS) == ["ambiguous_order"]
    assert (await house.ask("POST", "/ops/alerts/999/resolve", OPS, WHY)).status == 404
    assert (await house.ask("POST", "/ops/alerts/x/resolve", OPS, WHY)).status == 404


async def test_the_alert_of_a_quarantined_event_ends_with_it(house: House, seed: Seed) -> None:
    """Its alert alone cannot be closed: the event would wait unseen."""
    await quarantined(seed)
    alert_id = await seed.value("SELECT id FROM alert")

    answer = await house.ask("POST", f"/ops/alerts/{alert_id}/resolve", OPS, WHY)

    assert (answer.status, answer.json["code"]) == (409, "NOT_OPEN")
    assert await seed.value(OPEN_ALERTS) == ["event_quarantined"]
