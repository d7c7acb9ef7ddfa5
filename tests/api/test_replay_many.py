"""Replay by filter: every event that the filter finds once, and only those that can still have an effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api import replay_many
from tests.api.house import DASHBOARD, OPS, Answer, House
from tests.api.seed import Seed, delivery, refused, signed_headers
from tests.support.stripe_events import CREATED, checkout, encode, event

LOG_ROWS = "SELECT count(*) FROM webhook_log"
STATES = "SELECT state, count(*)::int AS events FROM webhook_event GROUP BY state ORDER BY state"
WHY = b'{"reason": "known"}'


async def order(house: House, **fields: Any) -> Answer:
    return await house.ask("POST", "/ops/replay", OPS, json.dumps(fields).encode())


async def quarantine(seed: Seed, events: int) -> list[int]:
    """Deliveries whose events wait in quarantine."""
    ids = [
        await seed.event(event("checkout.session.completed", checkout(credits="many"))) for _ in range(events)
    ]
    await seed.drain()
    return ids


async def test_every_event_of_the_filter_is_replayed_once(house: House, seed: Seed) -> None:
    """Three quarantined events, one delivered twice: three replays in the log under the operator's name."""
    first, *_ = await quarantine(seed, 3)
    again = await seed.value("SELECT body FROM webhook_log WHERE id = $1", first)
    await seed.append(delivery(again))
    await seed.drain()
    await seed.applied(event("checkout.session.completed", checkout()))

    answer = await order(house, filter={"state": "quarantined"})

    assert answer.status == 202
    assert answer.json == {
        "dry_run": False, "matched": 4, "replayed": 3, "skipped": {"same_event": 1}, "next_cursor": None,
        "actor": "eva",
    }  # fmt: skip
    assert (
        await seed.value("SELECT count(*) FROM webhook_log WHERE origin = 'operator' AND actor = 'eva'") == 3
    )
    await seed.drain()
    assert await seed.value("SELECT count(*) FROM event_note WHERE what = 'replayed' AND actor = 'eva'") == 3
    assert await seed.value("SELECT action FROM access_log") == "replay_many"


async def test_a_dry_run_counts_the_same_and_writes_nothing(house: House, seed: Seed) -> None:
    """What a dry run says is what the run then does."""
    await quarantine(seed, 2)
    await seed.applied(event("checkout.session.completed", checkout()))
    rows = await seed.value(LOG_ROWS)

    dry = await order(house, filter={"source": "stripe"}, dry_run=True)
    assert await seed.value(LOG_ROWS) == rows
    real = await order(house, filter={"source": "stripe"})

    assert (dry.status, dry.json["dry_run"], dry.json["replayed"]) == (202, True, 2)
    assert dry.json["skipped"] == {"already_applied": 1}
    assert {**real.json, "dry_run": True} == dry.json
    assert await seed.value(LOG_ROWS) == rows + 2


async def test_what_has_or_will_have_its_effect_is_left_out(house: House, seed: Seed) -> None:
    """Applied and pending events are not touched by "everything", and balances stay."""
    await seed.applied(event("checkout.session.completed", checkout(credits=250)))
    await seed.event(event("checkout.session.completed", checkout()))

    answer = await order(house, filter={})

    assert (answer.json["matched"], answer.json["replayed"]) == (2, 0)
    assert answer.json["skipped"] == {"already_applied": 1, "still_pending": 1}
    assert await seed.value(LOG_ROWS) == 2


async def test_what_was_resolved_stays_resolved_unless_named(house: House, seed: Seed) -> None:
    """A wide replay does not bring back what somebody took off the list; one of `ignored` events does."""
    (log_id,) = await quarantine(seed, 1)
    await house.ask("POST", f"/ops/deliveries/{log_id}/resolve", OPS, WHY)

    wide = await order(house, filter={"source": "stripe"})
    named = await order(house, filter={"state": "ignored"})
    await seed.drain()

    assert (wide.json["replayed"], wide.json["skipped"]) == (0, {"resolved": 1})
    assert named.json["replayed"] == 1
    assert await seed.rows(STATES) == [{"state": "quarantined", "events": 1}]


async def test_refused_deliveries_are_verified_again(house: House, seed: Seed) -> None:
    """Of refused deliveries only those are replayed that one of today's secrets has signed."""
    genuine, forged = (encode(event("checkout.session.completed", checkout())) for _ in range(2))
    await seed.append(
        refused(genuine, "stale_ts", headers=signed_headers(genuine, CREATED)),
        refused(forged, "stale_ts", headers=signed_headers(forged, CREATED, "whsec_of_an_attacker_0001")),
        refused(b"x" * 10, "stale_ts", body_bytes=9_999),
    )

    answer = await order(house, filter={"verdict": "stale_ts"})
    await seed.drain()

    assert (answer.json["matched"], answer.json["replayed"]) == (3, 1)
    assert answer.json["skipped"] == {"signature_invalid": 1, "payload_incomplete": 1}
    assert await seed.rows(STATES) == [{"state": "applied", "events": 1}]


async def test_a_long_list_goes_on_where_it_ended(house: House, seed: Seed) -> None:
    """Beyond the rows of one request the answer has a cursor, and with it the next order does the rest."""
    total = replay_many.chunk_rows + 5
    await seed.append(*(refused(b"{}", "stale_ts", headers=b"[]") for _ in range(total)))
    whole = await order(house, filter={"verdict": "stale_ts"}, dry_run=True)
    newest = (await house.get("/audit/deliveries?limit=5", OPS)).json["next_cursor"]

    rest = await order(house, filter={"verdict": "stale_ts"}, dry_run=True, cursor=newest)

    assert (whole.json["matched"], whole.json["skipped"]) == (total, {"signature_invalid": total})
    assert rest.json["matched"] == total - 5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"filter": []}',
        b'{"filter": {"state": "lost"}}',
        b'{"filter": {"colour": "red"}}',
        b'{"filter": {"limit": "5"}}',
        b'{"filter": {"since": "yesterday"}}',
        b'{"filter": {"ip": "x"}}',
        b'{"filter": {}, "dry_run": "yes"}',
        b'{"filter": {}, "cursor": "x"}',
        b'{"filter": {}, "force": true}',
    ],
)
async def test_a_wrong_order_is_400_and_nothing_happens(house: House, seed: Seed, body: bytes) -> None:
    """An order that cannot be understood wholly is not carried out in part."""
    await quarantine(seed, 1)

    answer = await house.ask("POST", "/ops/replay", OPS, body)

    assert answer.status == 400
    assert await seed.value(LOG_ROWS) == 1


@pytest.mark.parametrize("body", [b"{}", b'{"dry_run": true}', b'{"dry_run": false}'])
async def test_everything_is_replayed_only_where_it_is_asked_for(
    house: House, seed: Seed, body: bytes
) -> None:
    """An order that forgets its filter is refused, with the filters that there are and the word for all."""
    await quarantine(seed, 1)

    answer = await house.ask("POST", "/ops/replay", OPS, body)

    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")
    assert answer.json["details"] == [
        {
            "field": "filter",
            "message": (
                "is required: {} is every delivery, and these narrow it: source, endpoint, origin, verdict, "
                "state, type, event_id, object_id, ip, reason, since, until"
            ),
            "code": "missing",
        }
    ]
    assert await seed.value(LOG_ROWS) == 1


async def test_dashboard_may_not_replay_many(house: House) -> None:
    """A dashboard token on a command is 403, a dry run included."""
    assert (await house.ask("POST", "/ops/replay", DASHBOARD, b'{"dry_run": true}')).status == 403
