"""The audit list and one delivery: filters, pages, story, exact bytes, and the record of who read them."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.house import DASHBOARD, OPS, House
from tests.api.seed import Seed, delivery, kept_headers, refused
from tests.support.stripe_events import checkout, encode, event

ITEM_KEYS = {
    "id", "received_at", "source", "endpoint", "origin", "verdict", "event_id", "event_type", "object_id",
    "state", "processing_result", "attempts", "last_error", "applied_at", "source_ip", "user_agent",
    "request_id", "body_bytes", "body_sha256", "duplicate",
}  # fmt: skip
"""The fields that the contract names."""


async def listed(house: House, query: str = "") -> list[dict[str, Any]]:
    answer = await house.get(f"/audit/deliveries{query}", DASHBOARD)
    assert answer.status == 200, answer.body
    items: list[dict[str, Any]] = answer.json["items"]
    return items


async def test_item_tells_what_the_contract_names(house: House, seed: Seed) -> None:
    """An item has every field of the contract, and its values are those of the delivery."""
    body = event("checkout.session.completed", checkout())
    log_id = await seed.applied(body)

    (item,) = await listed(house)

    assert set() == ITEM_KEYS - item.keys()
    assert str(log_id) == item["id"]
    assert (
        item["source"],
        item["endpoint"],
        item["origin"],
        item["verdict"],
    ) == ("stripe", "stripe", "psp", "ok")
    assert (body["id"], body["type"], body["data"]["object"]["id"]) == (
        item["event_id"],
        item["event_type"],
        item["object_id"],
    )
    assert (
        item["state"],
        item["processing_result"],
        item["attempts"],
        item["duplicate"],
    ) == ("applied", "ok", 1, False)
    assert hashlib.sha256(encode(body)).hexdigest() == item["body_sha256"]
    assert len(encode(body)) == item["body_bytes"]
    assert item["received_at"] <= item["applied_at"]
    assert item["received_at"].endswith("Z")


async def test_refused_delivery_has_no_event_columns(house: House, seed: Seed) -> None:
    """A forged delivery shows its claim, and no state of the event whose id it claims."""
    body = encode(event("checkout.session.completed", checkout()))
    await seed.append(delivery(body), refused(body))

    forged, genuine = await listed(house)

    assert (
        forged["verdict"],
        forged["processing_result"],
        forged["state"],
        forged["attempts"],
        forged["duplicate"],
    ) == ("bad_sig", "signature_invalid", None, None, False)
    assert genuine["event_id"] == forged["event_id"]
    assert genuine["state"] == "pending"


@pytest.mark.parametrize("verdict", ["missing_sig", "malformed_sig", "bad_sig", "stale_ts", "future_ts"])
async def test_signature_verdicts_are_signature_invalid(house: House, seed: Seed, verdict: str) -> None:
    """Every verdict about the signature reads `signature_invalid`."""
    await seed.append(refused(b"{}", verdict))

    assert [item["processing_result"] for item in await listed(house)] == ["signature_invalid"]


@pytest.mark.parametrize("verdict", ["oversize", "bad_encoding", "read_timeout", "truncated"])
async def test_transport_verdicts_are_errors(house: House, seed: Seed, verdict: str) -> None:
    """Every other refusal reads `error:` with its verdict."""
    await seed.append(refused(b"", verdict, body_bytes=999_999, body_sha256=None))

    assert [f"error: {verdict}"] == [item["processing_result"] for item in await listed(house)]


async def test_results_of_verified_deliveries(house: House, seed: Seed) -> None:
    """Pending, ignored, quarantined and parked events and duplicates read as the contract's words."""
    purchase = event("checkout.session.completed", checkout())
    unusable = event("checkout.session.completed", checkout(credits="many"))
    await seed.event(event("customer.updated", {"id": "cus_1", "object": "customer"}))
    await seed.event(unusable)
    await seed.event(purchase)
    await seed.event(purchase)
    await seed.drain()
    await seed.event(event("checkout.session.completed", checkout()))

    results = [item["processing_result"] for item in await listed(house)]

    assert results[:3] == ["pending", "duplicate", "ok"]
    assert results[3].startswith("error: ")
    assert results[4] == "skipped"


async def test_conflicting_body_is_an_error(house: House, seed: Seed) -> None:
    """A second body under a known id is shown as a conflict, the first delivery as what it was."""
    first = event("checkout.session.completed", checkout())
    await seed.event(first)
    await seed.event(first | {"created": first["created"] + 1})
    await seed.drain()

    second_item, first_item = await listed(house)

    assert second_item["processing_result"].startswith("error: conflict")
    assert (second_item["duplicate"], second_item["conflict"]) == (True, True)
    assert first_item["processing_result"] == "ok"


async def test_every_filter_narrows(house: House, seed: Seed) -> None:
    """Each filter lists the delivery that has the value, and not the one that has another."""
    body = event("checkout.session.completed", checkout())
    await seed.append(
        delivery(
            encode(body),
            source="stripe:acct_9",
            endpoint="connect",
            origin="sandbox",
            source_ip="2001:db8::7",
        )
    )
    (wanted,) = await listed(house)
    await seed.append(
        refused(b"{}", event_id=None, event_type=None, object_id=None, source_ip="198.51.100.9")
    )

    for query in (
        "source=stripe:acct_9",
        "endpoint=connect",
        "origin=sandbox",
        "verdict=ok",
        "state=pending",
        "type=checkout.session.completed",
        f"event_id={body['id']}",
        f"object_id={body['data']['object']['id']}",
        "ip=2001:db8::7",
        "ip=2001:db8::/32",
    ):
        assert [wanted["id"]] == [item["id"] for item in await listed(house, f"?{query}")], query
    for query in ("source=stripe:acct_8", "state=applied", "verdict=stale_ts", "ip=203.0.113.0/24"):
        assert await listed(house, f"?{query}") == [], query


async def test_filters_combine(house: House, seed: Seed) -> None:
    """Several filters list what passes all of them."""
    body = encode(event("checkout.session.completed", checkout()))
    await seed.append(delivery(body), refused(body), refused(b"{}", "stale_ts"))

    found = await listed(house, "?verdict=bad_sig&type=checkout.session.completed&ip=192.0.2.0/24")

    assert [(item["verdict"], item["event_type"]) for item in found] == [
        ("bad_sig", "checkout.session.completed")
    ]


async def test_time_range_includes_since_and_excludes_until(house: House, seed: Seed) -> None:
    """`since` is the first moment listed, `until` the first that is not; offsets and lost pluses are read."""
    noon = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
    for minutes in (0, 1, 2):
        await seed.row_at(noon + timedelta(minutes=minutes), f"minute-{minutes}")

    async def minutes_of(query: str) -> list[str]:
        return [item["request_id"] for item in await listed(house, f"?{query}")]

    assert await minutes_of("since=2026-03-29T12:01:00Z&until=2026-03-29T12:02:00Z") == ["minute-1"]
    assert await minutes_of("since=2026-03-29T14:01:00%2B02:00") == ["minute-2", "minute-1"]
    assert await minutes_of("since=2026-03-29T12:01:00+00:00") == ["minute-2", "minute-1"]
    assert await minutes_of("until=2026-03-29T12:01:00.000") == ["minute-0"]
    assert await minutes_of("since=2026-03-29&until=2026-03-30") == ["minute-2", "minute-1", "minute-0"]
    assert await minutes_of("since=2026-03-29T12:01:00Z&until=2026-03-29T12:01:00Z") == []


async def test_pages_hold_every_row_once_while_rows_arrive(house: House, seed: Seed) -> None:
    """Following cursors lists each row there was at the start exactly once, whatever arrives meanwhile."""
    ids = await seed.append(*(refused(b"{}", request_id=f"old-{n}") for n in range(7)))
    seen: list[str] = []
    query = "?limit=3"
    while query:
        answer = (await house.get(f"/audit/deliveries{query}", OPS)).json
        seen += [item["id"] for item in answer["items"]]
        await seed.append(refused(b"{}", request_id="new"))
        query = "" if answer["next_cursor"] is None else f"?limit=3&cursor={answer['next_cursor']}"

    assert [str(log_id) for log_id in reversed(ids)] == seen


async def test_last_full_page_has_no_cursor(house: House, seed: Seed) -> None:
    """A page that holds the last row says so, even when it is full."""
    await seed.append(*(refused(b"{}") for _ in range(3)))

    answer = await house.get("/audit/deliveries?limit=3", OPS)

    assert (len(answer.json["items"]), answer.json["next_cursor"]) == (3, None)


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=1e9", "limit=0", "limit=201", "limit=", "limit=%D9%A1", "limit=1&limit=2",
        "limit=0x10", "cursor=abc", "cursor=", "cursor=AAAAAAAAAAAAAAAAAA", "cursor=%00", "cursor=..%2F..",
        "cursor=%E2%82%AC", "sort=id;drop", "sort=id", "since=yesterday", "since=2026-02-30",
        "since=0000-01-01", "until=9999-12-31",
        "since=2026-13-01T00:00:00Z", "since=2026-01-01T25:00:00Z", "since=2026-01-02&until=2026-01-01",
        "since=1767225600", "verdict=fine", "state=done", "origin=moon", "ip=not-an-ip", "ip=1.2.3.4.5",
        "ip=fe80::1%25eth0", "event_id=", "event_id=%00", "type=a%0Ab", f"source={'x' * 256}",
        "object_id=%1B[31m",
    ],
)  # fmt: skip
async def test_bad_query_is_refused(house: House, query: str) -> None:
    """Whatever cannot be read is a 400 that names the field, never a 500 and never ignored."""
    answer = await house.get(f"/audit/deliveries?{query}", OPS)

    assert answer.status == 400
    assert answer.json["code"] == "VALIDATION_ERROR"
    named = query.partition("=")[0]
    assert {"until" if "&until" in query else named} == {detail["field"] for detail in answer.json["details"]}


async def test_tampered_cursor_is_refused(house: House, seed: Seed) -> None:
    """A cursor with one character changed is not silently another place."""
    await seed.append(refused(b"{}"), refused(b"{}"))
    cursor = (await house.get("/audit/deliveries?limit=1", OPS)).json["next_cursor"]

    statuses = set()
    for place, character in enumerate(cursor):
        changed = cursor[:place] + ("A" if character != "A" else "B") + cursor[place + 1 :]
        statuses.add((await house.get(f"/audit/deliveries?limit=1&cursor={changed}", OPS)).status)

    assert {400} == statuses


async def test_detail_shows_headers_payload_and_story(house: House, seed: Seed) -> None:
    """One delivery comes with headers by name, its text, and what followed, oldest first."""
    body = event("checkout.session.completed", checkout(credits=250))
    headers = kept_headers([("content-type", "application/json"), ("x-hop", "a"), ("x-hop", "b")])
    (log_id,) = await seed.append(delivery(encode(body), headers=headers))
    (again,) = await seed.append(delivery(encode(body)))
    await seed.drain()

    shown = (await house.get(f"/audit/deliveries/{log_id}", DASHBOARD)).json

    assert shown["headers"] == {"content-type": "application/json", "x-hop": ["a", "b"]}
    assert body == json.loads(shown["payload"])
    assert (shown["payload_complete"], shown["timeline_complete"]) == (True, True)
    whats = [entry["what"] for entry in shown["timeline"]]
    assert whats[:2] == ["received", "redelivered"]
    assert whats[-1] == "outcome"
    assert {"transition", "posted"} == set(whats[2:-1])
    assert [str(log_id), str(again)] == [entry["delivery_id"] for entry in shown["timeline"][:2]]
    assert sorted(entry["at"] for entry in shown["timeline"]) == [entry["at"] for entry in shown["timeline"]]
    (posted,) = [entry for entry in shown["timeline"] if entry["what"] == "posted"]
    assert {("cust_1", 250, "250"), ("system:credits_issued", -250, "-250")} == {
        (leg["account_id"], leg["amount_minor"], leg["amount"]) for leg in posted["postings"]
    }


async def test_story_tells_quarantine_and_conflict(house: House, seed: Seed) -> None:
    """Notes of what went wrong are part of the story, with the delivery they are about."""
    body = event("checkout.session.completed", checkout(credits="many"))
    first = await seed.event(body)
    await seed.drain()
    second = await seed.event(body | {"created": 1})
    await seed.drain()

    shown = (await house.get(f"/audit/deliveries/{first}", OPS)).json

    notes = {entry["what"]: entry["delivery_id"] for entry in shown["timeline"] if "detail" in entry}
    assert {"quarantined", "conflict"} == notes.keys()
    assert str(second) == notes["conflict"]


async def test_refused_delivery_has_a_story_of_its_own(house: House, seed: Seed) -> None:
    """A forgery's story is its refusal, not that of the event whose id it claims."""
    body = encode(event("checkout.session.completed", checkout()))
    await seed.append(delivery(body))
    await seed.drain()
    (forged,) = await seed.append(refused(body))

    shown = (await house.get(f"/audit/deliveries/{forged}", OPS)).json

    assert [(entry["what"], entry["verdict"]) for entry in shown["timeline"]] == [("refused", "bad_sig")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(range(256)),
        b"\x00\xff\xfe",
        b"{}\r\n\r\n",
        b"\xef\xbb\xbf{}",
        '{"a":"<script>alert(1)</script>\u202egnp.exe\x1b[31m"}'.encode(),
    ],
)
async def test_raw_is_every_byte(house: House, seed: Seed, body: bytes) -> None:
    """The raw endpoint gives back exactly the bytes that came, as a download that no browser renders."""
    (log_id,) = await seed.append(delivery(body))

    answer = await house.get(f"/audit/deliveries/{log_id}/raw", DASHBOARD)

    assert body == answer.body
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"].startswith("attachment;")


async def test_markup_ansi_and_bidi_come_back_as_data(house: House, seed: Seed) -> None:
    """What an attacker writes into a payload comes back as the same text in JSON, escaped where JSON must."""
    text = '{"name":"<img src=x onerror=alert(1)>\u202e\u2066 \x1b]0;owned\x07 \u2028\'\\"--"}'
    (log_id,) = await seed.append(refused(text.encode(), user_agent="<b>agent</b>"))

    answer = await house.get(f"/audit/deliveries/{log_id}", OPS)

    assert (text, "<b>agent</b>") == (answer.json["payload"], answer.json["user_agent"])
    assert answer.content_type == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"\x1b" not in answer.body


async def test_payload_that_is_no_text_comes_as_base64(house: House, seed: Seed) -> None:
    """Bytes that are no clean UTF-8 are not bent into text."""
    body = b'{"name":"\xff\xfe"}'
    (log_id,) = await seed.append(refused(body))

    shown = (await house.get(f"/audit/deliveries/{log_id}", OPS)).json

    assert body == base64.b64decode(shown["payload_base64"])
    assert "payload" not in shown


async def test_partly_kept_payload_says_so(house: House, seed: Seed) -> None:
    """A refused body of which only the beginning was kept is not passed off as whole."""
    (log_id,) = await seed.append(refused(b"x" * 4096, body_bytes=100_000))

    shown = (await house.get(f"/audit/deliveries/{log_id}", OPS)).json

    assert (shown["payload_complete"], shown["body_bytes"], len(shown["payload"])) == (False, 100_000, 4096)


@pytest.mark.parametrize(
    "bad_id", ["0", "-1", "1", "x", "9223372036854775807", "9223372036854775808", "1e5", "%00", "%2e%2e"]
)
async def test_unknown_delivery_is_404(house: House, bad_id: str) -> None:
    """What is no id, and an id that nothing has, are both 404."""
    for path in (f"/audit/deliveries/{bad_id}", f"/audit/deliveries/{bad_id}/raw"):
        assert (await house.get(path, OPS)).status == 404


async def test_reading_a_payload_is_on_record(house: House, seed: Seed) -> None:
    """Each reading of a payload leaves who, what and under which request id; listing does not."""
    (log_id,) = await seed.append(refused(b"{}"))
    await house.get("/audit/deliveries", OPS)
    await house.get(f"/audit/deliveries/{log_id}", {**DASHBOARD, "X-Request-Id": "look-1"})
    await house.get(f"/audit/deliveries/{log_id}/raw", {**OPS, "X-Request-Id": "look-2"})
    await house.get("/audit/deliveries/77", OPS)

    rows = await seed.rows(
        "SELECT actor, action, object, request_id, host(source_ip) AS ip FROM access_log ORDER BY id"
    )

    assert [
        ("board", "read_payload", f"delivery:{log_id}", "look-1", "127.0.0.1"),
        ("eva", "read_raw", f"delivery:{log_id}", "look-2", "127.0.0.1"),
    ] == [tuple(row.values()) for row in rows]


async def test_payload_is_withheld_when_the_record_cannot_be_written(house: House, seed: Seed) -> None:
    """Without its line in the access log a payload is not shown."""
    (log_id,) = await seed.append(refused(b"secret payload"))
    await seed.connection.execute("REVOKE INSERT ON access_log FROM sluice_api")

    answers = [await house.get(f"/audit/deliveries/{log_id}{end}", OPS) for end in ("", "/raw")]

    assert [answer.status for answer in answers] == [500, 500]
    assert not any(b"secret payload" in answer.body for answer in answers)
