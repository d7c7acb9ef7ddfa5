"""Replay: one more delivery in the log under the operator's name; an effect only where there was none."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
import redis

from runtime.doorbell import QUEUE_NAME
from tests.api.house import DASHBOARD, OPS, House, running
from tests.api.seed import Seed, delivery, refused, signed_headers
from tests.support.poll import until
from tests.support.stripe_events import CREATED, checkout, encode, event

LOG_ROW = "SELECT * FROM webhook_log WHERE id = $1"
EVENT_STATE = "SELECT state FROM webhook_event WHERE event_id = $1"
CREDITS = "SELECT coalesce(sum(amount), 0)::int FROM balance WHERE account_id = 'cust_1' AND unit = 'credit'"


async def test_replay_of_a_verified_delivery_is_an_append(house: House, seed: Seed) -> None:
    """A replay copies what the PSP sent, says who asked and when, and changes no row that is there."""
    body = event("checkout.session.completed", checkout())
    log_id = await seed.applied(body)
    before = await seed.rows(LOG_ROW, log_id)

    answer = await house.ask(
        "POST", f"/ops/deliveries/{log_id}/replay", {**OPS, "X-Request-Id": "why-1", "User-Agent": "console"}
    )

    assert answer.status == 202
    assert (answer.json["delivery_id"], answer.json["event_id"], answer.json["state"]) == (
        str(log_id),
        body["id"],
        "applied",
    )
    assert await seed.rows(LOG_ROW, log_id) == before
    (row,) = await seed.rows(LOG_ROW, int(answer.json["replay_delivery_id"]))
    same = ("source", "endpoint", "event_id", "event_type", "object_id", "body", "body_sha256", "headers")
    assert {name: row[name] for name in same} == {name: before[0][name] for name in same}
    assert (row["origin"], row["verdict"], row["actor"], row["request_id"], row["user_agent"]) == (
        "operator",
        "ok",
        "eva",
        "why-1",
        "console",
    )
    assert str(row["source_ip"]) == "127.0.0.1"


async def test_replay_of_an_applied_event_has_no_second_effect(house: House, seed: Seed) -> None:
    """Ten clicks at once on an applied top-up leave the balance alone, and ten rows that say who clicked."""
    log_id = await seed.applied(event("checkout.session.completed", checkout(credits=250)))

    answers = await asyncio.gather(*(house.post(f"/ops/deliveries/{log_id}/replay", OPS) for _ in range(10)))
    await seed.drain()

    assert {answer.status for answer in answers} == {202}
    assert await seed.value(CREDITS) == 250
    assert (
        await seed.value("SELECT count(*) FROM webhook_log WHERE origin = 'operator' AND actor = 'eva'") == 10
    )
    assert await seed.value("SELECT count(*) FROM access_log WHERE action = 'replay' AND actor = 'eva'") == 10


async def test_replay_opens_a_quarantined_event_again(house: House, seed: Seed) -> None:
    """A quarantined event is decided anew after a replay, and the note says at whose wish."""
    body = event("checkout.session.completed", checkout(credits="many"))
    log_id = await seed.applied(body)
    assert await seed.value(EVENT_STATE, body["id"]) == "quarantined"

    answer = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)
    await seed.drain()

    assert (answer.status, answer.json["state"]) == (202, "quarantined")
    notes = await seed.rows("SELECT what, actor FROM event_note WHERE event_id = $1 ORDER BY id", body["id"])
    assert [note["what"] for note in notes] == ["quarantined", "replayed", "quarantined"]
    assert notes[1]["actor"] == "eva"


async def test_replay_of_a_genuine_delivery_that_was_refused(house: House, seed: Seed) -> None:
    """A delivery refused as stale whose signature is genuine is appended as verified and takes effect."""
    body = event("checkout.session.completed", checkout(credits=250))
    raw = encode(body)
    (log_id,) = await seed.append(refused(raw, "stale_ts", headers=signed_headers(raw, CREATED)))
    await seed.drain()
    assert await seed.value(CREDITS) == 0

    answer = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)
    await seed.drain()

    assert (answer.status, answer.json["event_id"], answer.json["state"]) == (202, body["id"], "pending")
    assert await seed.value(CREDITS) == 250
    (row,) = await seed.rows(LOG_ROW, int(answer.json["replay_delivery_id"]))
    assert (row["verdict"], row["signed_at"], row["body"]) == ("ok", CREATED, raw)
    assert (
        await seed.value("SELECT psp_created FROM webhook_event WHERE event_id = $1", body["id"]) == CREATED
    )


async def test_replay_of_a_signed_body_without_an_id(house: House, seed: Seed) -> None:
    """A genuine body that cannot be read becomes an event under its digest, as it would at the receiver."""
    raw = b"\xff\x00 not json"
    (log_id,) = await seed.append(
        refused(raw, "future_ts", headers=signed_headers(raw, CREATED), event_id=None)
    )

    answer = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)
    await seed.drain()

    event_id = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert (answer.status, answer.json["event_id"]) == (202, event_id)
    assert await seed.value(EVENT_STATE, event_id) == "quarantined"


async def test_rotated_secret_verifies_again(dsn: str, redis_url: str, seed: Seed) -> None:
    """What was refused for want of a secret is genuine once that secret is configured, and only then."""
    raw = encode(event("checkout.session.completed", checkout()))
    other = "whsec_the_other_secret_0001"
    (log_id,) = await seed.append(refused(raw, headers=signed_headers(raw, CREATED, other)))

    async with running(dsn, redis_url) as house:
        before = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)
    async with running(dsn, redis_url, STRIPE_WEBHOOK_SECRETS=other) as house:
        after = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)

    assert (before.status, before.json["code"]) == (409, "SIGNATURE_INVALID")
    assert after.status == 202


@pytest.mark.parametrize("case", ["forged", "unsigned", "tampered", "no_such_endpoint"])
async def test_forgery_cannot_be_replayed(house: House, seed: Seed, case: str) -> None:
    """What no secret of its endpoint has signed never becomes an event; the attempt is on record."""
    raw = encode(event("checkout.session.completed", checkout()))
    rows = {
        "forged": refused(raw, headers=signed_headers(raw, CREATED, "whsec_of_an_attacker_0001")),
        "unsigned": refused(raw, "missing_sig"),
        "tampered": refused(raw, headers=signed_headers(raw + b" ", CREATED)),
        "no_such_endpoint": refused(raw, endpoint="gone", headers=signed_headers(raw, CREATED)),
    }
    (log_id,) = await seed.append(rows[case])

    answer = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)

    assert (answer.status, answer.json["code"]) == (409, "SIGNATURE_INVALID")
    assert await seed.value("SELECT count(*) FROM webhook_event") == 0
    assert await seed.value("SELECT count(*) FROM webhook_log") == 1
    assert await seed.value("SELECT object FROM access_log") == f"delivery:{log_id}"


@pytest.mark.parametrize(
    "changes",
    [
        {"body_bytes": 4097},
        {"body_sha256": None},
        {"body_sha256": bytes(32)},
        {"requests": 7},
    ],
)
async def test_partly_kept_delivery_cannot_be_replayed(
    house: House, seed: Seed, changes: dict[str, Any]
) -> None:
    """A body that is not whole is 409, even where its signature header is."""
    raw = b"x" * 4096
    (log_id,) = await seed.append(refused(raw, **{"headers": signed_headers(raw, CREATED), **changes}))

    answer = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)

    assert (answer.status, answer.json["code"]) == (409, "PAYLOAD_INCOMPLETE")


async def test_replay_of_what_is_gone_is_404(house: House, seed: Seed) -> None:
    """A delivery that retention has taken is 404; the command is on record all the same."""
    log_id = await seed.applied(event("checkout.session.completed", checkout()))
    await seed.connection.execute("DELETE FROM webhook_log")

    answer = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)

    assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND")
    assert await seed.value("SELECT count(*) FROM access_log WHERE action = 'replay'") == 1


async def test_replay_rings_the_workers(house: House, seed: Seed, redis_url: str) -> None:
    """A replay rings the doorbell, so that nobody waits for the sweep."""
    log_id = await seed.event(event("checkout.session.completed", checkout()))

    await house.post(f"/ops/deliveries/{log_id}/replay", OPS)

    with redis.Redis.from_url(redis_url) as client:
        await until(lambda: client.zcard(QUEUE_NAME), 10, "a ring in the queue")


async def test_replay_works_without_redis(dsn: str, seed: Seed) -> None:
    """A doorbell that cannot ring costs nothing: the replay is committed and answered."""
    log_id = await seed.event(event("checkout.session.completed", checkout()))

    async with running(dsn, "redis://127.0.0.1:1/0") as house:
        answer = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)

    assert answer.status == 202


async def test_dashboard_may_not_replay(house: House, seed: Seed) -> None:
    """A dashboard token on a command is 403, and nothing is appended."""
    log_id = await seed.event(event("checkout.session.completed", checkout()))

    answer = await house.post(f"/ops/deliveries/{log_id}/replay", DASHBOARD)

    assert (answer.status, answer.json["code"]) == (403, "FORBIDDEN")
    assert await seed.value("SELECT count(*) FROM webhook_log") == 1


async def test_reconcilers_and_sandbox_deliveries_replay_too(house: House, seed: Seed) -> None:
    """Where a verified delivery came from makes no difference to its replay."""
    raw = encode(event("checkout.session.completed", checkout()))
    (log_id,) = await seed.append(delivery(raw, origin="reconciler", actor="run-1", secret_id=None))

    answer = await house.post(f"/ops/deliveries/{log_id}/replay", OPS)

    assert (answer.status, answer.json["actor"]) == (202, "eva")
