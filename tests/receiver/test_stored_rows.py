"""What a delivery leaves behind: exact bytes, allow-listed headers, a request id, and a count that loses
nobody."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter

import asyncpg
import pytest

from tests.receiver.deliveries import BYTES_MAX, SECRET, Sender, event_body, header_for, unix_s
from tests.receiver.log_rows import kept_headers
from tests.receiver.running import Receiver
from tests.receiver.wire import CANARY
from tests.support.poll import until

aggregate_s_max = 20.0
"""Counted refusals become rows every 2 s."""


def signature_over(body: bytes) -> str:
    at = unix_s()
    return f"t={at},v1={hmac.new(SECRET.encode(), b'%d.' % at + body, hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize("size", [0, 1, 257, 4_096, 4_097, 65_536, BYTES_MAX])
async def test_a_verified_body_is_kept_to_the_byte(receiver: Receiver, sender: Sender, size: int) -> None:
    """Whatever bytes were signed, the row holds exactly these, their length and their sha256."""
    body = (bytes(range(256)) * (size // 256 + 1))[:size]

    answer = await receiver.answer_to(sender.post(body, signature=signature_over(body)))

    assert answer.status == 200
    rows = await receiver.rows.of_request(sender.request_id)
    kept = (body, size, hashlib.sha256(body).digest())
    assert [kept] == [(row["body"], row["body_bytes"], row["body_sha256"]) for row in rows]


@pytest.mark.parametrize("size", [4_096, 4_097, BYTES_MAX])
async def test_of_a_refused_body_four_kibibytes_are_kept(
    receiver: Receiver, sender: Sender, size: int
) -> None:
    """A forged body is kept whole up to 4 KiB, beyond that its beginning; length and sha256 are of all of
    it."""
    body = event_body(size=size)

    await receiver.answer_to(sender.post(body, signature="t=1,v1=00"))

    rows = await receiver.rows.of_request(sender.request_id)
    kept = (body[:4_096], size, hashlib.sha256(body).digest())
    assert [kept] == [(row["body"], row["body_bytes"], row["body_sha256"]) for row in rows]


async def test_a_flood_of_forgeries_is_counted_to_the_last(receiver: Receiver) -> None:
    """Of 200 forgeries from one address in a burst at most 60 a minute are rows, the rest a count:
    together 200; another address is not affected by that."""
    flood, neighbour = Sender(), Sender()
    answers = await asyncio.gather(
        *(receiver.answer_to(flood.post(event_body(), signature="t=1,v1=00")) for _ in range(200))
    )
    await receiver.answer_to(neighbour.post(event_body(), signature="t=1,v1=00"))

    async def all_accounted_for() -> bool:
        return await receiver.rows.requests_of(flood.address) == {"stale_ts": 200}

    assert Counter(answer.status for answer in answers) == {400: 200}
    await until(all_accounted_for, aggregate_s_max, "rows and aggregates to be 200")
    rows = await receiver.rows.rows_of(flood.address)
    own = [row for row in rows if row["requests"] == 1 and row["body"]]
    assert 60 <= len(own) <= 120  # the burst may fall into two minutes
    assert len(rows) <= 122
    assert await receiver.rows.verdicts(neighbour.request_id) == ["stale_ts"]


async def test_kinds_of_refusals_are_counted_apart(receiver: Receiver) -> None:
    """Beyond the budget too, the log tells how many deliveries of an address failed in which way."""
    sender = Sender()
    for _ in range(70):
        await receiver.answer_to(sender.post(event_body(), signature="t=1,v1=00"))
    for _ in range(70):
        await receiver.answer_to(sender.post(event_body(), signature="nonsense"))

    async def all_accounted_for() -> bool:
        return await receiver.rows.requests_of(sender.address) == {"stale_ts": 70, "malformed_sig": 70}

    await until(all_accounted_for, aggregate_s_max, "70 refusals of each kind")


async def test_verified_deliveries_have_no_budget(receiver: Receiver, sender: Sender) -> None:
    """A hundred and fifty genuine deliveries from one address within a second are a hundred and fifty
    rows."""
    answers = await asyncio.gather(*(receiver.answer_to(sender.post(event_body())) for _ in range(150)))

    assert Counter(answer.status for answer in answers) == {200: 150}
    assert len(await receiver.rows.of_request(sender.request_id)) == 150


async def test_the_address_is_what_the_nearest_proxy_says(receiver: Receiver) -> None:
    """Of `X-Forwarded-For` the last hop that is no proxy of ours counts; what a sender put in front of it
    does not, and an entry that is no address leaves the proxy itself."""
    shown = {}
    for name, forwarded in {
        "one": b"203.0.113.5",
        "spoofed": b"198.51.100.1, 203.0.113.6",
        "two_proxies": b"203.0.113.7, 127.0.0.9",
        "only_proxies": b"127.0.0.8, 127.0.0.9",
        "nonsense": b"203.0.113.8, unknown",
        "ipv6": b"2001:db8::7",
    }.items():
        sender = Sender(address=forwarded.decode())
        await receiver.answer_to(sender.post(event_body()))
        shown[name] = (await receiver.rows.of_request(sender.request_id))[0]["address"]

    assert shown == {
        "one": "203.0.113.5",
        "spoofed": "203.0.113.6",
        "two_proxies": "203.0.113.7",
        "only_proxies": "127.0.0.8",
        "nonsense": "127.0.0.1",
        "ipv6": "2001:db8::7",
    }


async def test_a_request_id_is_taken_as_it_came(receiver: Receiver, sender: Sender) -> None:
    """The sender's X-Request-Id names the row."""
    await receiver.answer_to(sender.post(event_body()))

    assert [sender.request_id] == [
        row["request_id"] for row in await receiver.rows.of_request(sender.request_id)
    ]


@pytest.mark.parametrize(
    "given", ["", "x" * 256, "a\tb", "é\udcff"], ids=["empty", "long", "control", "no_text"]
)
async def test_a_request_id_that_cannot_be_kept_is_replaced(receiver: Receiver, given: str) -> None:
    """An empty, endless or unprintable request id is replaced by one of 32 hex digits; the delivery is
    taken."""
    sender = Sender()
    body = event_body()
    whole = sender.post(body).replace(sender.request_id.encode(), given.encode("utf-8", "surrogateescape"), 1)

    assert (await receiver.answer_to(whole)).status == 200
    rows = await receiver.rows.rows_of(sender.address)
    assert [body] == [row["body"] for row in rows]
    assert len(bytes.fromhex(rows[0]["request_id"]) * 2) == 32


async def test_headers_are_kept_by_an_allow_list(receiver: Receiver, sender: Sender) -> None:
    """Signature, type and agent are kept as they came, byte for byte; cookies, tokens and unknown headers
    are not."""
    body = event_body()
    signature = header_for(body)
    await receiver.answer_to(
        sender.post(
            body,
            b"User-Agent: Stripe/1.0 \xe9\xff",
            b"Content-Type: application/json",
            b"Cookie: session=1",
            b"Authorization: Bearer 1",
            b"X-Api-Key: 1",
            b"X-Other: 1",
            signature=signature,
        )
    )

    row = (await receiver.rows.of_request(sender.request_id))[0]
    kept = kept_headers(row)
    assert {
        "host": "sluice.test",
        "x-request-id": sender.request_id,
        "x-forwarded-for": sender.address,
        "content-length": str(len(body)),
        "content-type": "application/json",
        "stripe-signature": signature,
        "user-agent": b"Stripe/1.0 \xe9\xff".decode("latin-1"),
    } == kept
    assert row["user_agent"].isascii()
    assert row["user_agent"].startswith("Stripe/1.0")


async def test_one_id_delivered_often_is_one_event_and_as_many_rows(receiver: Receiver) -> None:
    """Ten deliveries of one event at once: ten rows in the log, one event in the inbox, nine noted as
    known."""
    event_id = f"evt_{secrets.token_hex(8)}"
    body = event_body(event_id)
    senders = [Sender() for _ in range(10)]
    answers = await asyncio.gather(*(receiver.answer_to(sender.post(body)) for sender in senders))

    assert [answer.status for answer in answers] == [200] * 10
    ids = [row["id"] for sender in senders for row in await receiver.rows.of_request(sender.request_id)]
    assert len(set(ids)) == 10
    event = await receiver.rows.event("stripe", event_id)
    assert event is not None
    noted = await receiver.rows.connection.fetch(
        "SELECT log_id FROM webhook_redelivery WHERE event_id = $1", event_id
    )
    assert set(ids) - {event["log_id"]} == {row["log_id"] for row in noted}


async def test_what_a_forgery_claims_reaches_no_inbox(receiver: Receiver, sender: Sender) -> None:
    """A forged body's event id is shown in the log as a claim and makes no event."""
    event_id = f"evt_{secrets.token_hex(8)}"
    await receiver.answer_to(sender.post(event_body(event_id), signature="t=1,v1=00"))

    assert [event_id] == [row["event_id"] for row in await receiver.rows.of_request(sender.request_id)]
    assert None is await receiver.rows.event("stripe", event_id)


async def test_nothing_of_a_delivery_is_in_the_process_log(receiver: Receiver, sender: Sender) -> None:
    """Neither payloads nor request ids nor secrets appear in what the receiver prints, refusals included."""
    await receiver.answer_to(sender.post(event_body()))
    await receiver.answer_to(sender.post(event_body(), signature="t=1,v1=00"))
    await receiver.answer_to(b"\x00" + CANARY + b"\r\n\r\n")

    printed = receiver.running.output()
    assert "listening" in printed
    assert [text for text in (CANARY.decode(), SECRET, "postgresql://") if text in printed] == []


async def test_the_log_refuses_changes_even_to_its_writer(receiver: Receiver, sender: Sender) -> None:
    """The receiver's own role cannot touch the row that it has just written."""
    await receiver.answer_to(sender.post(event_body()))
    connection = await asyncpg.connect(
        receiver.environment["DATABASE_URL"], server_settings={"role": "sluice_ingest"}
    )
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE webhook_log SET verdict = 'bad_sig'")
    finally:
        await connection.close()
    assert await receiver.rows.verdicts(sender.request_id) == ["ok"]
