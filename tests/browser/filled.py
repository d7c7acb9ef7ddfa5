"""Fills a house with what an operator meets on a bad day; the payloads try what a page could fall for."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.api.seed import MEASURED, Seed, delivery, refused
from tests.support.stripe_events import checkout, dispute, encode, event, refund

MARKUP = '<script>window.broken=1</script><img src=x onerror="window.broken=1">{{7*7}}'
ANSI = "\x1b[31mred\x1b[0m\x07"
RTL = "invoice\u202egpj.exe \u05e9\u05dc\u05d5\u05dd"
LONG = "long-" * 40_000
"""200 KB."""


RUN = """
INSERT INTO reconcile_run (id, requested_by, phases, status, picked_up_at, finished_at, counts)
VALUES (gen_random_uuid(), 'interval', '{undelivered_events}', 'succeeded', now(), now(), $1::text::jsonb)
RETURNING id::text
"""
FINDING = """
INSERT INTO reconcile_finding (run_id, source, class, object_id, detail, repaired)
VALUES ($1::text::uuid, 'stripe', 'missing_event', $2, $3, true)
"""


@dataclass(frozen=True)
class Filled:
    """Delivery ids of what was put in."""

    applied: int
    quarantined: int
    forged: int
    hostile: int
    long: int
    run: str


async def fill(seed: Seed) -> Filled:
    """Top-ups, a refund, a dispute, duplicates, forgeries, quarantine, conflicts, alerts, reconcile runs."""
    bought = checkout(credits=1_250, amount=1_339, account="cust_1")
    paid = event("checkout.session.completed", bought)
    applied = await seed.applied(paid)
    await seed.event(paid)
    await seed.applied(event("refund.created", refund(bought["payment_intent"], 300)))
    other = checkout(credits=90, account="cust_2")
    await seed.applied(event("checkout.session.completed", other))
    await seed.applied(event("charge.dispute.funds_withdrawn", dispute(other["payment_intent"], 90)))
    for unit, amount in (("usdc", 12_500_000), ("jpy", 1_200), ("usd", -4_205), ("kwd", 1_500)):
        await seed.grant("cust_1", unit, amount)
    quarantined = await seed.applied(event("checkout.session.completed", checkout(credits="many")))
    await seed.applied(event("checkout.session.completed", checkout(credits=500, amount=3)))
    conflicting = {**paid, "data": {"object": {**bought, "amount_total": 1}}}
    await seed.append(delivery(encode(conflicting)))
    await seed.event(event("refund.created", refund("pi_never_seen", 10)))
    hostile = json.dumps({
        "id": "evt_hostile", "type": "checkout.session.completed", "created": 1_795_000_000,
        "data": {"object": {"id": f"cs_{MARKUP}"[:200], "note": MARKUP, "ansi": ANSI, "rtl": RTL}},
    }).encode()  # fmt: skip
    odd = {"event_id": MARKUP[:200], "object_id": RTL, "user_agent": MARKUP[:200]}
    (forged,) = await seed.append(refused(hostile, **odd))
    (hostile_id,) = await seed.append(delivery(hostile, event_type=MARKUP[:150], **odd))
    (long,) = await seed.append(delivery(encode({"id": "evt_long", "type": "x.y", "s": LONG})))
    await seed.append(refused(b"\xff\xfe not text", "malformed_sig"))
    await seed.append(refused(b"", requests=400, body_sha256=None))
    await seed.drain()
    counts = {"listed": 3, "missing_event": 1, "repaired": 1, "completeness": {"stripe": 0.9987}}
    run = await seed.value(RUN, json.dumps(counts))
    await seed.connection.execute(MEASURED)
    await seed.connection.execute(FINDING, run, MARKUP[:200], RTL)
    await seed.connection.execute(
        "INSERT INTO alert (name, subject, detail) VALUES ('ambiguous_order', $1, $2)", MARKUP[:200], ANSI
    )
    await seed.connection.execute(
        "INSERT INTO process_heartbeat (process, instance, started_at, beat_at) VALUES "
        "('worker', 'host:7', now(), now()), ('reconciler', 'host:8', now(), now() - interval '5 min')"
    )
    return Filled(applied, quarantined, forged, hostile_id, long, run)
