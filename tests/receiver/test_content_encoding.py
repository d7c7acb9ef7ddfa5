"""B36-B44: encoded bodies are refused before anything is decoded, and kept as they came."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import zlib
from pathlib import Path

import pytest

from tests.receiver.deliveries import SECRET, Sender, event_body, unix_s
from tests.receiver.running import Receiver
from tests.receiver.scratch import linux_only
from tests.receiver.wire import CANARY

PLAIN = event_body()
ZIPPED = gzip.compress(PLAIN)
BOMB = gzip.compress(b"\0" * 20_000_000)
MEMBERS = gzip.compress(b"") * 10_000
"""Ten thousand gzip members of nothing: 200 KB, just below the size limit."""
memory_of_a_decompressed_bomb_kib = 12_000
"""Well below the 20 MB that the bomb unpacks to, well above what one request may cost."""


def header_over(body: bytes) -> bytes:
    at = unix_s()
    digest = hmac.new(SECRET.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return b"t=%d,v1=%s" % (at, digest.encode())


ENCODED: dict[str, tuple[bytes, bytes, bytes]] = {
    # name: header value, body, what the signature is over
    "B36-gzip_signed_compressed": (b"gzip", ZIPPED, ZIPPED),
    "B37-gzip_signed_plain": (b"gzip", ZIPPED, PLAIN),
    "B38-gzip_bomb": (b"gzip", BOMB, BOMB),
    "B39-gzip_that_is_plain": (b"gzip", PLAIN, PLAIN),
    "B40-ten_thousand_gzip_members": (b"gzip", MEMBERS, MEMBERS),
    "B41-brotli": (b"br", PLAIN, PLAIN),
    "B41-zstd": (b"zstd", PLAIN, PLAIN),
    "B42-deflate": (b"deflate", zlib.compress(PLAIN), PLAIN),
    "B42-gzip_twice": (b"gzip, gzip", gzip.compress(ZIPPED), PLAIN),
    "B42-unknown": (b"foo", PLAIN, PLAIN),
    "B42-empty_value": (b"", PLAIN, PLAIN),
    "B42-identity_and_gzip": (b"identity, gzip", ZIPPED, ZIPPED),
}


@pytest.mark.parametrize(("encoding", "body", "signed"), ENCODED.values(), ids=ENCODED.keys())
async def test_an_encoded_body_is_refused_whatever_was_signed(
    receiver: Receiver, sender: Sender, encoding: bytes, body: bytes, signed: bytes
) -> None:
    """Any Content-Encoding but identity answers 415, and the row keeps the bytes as they came, not what
    they unpack to."""
    request = sender.post(body, b"Content-Encoding: " + encoding, signature=header_over(signed))

    answer = await receiver.answer_to(request)

    assert (answer.status, answer.error) == (415, "Unsupported content encoding")
    rows = await receiver.rows.of_request(sender.request_id)
    kept = ("bad_encoding", body[:4_096], len(body), hashlib.sha256(body).digest())
    assert [kept] == [(row["verdict"], row["body"], row["body_bytes"], row["body_sha256"]) for row in rows]


async def test_b40_members_without_a_length_are_refused_too(receiver: Receiver, sender: Sender) -> None:
    """B40: 100,000 gzip members in chunks, far beyond the size limit, answer 415: the encoding is judged
    first."""
    members = gzip.compress(b"") * 100_000
    request = sender.post_chunked(members, 65_536, b"Content-Encoding: gzip", signature="t=1,v1=00")

    answer = await receiver.answer_to(request)

    assert answer.status == 415
    assert await receiver.rows.verdicts(sender.request_id) == ["bad_encoding"]


@linux_only
async def test_b38_a_bomb_costs_no_memory(receiver: Receiver) -> None:
    """B38: fifty gzip bombs of 20 MB each leave the receiver's peak memory where it was."""
    for _ in range(3):  # buffers and code that any request needs
        await receiver.answer_to(Sender().post(event_body()))
    before = peak_memory_kib(receiver.running.pid)
    for _ in range(50):
        sender = Sender()
        request = sender.post(BOMB, b"Content-Encoding: gzip", signature=header_over(BOMB))
        assert (await receiver.answer_to(request)).status == 415

    assert peak_memory_kib(receiver.running.pid) - before < memory_of_a_decompressed_bomb_kib


def peak_memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


PLAIN_HEADERS: dict[str, list[bytes]] = {
    "B43-identity": [b"Content-Encoding: identity"],
    "B43-identity_in_capitals": [b"Content-Encoding: IDENTITY"],
    "B44-form": [b"Content-Type: application/x-www-form-urlencoded"],
    "B44-multipart": [b"Content-Type: multipart/form-data; boundary=x"],
    "B44-none": [],
    "B44-another_charset": [b"Content-Type: application/json; charset=utf-16"],
    "B44-not_a_type": [b"Content-Type: \xff;;;"],
}


@pytest.mark.parametrize("headers", PLAIN_HEADERS.values(), ids=PLAIN_HEADERS.keys())
async def test_the_bytes_count_and_not_what_headers_call_them(
    receiver: Receiver, sender: Sender, headers: list[bytes]
) -> None:
    """A signed body is taken as bytes under `identity` and under any Content-Type or none."""
    answer = await receiver.answer_to(sender.post(PLAIN, *headers))

    assert answer.status == 200
    rows = await receiver.rows.of_request(sender.request_id)
    assert [(row["verdict"], row["body"]) for row in rows] == [("ok", PLAIN)]
    assert CANARY in rows[0]["body"]
