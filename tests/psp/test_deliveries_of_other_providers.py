"""Hyperswitch and Standard Webhooks through a real receiver process: its answers, its rows, and what a worker
makes of them.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest
from multidict import CIMultiDict

from api import replay
from db import pool, reads
from psp.envelope import SigningSecret
from psp.hyperswitch import signature as hyperswitch
from psp.providers import RECEIVERS, Endpoint
from psp.reading import Expected
from psp.standardwebhooks import signature as standard
from psp.stripe import signature as stripe
from runtime import clock
from tests.support.poll import until
from tests.support.ports import free_port
from tests.support.processes import Processes
from workers.drain import Drainer

HYPERSWITCH_SECRET = "hyperswitch_receiver_tests_0123456789"
STRIPE_SECRET = "whsec_other_providers_tests_0123456789"
PARCELS_SECRET = f"whsec_{base64.b64encode(b'a key of more than twenty-four bytes').decode()}"
INVALID = {
    "hyperswitch": {"error": "Invalid Hyperswitch signature"},
    "parcels": {"error": "Invalid Standard Webhooks signature"},
}


@dataclass
class Desk:
    """A running receiver, its database as the owner sees it, and one worker."""

    port: int
    admin: asyncpg.Connection
    drainer: Drainer
    client: aiohttp.ClientSession

    async def post(
        self, endpoint: str, body: bytes, *headers: tuple[str, str]
    ) -> tuple[int, dict[str, Any], str]:
        """Deliver; returns status, answer and the verdict of the row that it left."""
        request_id = secrets.token_hex(8)
        async with self.client.post(
            f"http://127.0.0.1:{self.port}/webhooks/{endpoint}",
            data=body,
            headers=CIMultiDict([*headers, ("X-Request-Id", request_id)]),
        ) as response:
            answer = await response.json()
        verdict = await self.admin.fetchval(
            "SELECT verdict FROM webhook_log WHERE request_id = $1", request_id
        )
        return response.status, answer, verdict


@pytest.fixture
async def desk(dsn: str, redis_url: str, processes: Processes) -> AsyncIterator[Desk]:
    """A receiver with an endpoint of each provider."""
    port = free_port()
    endpoints = [{"path": "parcels", "provider": "standardwebhooks", "secrets": [PARCELS_SECRET]}]
    await processes.start_ready(
        "-m",
        "ingest",
        url=f"http://127.0.0.1:{port}/health/ready",
        environment={
            "DATABASE_URL": dsn,
            "REDIS_URL": redis_url,
            "INGEST_PORT": str(port),
            "STRIPE_WEBHOOK_SECRETS": STRIPE_SECRET,
            "HYPERSWITCH_WEBHOOK_SECRETS": HYPERSWITCH_SECRET,
            "WEBHOOK_ENDPOINTS": msgspec.json.encode(endpoints).decode(),
        },
    )
    admin = await asyncpg.connect(dsn)
    connections = await pool.create_pool(dsn, "sluice_worker", "test-worker", size_max=2)
    async with aiohttp.ClientSession() as client:
        expected = dict.fromkeys(("stripe", "hyperswitch", "parcels"), Expected())
        yield Desk(port, admin, Drainer(connections, expected), client)
    await connections.close()
    await admin.close()


def hyperswitch_body(**changes: Any) -> bytes:
    """A Hyperswitch event of its own id."""
    event = {
        "merchant_id": "m_1",
        "event_id": f"evt_{secrets.token_hex(8)}",
        "event_type": "payment_processing",
        "content": {"type": "payment_details", "object": {"payment_id": "pay_1", "status": "processing"}},
        "timestamp": "2026-11-18T10:00:00.000Z",
    }
    return msgspec.json.encode(event | changes)


def hyperswitch_header(body: bytes) -> tuple[str, str]:
    """The genuine header of this body."""
    return "X-Webhook-Signature-512", hyperswitch.sign(body, HYPERSWITCH_SECRET.encode())


def parcels_headers(message_id: str, body: bytes, at: int | None = None) -> list[tuple[str, str]]:
    """The genuine headers of this body."""
    at = at or clock.now_unix_s()
    signed = standard.sign(message_id, at, body, standard.key_of(PARCELS_SECRET))
    return [("webhook-id", message_id), ("webhook-timestamp", str(at)), ("webhook-signature", signed)]


async def test_b64_b65_b67_only_the_one_hex_digest_of_sha512_is_genuine(desk: Desk) -> None:
    """Another hash, a repeated header, a prefix, base64 and half a byte are all refused alike."""
    body = hyperswitch_body()
    name, digest = hyperswitch_header(body)
    sha256 = hmac.digest(HYPERSWITCH_SECRET.encode(), body, "sha256").hex()
    as_base64 = base64.b64encode(bytes.fromhex(digest)).decode()
    refused = {
        "B64": ([(name, sha256)], "bad_sig"),
        "B65": ([(name, digest), (name, digest)], "malformed_sig"),
        "B67 prefix": ([(name, f"v1={digest}")], "malformed_sig"),
        "B67 base64": ([(name, as_base64)], "malformed_sig"),
        "B67 odd": ([(name, digest[:-1])], "malformed_sig"),
    }

    for row, (headers, verdict) in refused.items():
        assert await desk.post("hyperswitch", body, *headers) == (400, INVALID["hyperswitch"], verdict), row
    assert await desk.post("hyperswitch", body) == (
        400,
        {"error": "Missing x-webhook-signature-512 header"},
        "missing_sig",
    )
    assert await desk.post("hyperswitch", body, (name, digest)) == (200, {"received": True}, "ok")
    assert await desk.admin.fetchval("SELECT count(*) FROM webhook_event") == 1


async def test_b66_a_replay_thirty_days_later_is_taken_and_does_nothing(desk: Desk) -> None:
    """There is no signed time to refuse it by; the inbox knows its id long after the payload has gone."""
    body = hyperswitch_body()
    assert (await desk.post("hyperswitch", body, hyperswitch_header(body)))[0] == 200
    await desk.drainer.run_once()
    await desk.admin.execute("UPDATE webhook_event SET received_at = received_at - interval '30 days'")
    await desk.admin.execute("DELETE FROM webhook_log")
    before = await desk.admin.fetchrow("SELECT * FROM webhook_event")

    assert await desk.post("hyperswitch", body, hyperswitch_header(body)) == (200, {"received": True}, "ok")
    assert await desk.drainer.run_once() == {"duplicate": 1}
    assert await desk.admin.fetch("SELECT * FROM webhook_event") == [before]


async def test_b75_a_delivery_is_genuine_at_its_own_path_only(desk: Desk) -> None:
    """What one source has signed is a forgery at another's path."""
    body, now = hyperswitch_body(), clock.now_unix_s()
    foreign = stripe.sign(body, HYPERSWITCH_SECRET.encode(), now)
    digest = standard.sign("msg_1", now, body, STRIPE_SECRET.encode())
    parcels = [*parcels_headers("msg_1", body, now)[:2], ("webhook-signature", digest)]

    assert (await desk.post("stripe", body, hyperswitch_header(body)))[::2] == (400, "missing_sig")
    assert (await desk.post("stripe", body, ("Stripe-Signature", foreign)))[::2] == (400, "bad_sig")
    assert (await desk.post("parcels", body, *parcels)) == (400, INVALID["parcels"], "bad_sig")


async def test_a_standard_webhook_is_stored_under_its_header_and_ignored(desk: Desk) -> None:
    """The id comes from its header, the rest from the body; nothing moves, and the row says why."""
    body = b'{"type":"parcel.sent","timestamp":"2026-11-18T10:00:00Z","data":{"id":"p_1"}}'

    assert await desk.post("parcels", body, *parcels_headers("msg_1", body)) == (
        200,
        {"received": True},
        "ok",
    )
    assert await desk.post("parcels", body, *parcels_headers("msg_1", body)) == (
        200,
        {"received": True},
        "ok",
    )
    assert await desk.drainer.run_once() == {"ignored": 1, "duplicate": 1}
    row = await desk.admin.fetchrow("SELECT * FROM webhook_event")
    assert row is not None
    assert (
        row["source"],
        row["event_id"],
        row["event_type"],
        row["object_id"],
        row["state"],
        row["reason"],
    ) == (*("standardwebhooks", "msg_1", "parcel.sent", "p_1", "ignored", "unhandled_type"),)


async def test_b68_to_b73_refused_standard_webhooks_are_rows_with_a_verdict(desk: Desk) -> None:
    """Missing, malformed, foreign, stale and future deliveries: two answers, five verdicts."""
    body, now = b'{"type":"x"}', clock.now_unix_s()
    good = parcels_headers("msg_1", body, now)
    missing = {"error": "Missing webhook-id, webhook-timestamp or webhook-signature header"}
    refused = {
        "B68": (good[1:], missing, "missing_sig"),
        "B69": (
            [*good[:2], ("webhook-signature", good[2][1].rstrip("="))],
            INVALID["parcels"],
            "malformed_sig",
        ),
        "B71": ([good[0], ("webhook-timestamp", f"{now}.9"), good[2]], INVALID["parcels"], "malformed_sig"),
        "B72": (parcels_headers("msg.1", body, now), INVALID["parcels"], "malformed_sig"),
        "B73": ([*good[:2], ("webhook-signature", "v1a,AAAA")], INVALID["parcels"], "bad_sig"),
        "old": (parcels_headers("msg_1", body, now - 400), INVALID["parcels"], "stale_ts"),
        "new": (parcels_headers("msg_1", body, now + 400), INVALID["parcels"], "future_ts"),
    }

    for row, (headers, answer, verdict) in refused.items():
        assert await desk.post("parcels", body, *headers) == (400, answer, verdict), row


async def test_b74_a_second_body_under_one_id_is_flagged_and_not_applied(desk: Desk) -> None:
    """Both are signed and stored; the first one stands, and a person is told."""
    for body in (b'{"type":"parcel.sent"}', b'{"type":"parcel.lost"}'):
        answer = await desk.post("parcels", body, *parcels_headers("msg_1", body))
        assert answer == (200, {"received": True}, "ok")
    counts = await desk.drainer.run_once()

    assert counts == {"ignored": 1, "conflict": 1}
    stored = await desk.admin.fetch("SELECT event_type, state, conflict FROM webhook_event")
    assert [tuple(row) for row in stored] == [("parcel.sent", "ignored", True)]
    assert await desk.admin.fetchval("SELECT subject FROM alert WHERE name = 'event_conflict'") == (
        "standardwebhooks:msg_1"
    )


async def test_what_a_forgotten_secret_had_signed_is_replayed_under_its_header(desk: Desk) -> None:
    """The log keeps all three headers, so that a delivery can be verified again once its secret is set."""
    body = b'{"type":"parcel.sent"}'
    forgotten = SigningSecret(b"another key of more than twenty-four bytes", "late")
    now = clock.now_unix_s()
    signed = ("webhook-signature", standard.sign("msg_1", now, body, forgotten.key))
    await desk.post("parcels", body, *parcels_headers("msg_1", body, now)[:2], signed)
    found = await reads.read_delivery(
        desk.admin, await desk.admin.fetchval("SELECT id FROM webhook_log WHERE verdict = 'bad_sig'")
    )
    assert found is not None
    endpoint = Endpoint(
        "parcels", RECEIVERS["standardwebhooks"], "standardwebhooks", None, None, (forgotten,)
    )
    asked = reads.Access("ada", "replay", "delivery:1", "r_1", None)
    delivery = replay.replayed(*found, {"parcels": endpoint}, asked, None)

    assert (delivery.verdict, delivery.event_id, delivery.event_type, delivery.secret_id) == (
        *("ok", "msg_1", "parcel.sent", "late"),
    )


async def test_a_secret_of_another_form_refuses_to_start(
    dsn: str, redis_url: str, processes: Processes
) -> None:
    """One clear line, exit 78, and not a character of the secret."""
    endpoints = '[{"path":"parcels","provider":"standardwebhooks","secrets":["not-in-the-right-form"]}]'
    running = processes.start(
        "-m",
        "ingest",
        environment={"DATABASE_URL": dsn, "REDIS_URL": redis_url, "WEBHOOK_ENDPOINTS": endpoints},
    )
    await until(lambda: running.process.poll() is not None, 20.0, "the receiver to refuse its settings")

    assert running.process.wait() == 78
    assert "'parcels' does not start with whsec_" in running.output()
    assert "not-in-the-right-form" not in running.output()
