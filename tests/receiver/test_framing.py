"""B1-B35: HTTP framing and routing, sent byte for byte to a real receiver, and what the audit log says of
it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from tests.receiver.deliveries import BYTES_MAX, SECRET, Sender, chunked, event_body, header_for
from tests.receiver.running import Receiver
from tests.receiver.wire import CANARY, NoAnswerError
from tests.support.poll import until

RECEIVED = b'{"received":true}'
type_request = Callable[[Sender], bytes]


def signed_chunks(sender: Sender, size: int, chunk_bytes: int) -> bytes:
    return sender.post_chunked(event_body(size=size), chunk_bytes)


def unsigned(sender: Sender, *headers: bytes, body: bytes = b"{}") -> bytes:
    return sender.head(*headers) + body


ACCEPTED: dict[str, type_request] = {
    "B1-body_of_the_largest_size": lambda s: s.post(event_body(size=BYTES_MAX)),
    "B5-chunked_and_small": lambda s: signed_chunks(s, 400, 100),
    "B6-chunked_of_the_largest_size": lambda s: signed_chunks(s, BYTES_MAX, 8_192),
    "B7-twenty_thousand_chunks_of_one_byte": lambda s: signed_chunks(s, 20_000, 1),
    "B22-http_1_0": lambda s: s.post(event_body(), version=b"HTTP/1.0"),
    "B29-absolute_form": lambda s: s.post(event_body(), target=b"http://evil.example/webhooks/stripe"),
    "B29-absolute_form_https": lambda s: s.post(event_body(), target=b"https://evil.example:1/webhooks/stripe"),
    "query_is_no_part_of_the_path": lambda s: s.post(event_body(), target=b"/webhooks/stripe?account=1"),
    "alias": lambda s: s.post(event_body(), target=b"/api/webhooks/stripe"),
    "expect_continue": lambda s: s.post(event_body(), b"Expect: 100-continue"),
    "B35-upgrade_to_websocket": lambda s: s.post(
        event_body(), b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
}  # fmt: skip


@pytest.mark.parametrize("build", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_a_signed_delivery_is_taken_however_it_is_framed(
    receiver: Receiver, sender: Sender, build: type_request
) -> None:
    """Any legal framing of a signed body answers 200 and leaves one verified row with exactly the bytes of
    the body."""
    answer = await receiver.answer_to(build(sender))

    assert (answer.status, answer.body) == (200, RECEIVED)
    rows = await receiver.rows.of_request(sender.request_id)
    assert [row["verdict"] for row in rows] == ["ok"]
    assert (rows[0]["source"], rows[0]["endpoint"], rows[0]["origin"]) == ("stripe", "stripe", "psp")
    assert hashlib.sha256(rows[0]["body"]).digest() == rows[0]["body_sha256"]
    assert CANARY in rows[0]["body"]


OVERSIZE: dict[str, tuple[type_request, int]] = {
    "B2-one_byte_too_many": (lambda s: s.post(event_body(size=BYTES_MAX + 1)), BYTES_MAX + 1),
    "B3-ten_gigabytes_declared": (lambda s: s.head(b"Content-Length: 10000000000"), 10_000_000_000),
    "B4-ten_gigabytes_announced": (
        lambda s: s.head(b"Content-Length: 10000000000", b"Expect: 100-continue"), 10_000_000_000,
    ),
    "B6-chunked_one_byte_too_many": (lambda s: signed_chunks(s, BYTES_MAX + 1, 8_192), BYTES_MAX + 1),
    "signed_far_too_large_in_one_chunk": (lambda s: signed_chunks(s, 3 * BYTES_MAX, 3 * BYTES_MAX), 0),
}  # fmt: skip


@pytest.mark.parametrize(("build", "size"), OVERSIZE.values(), ids=OVERSIZE.keys())
async def test_a_body_beyond_the_limit_is_refused_at_once(
    receiver: Receiver, sender: Sender, build: type_request, size: int
) -> None:
    """More than 262,144 bytes, declared or sent, answer 413 without waiting or inviting, and the
    connection ends; the row holds at most 4 KiB, the sha256 of what came, and the length."""
    async with receiver.connected() as wire:
        await wire.send(build(sender))
        answer = await wire.answer()
        assert await wire.ended(within_s=10)

    assert (answer.status, answer.error) == (413, "Payload too large")
    rows = await receiver.rows.of_request(sender.request_id)
    assert [row["verdict"] for row in rows] == ["oversize"]
    assert len(rows[0]["body"]) <= 4_096
    assert rows[0]["body_bytes"] >= (size or BYTES_MAX + 1)


UNFRAMED: dict[str, type_request] = {
    "B8-length_and_chunked": lambda s: (
        s.head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"
    ),
    "B9-two_equal_lengths": lambda s: unsigned(s, b"Content-Length: 2", b"Content-Length: 2"),
    "B10-two_different_lengths": lambda s: unsigned(s, b"Content-Length: 2", b"Content-Length: 3"),
    "B11-length_plus": lambda s: unsigned(s, b"Content-Length: +2"),
    "B11-length_minus": lambda s: unsigned(s, b"Content-Length: -1"),
    "B11-length_letters": lambda s: unsigned(s, b"Content-Length: abc"),
    "B11-length_empty": lambda s: unsigned(s, b"Content-Length:"),
    "B12-gzip_then_chunked": lambda s: s.head(b"Transfer-Encoding: gzip, chunked") + chunked(b"{}", 2),
    "B12-chunked_twice": lambda s: s.head(b"Transfer-Encoding: chunked, chunked") + chunked(b"{}", 2),
    "B12-gzip_and_chunked_in_two_headers": lambda s: (
        s.head(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked") + chunked(b"{}", 2)
    ),
    "B13-unknown_transfer_coding": lambda s: s.head(b"Transfer-Encoding: xchunked") + chunked(b"{}", 2),
    "B14-bad_chunk_size": lambda s: s.head(b"Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n",
    "B21-no_host": lambda s: s.post(event_body(), host=()),
    "B21-two_hosts": lambda s: s.post(event_body(), host=(b"Host: a.test", b"Host: b.test")),
    "B23-http_3_7": lambda s: s.post(event_body(), version=b"HTTP/3.7"),
    "B23-http_2_preface": lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + CANARY,
    "B23-tls_hello": lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY * 20,
    "B23-binary": lambda _: bytes(range(256)) + CANARY + b"\r\n\r\n",
    "B25-method_in_lower_case": lambda s: s.post(event_body(), method=b"post"),
    "B25-unknown_method": lambda s: s.post(event_body(), method=b"FOO"),
    "B27-asterisk": lambda s: s.post(event_body(), target=b"*"),
    "B30-path_not_ascii": lambda s: s.post(event_body(), target=b"/webhooks/stripe\xc3\xa9"),
    "B30-path_of_nine_thousand_bytes": lambda s: s.post(event_body(), target=b"/" + b"a" * 9_000),
    "B31-header_of_nine_thousand_bytes": lambda s: s.post(event_body(), b"X-Long: " + b"a" * 9_000),
    "B31-hundred_and_fifty_headers": lambda s: s.post(event_body(), *[b"X-Many: 1"] * 150),
    "B32-header_without_colon": lambda s: s.post(event_body(), b"X-Nothing " + CANARY),
    "B32-space_before_colon": lambda s: s.post(event_body(), b"X-Space : " + CANARY),
    "B32-folded_header": lambda s: s.post(event_body(), b"X-Folded: a\r\n " + CANARY),
    "B32-nul_in_header": lambda s: s.post(event_body(), b"X-Nul: a\0" + CANARY),
    "B32-bare_carriage_return": lambda s: s.post(event_body(), b"X-Bare: a\r" + CANARY),
    "B32-lines_end_in_lf_only": lambda s: s.post(event_body()).replace(b"\r\n", b"\n"),
}


@pytest.mark.parametrize("build", UNFRAMED.values(), ids=UNFRAMED.keys())
async def test_what_is_not_http_is_a_bad_request(
    receiver: Receiver, sender: Sender, build: type_request
) -> None:
    """Ambiguous or broken framing answers 400 in JSON without an echo, ends the connection and never
    becomes a row."""
    async with receiver.connected() as wire:
        await wire.send(build(sender))
        answer = await wire.answer()
        assert await wire.ended(within_s=10)

    assert (answer.status, answer.error) == (400, "Bad request")
    assert await receiver.rows.verdicts(sender.request_id) == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"OPTIONS", b"TRACE", b"DELETE", b"PATCH"])
@pytest.mark.parametrize("path", [b"/webhooks/stripe", b"/api/webhooks/stripe"])
async def test_b24_only_post_is_allowed(
    receiver: Receiver, sender: Sender, method: bytes, path: bytes
) -> None:
    """B24: any other method on an endpoint answers 405, names POST, and is no delivery."""
    async with receiver.connected() as wire:
        await wire.send(sender.head(b"Content-Length: 0", method=method, target=path))
        if method == b"HEAD":
            with pytest.raises(NoAnswerError) as caught:  # a HEAD answer names a body that does not follow
                await wire.answer()
            assert caught.value.received == b""
            return
        answer = await wire.answer()

    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert await receiver.rows.verdicts(sender.request_id) == []


UNKNOWN_PATHS = {
    "B26-slash_behind": b"/webhooks/stripe/",
    "B26-slash_before": b"//webhooks/stripe",
    "B26-capitals": b"/Webhooks/Stripe",
    "B27-encoded_slash": b"/webhooks%2fstripe",
    "B27-dots": b"/a/../webhooks/stripe",
    "B27-encoded_dots": b"/a/%2e%2e/webhooks/stripe",
    "B27-parameter": b"/webhooks/stripe;x",
    "B27-encoded_nul": b"/webhooks/stripe%00",
    "B27-bad_escape": b"/webhooks/stripe%zz",
    "B28-encoded_letter": b"/webhooks/stri%70e",
    "absolute_form_of_another_path": b"http://evil.example/webhooks/stripe/",
    "absolute_form_without_path": b"http://evil.example",
    "unknown_endpoint": b"/webhooks/paypal",
    "endpoint_without_secrets": b"/webhooks/hyperswitch",
    "root": b"/",
}


@pytest.mark.parametrize("target", UNKNOWN_PATHS.values(), ids=UNKNOWN_PATHS.keys())
async def test_only_the_exact_path_is_an_endpoint(receiver: Receiver, sender: Sender, target: bytes) -> None:
    """Paths that only look like an endpoint, or become one after decoding, answer 404 and are no delivery."""
    answer = await receiver.answer_to(sender.post(event_body(), target=target))

    assert (answer.status, answer.error) == (404, "Not found")
    assert await receiver.rows.verdicts(sender.request_id) == []


async def test_b4_an_announced_body_is_invited_only_when_it_may_come(
    receiver: Receiver, sender: Sender
) -> None:
    """B4: `Expect: 100-continue` within the limit is answered 100 and then, after the body, 200."""
    body = event_body()
    whole = sender.post(body, b"Expect: 100-continue")
    async with receiver.connected() as wire:
        await wire.send(whole.removesuffix(body))
        interim = await wire.answer()
        await wire.send(body)
        answer = await wire.answer()

    assert (interim.status, answer.status) == (100, 200)
    assert await receiver.rows.verdicts(sender.request_id) == ["ok"]


async def test_another_expectation_is_refused(receiver: Receiver, sender: Sender) -> None:
    """An expectation that nobody defined answers 417 and is no delivery."""
    answer = await receiver.answer_to(sender.post(event_body(), b"Expect: the-unexpected"))

    assert answer.status == 417
    assert await receiver.rows.verdicts(sender.request_id) == []


async def test_b15_no_length_and_no_body_is_an_empty_unsigned_delivery(
    receiver: Receiver, sender: Sender
) -> None:
    """B15: a POST without length and body is complete and empty: 400 for the missing signature, and a row."""
    answer = await receiver.answer_to(sender.head())

    assert (answer.status, answer.error) == (400, "Missing stripe-signature header")
    rows = await receiver.rows.of_request(sender.request_id)
    assert [(row["verdict"], row["body"], row["body_bytes"]) for row in rows] == [("missing_sig", b"", 0)]


@pytest.mark.parametrize("ending", ["both_halves", "one_half"])
async def test_b16_a_body_that_breaks_off_is_a_row(receiver: Receiver, sender: Sender, ending: str) -> None:
    """B16: length 10, two bytes, then the sender goes: nobody is answered, and the log tells from whom how
    much came."""
    async with receiver.connected() as wire:
        await wire.send(sender.head(b"Content-Length: 10") + b"{}")
        if ending == "one_half":
            wire.end_sending()
            with pytest.raises(NoAnswerError):
                await wire.answer()
    rows = await until(
        lambda: receiver.rows.of_request(sender.request_id), 10, "the row of the broken delivery"
    )

    expected = ("truncated", b"{}", 10, sender.address)
    assert [expected] == [(row["verdict"], row["body"], row["body_bytes"], row["address"]) for row in rows]


async def test_b22_http_1_0_ends_the_connection(receiver: Receiver, sender: Sender) -> None:
    """B22: HTTP/1.0 is served, and its connection ends behind the answer."""
    async with receiver.connected() as wire:
        await wire.send(sender.post(event_body(), version=b"HTTP/1.0"))
        answer = await wire.answer()

        assert answer.status == 200
        assert await wire.ended(within_s=10)


async def test_b33_garbage_behind_a_request_is_never_taken_in_silence(
    receiver: Receiver, sender: Sender
) -> None:
    """B33: a request with garbage in the same segment has as many 200s as rows, and ends in a 400."""
    async with receiver.connected() as wire:
        await wire.send(sender.post(event_body()) + b"GARBAGE " + CANARY + b"\r\n\r\n")
        statuses = [answer.status for answer in await wire.all_answers()]

    assert statuses[-1] == 400
    assert statuses.count(200) == (await receiver.rows.verdicts(sender.request_id)).count("ok")


async def test_b34_pipelined_requests_are_answered_in_order(receiver: Receiver, sender: Sender) -> None:
    """B34: requests sent in one piece get their answers in their order, and a row each."""
    forged = header_for(b"another body", SECRET)
    pipeline = (
        sender.post(event_body()) + sender.post(event_body(), signature=forged) + sender.post(event_body())
    )
    async with receiver.connected() as wire:
        await wire.send(pipeline)
        statuses = [(await wire.answer()).status for _ in range(3)]

    assert statuses == [200, 400, 200]
    assert sorted(await receiver.rows.verdicts(sender.request_id)) == ["bad_sig", "ok", "ok"]


async def test_many_pipelined_requests_lose_none(receiver: Receiver, sender: Sender) -> None:
    """A pipeline longer than any queue of the server is answered to its end, one verified row per answer."""
    count = 300
    async with receiver.connected() as wire:
        await wire.send(b"".join(sender.post(event_body()) for _ in range(count)))
        statuses = [(await wire.answer()).status for _ in range(count)]

    assert [200] * count == statuses
    assert ["ok"] * count == await receiver.rows.verdicts(sender.request_id)


async def test_b35_a_connection_lives_on_after_an_upgrade_was_ignored(
    receiver: Receiver, sender: Sender
) -> None:
    """B35: an upgrade to websocket is ignored: this delivery and the next on the same connection are
    taken."""
    async with receiver.connected() as wire:
        await wire.send(sender.post(event_body(), b"Connection: Upgrade", b"Upgrade: websocket"))
        first = await wire.answer()
        await wire.send(sender.post(event_body()))
        second = await wire.answer()

    assert [first.status, second.status] == [200, 200]
    assert await receiver.rows.verdicts(sender.request_id) == ["ok", "ok"]
