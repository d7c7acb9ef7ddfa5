"""B45-B63: every shape of the signature header against a real receiver; refused alike on the wire, apart
in the log."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable

import pytest

from tests.receiver.deliveries import (
    CONNECT_SECRET,
    OLD_SECRET,
    SECRET,
    Sender,
    event_body,
    header_for,
    unix_s,
)
from tests.receiver.running import Receiver
from tests.receiver.wire import CANARY

RECEIVER_SETTINGS = {
    "WEBHOOK_ENDPOINTS": json.dumps(
        [{"path": "connect", "provider": "stripe", "account": "acct_7", "secrets": [CONNECT_SECRET]}]
    )
}

MISSING = (400, "Missing stripe-signature header")
INVALID = (400, "Invalid Stripe signature")

BODY = event_body()


def digest(at: int | str, body: bytes = BODY, secret: str = SECRET) -> str:
    """A signature by this module's own arithmetic, for headers that no library would make."""
    return hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()


def signed_at(at: int | str, shown: str | None = None) -> str:
    """A genuine header for the time `at`, in which the time is written as `shown`."""
    return f"t={at if shown is None else shown},v1={digest(at)}"


def full_width(number: int) -> str:
    return "".join(chr(0xFF10 + int(digit)) for digit in str(number))


type_header = Callable[[int], str | bytes]
"""A header as a function of the time of the test."""

REFUSED: dict[str, tuple[type_header, str]] = {
    "B48-nine_v1": (
        lambda now: f"t={now}," + ",".join(["v1=" + "0" * 64] * 8 + ["v1=" + digest(now)]),
        "malformed_sig",
    ),
    "B48-hundreds_of_v1": (lambda now: f"t={now}," + ",".join(["v1=ab"] * 1_200), "malformed_sig"),
    "B49-only_v0": (lambda now: f"t={now},v0={digest(now)}", "malformed_sig"),
    "B50-digest_in_capitals": (lambda now: f"t={now},v1={digest(now).upper()}", "bad_sig"),
    "B51-junk_behind_the_digest": (lambda now: f"t={now},v1={digest(now)}=junk", "malformed_sig"),
    "B52-no_time": (lambda now: f"v1={digest(now)}", "malformed_sig"),
    "B52-two_equal_times": (lambda now: f"t={now},t={now},v1={digest(now)}", "malformed_sig"),
    "B52-two_times": (lambda now: f"t={now},t=1,v1={digest(now)}", "malformed_sig"),
    "B53-time_with_plus": (lambda now: signed_at(now, f"+{now}"), "malformed_sig"),
    "B53-time_with_spaces": (lambda now: signed_at(now, f" {now} "), "malformed_sig"),
    "B53-time_with_underscore": (
        lambda now: signed_at(now, f"{str(now)[0]}_{str(now)[1:]}"),
        "malformed_sig",
    ),
    "B53-time_in_full_width_digits": (lambda now: signed_at(now, full_width(now)), "malformed_sig"),
    "B53-time_with_leading_zero": (lambda now: signed_at(f"0{now}"), "malformed_sig"),
    "B54-time_negative": (lambda _: signed_at(-1), "malformed_sig"),
    "B54-time_zero": (lambda _: signed_at(0), "stale_ts"),
    "B54-time_with_exponent": (lambda _: signed_at("1e9"), "malformed_sig"),
    "B54-time_of_five_thousand_digits": (lambda _: signed_at("9" * 5_000), "malformed_sig"),
    "B54-time_of_twelve_digits": (lambda _: signed_at("9" * 12), "malformed_sig"),
    "B54-time_empty": (lambda now: signed_at(now, ""), "malformed_sig"),
    "B55-time_301_s_ago": (lambda now: signed_at(now - 301), "stale_ts"),
    "B57-time_far_ahead": (lambda now: signed_at(now + 330), "future_ts"),
    "B57-year_2100": (lambda _: signed_at(4_102_444_800), "future_ts"),
    "B58-bytes_that_are_no_text": (lambda now: signed_at(now).encode() + b"\xe9\xff", "malformed_sig"),
    "B58-only_bytes": (lambda _: b"\xe9\xff", "malformed_sig"),
    "B59-digest_too_short": (lambda now: signed_at(now)[:-1], "bad_sig"),
    "B59-digest_too_long": (lambda now: signed_at(now) + "0", "bad_sig"),
    "B59-digest_one_bit_off": (
        lambda now: signed_at(now)[:-1] + "%x" % (int(signed_at(now)[-1], 16) ^ 1),
        "bad_sig",
    ),
    "B60-secret_of_another_endpoint": (lambda now: header_for(BODY, CONNECT_SECRET, now), "bad_sig"),
    "B61-empty_secret": (lambda now: f"t={now},v1={digest(now, secret='')}", "bad_sig"),
    "spaces_between_elements": (lambda now: signed_at(now).replace(",", ", "), "malformed_sig"),
    "not_a_signature": (lambda _: CANARY, "malformed_sig"),
    "name_in_capitals": (lambda now: f"T={now},V1={digest(now)}", "malformed_sig"),
}


@pytest.mark.parametrize(("header", "verdict"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_signature_that_does_not_hold_is_refused(
    receiver: Receiver, sender: Sender, header: type_header, verdict: str
) -> None:
    """Every malformed, wrong, stale or future signature answers the same 400; only the log's verdict tells
    which."""
    answer = await receiver.answer_to(sender.post(BODY, signature=header(unix_s())))

    assert (answer.status, answer.error) == INVALID
    rows = await receiver.rows.of_request(sender.request_id)
    kept = (verdict, BODY, len(BODY), hashlib.sha256(BODY).digest())
    assert [kept] == [(row["verdict"], row["body"], row["body_bytes"], row["body_sha256"]) for row in rows]


async def test_s32_all_refused_signatures_are_answered_byte_for_byte_the_same(receiver: Receiver) -> None:
    """S32: head and body of every refusal are equal but for the clock: no sender learns which check caught
    it."""
    answers = {
        (await receiver.answer_to(Sender().post(BODY, signature=header(unix_s())))).without_date()
        for header, _ in REFUSED.values()
    }

    assert len(answers) == 1


async def test_b48_ten_thousand_signatures_are_no_request(receiver: Receiver, sender: Sender) -> None:
    """B48: a signature header of 650 KB is beyond any header size: at most a 400, the end of the
    connection, and no delivery."""
    header = f"t={unix_s()}," + ",".join(["v1=" + "0" * 64] * 10_000)
    async with receiver.connected() as wire:
        await wire.send(sender.post(BODY, signature=header))
        answers = await wire.all_answers()  # none, where the rest of the header crossed the answer on its way

    assert {answer.status for answer in answers} <= {400}
    assert await receiver.rows.verdicts(sender.request_id) == []


@pytest.mark.parametrize(
    "headers", [[], [b"Stripe-Signature:"], [b"Stripe-Signature:   "]], ids=["none", "empty", "blank"]
)
async def test_b45_a_missing_signature_is_named(
    receiver: Receiver, sender: Sender, headers: list[bytes]
) -> None:
    """B45: a header that is missing or empty answers 400 with its own words and is a row."""
    answer = await receiver.answer_to(sender.post(BODY, *headers, signature=""))

    assert (answer.status, answer.error) == MISSING
    assert await receiver.rows.verdicts(sender.request_id) == ["missing_sig"]


@pytest.mark.parametrize("order", ["right_one_first", "right_one_last"])
async def test_b46_two_signature_headers_are_malformed(
    receiver: Receiver, sender: Sender, order: str
) -> None:
    """B46: two headers are refused, also when one of them is genuine and wherever it stands."""
    headers = [b"Stripe-Signature: " + header_for(BODY).encode(), b"Stripe-Signature: t=1,v1=00"]
    if order == "right_one_last":
        headers.reverse()

    answer = await receiver.answer_to(sender.post(BODY, *headers, signature=""))

    assert (answer.status, answer.error) == INVALID
    assert await receiver.rows.verdicts(sender.request_id) == ["malformed_sig"]


TAKEN: dict[str, type_header] = {
    "B47-right_one_among_eight": lambda now: (
        f"t={now}," + ",".join(["v1=" + "0" * 64] * 7 + ["v1=" + digest(now)])
    ),
    "B47-with_v0": lambda now: f"t={now},v1={digest(now)},v0={'0' * 64}",
    "B47-signature_before_time": lambda now: f"v1={digest(now)},t={now}",
    "B47-secret_before_rotation": lambda now: header_for(BODY, OLD_SECRET, now),
    "B56-time_almost_too_old": lambda now: signed_at(now - 270),
    "B57-time_a_little_ahead": lambda now: signed_at(now + 270),
}


@pytest.mark.parametrize("header", TAKEN.values(), ids=TAKEN.keys())
async def test_a_signature_that_holds_is_taken(
    receiver: Receiver, sender: Sender, header: type_header
) -> None:
    """Several v1 values with a right one, either secret of a rotation, and clocks a little apart answer
    200."""
    answer = await receiver.answer_to(sender.post(BODY, signature=header(unix_s())))

    assert answer.status == 200
    assert await receiver.rows.verdicts(sender.request_id) == ["ok"]


CHANGED_BODIES = {
    "B62-one_space_more": BODY + b" ",
    "B62-another_key_order": json.dumps(dict(reversed(json.loads(BODY).items()))).encode(),
    "B62-crlf": BODY.replace(b", ", b",\r\n"),
    "B62-compact": json.dumps(json.loads(BODY), separators=(",", ":")).encode(),
    "B62-empty": b"",
}


@pytest.mark.parametrize("body", CHANGED_BODIES.values(), ids=CHANGED_BODIES.keys())
async def test_b62_a_body_that_means_the_same_is_not_the_same(
    receiver: Receiver, sender: Sender, body: bytes
) -> None:
    """B62: a body that was changed after signing is refused, also where its JSON still means the same."""
    answer = await receiver.answer_to(sender.post(body, signature=header_for(BODY)))

    assert (answer.status, answer.error) == INVALID
    assert await receiver.rows.verdicts(sender.request_id) == ["bad_sig"]


UNREADABLE = {
    "B63-not_utf_8": b"\xff\xfe\x00 " + CANARY,
    "not_json": CANARY,
    "empty": b"",
    "list": b"[1]",
    "no_id": b'{"type":"t"}',
    "endless_id": b'{"id":"' + b"9" * 9_000 + b'","type":"t"}',
    "nul_in_id": b'{"id":"evt\\u0000","type":"t"}',
    "lone_surrogate": b'{"id":"\\ud800","type":"t"}',
    "a_hundred_thousand_brackets": b"[" * 100_000,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_b63_a_signed_body_is_kept_even_when_nobody_can_read_it(
    receiver: Receiver, sender: Sender, body: bytes
) -> None:
    """B63: what the PSP signed answers 200 whatever it is: all its bytes are a row, and an event waits
    under its digest."""
    at = unix_s()
    answer = await receiver.answer_to(sender.post(body, signature=f"t={at},v1={digest(at, body)}"))

    assert answer.status == 200
    rows = await receiver.rows.of_request(sender.request_id)
    event_id = f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert [("ok", body, event_id)] == [(row["verdict"], row["body"], row["event_id"]) for row in rows]
    event = await receiver.rows.event("stripe", event_id)
    assert event is not None
    assert ("pending", hashlib.sha256(body).digest()) == (event["state"], event["body_sha256"])


async def test_a_second_endpoint_has_its_own_secret_and_its_own_ids(receiver: Receiver) -> None:
    """A delivery is taken where it belongs, refused on the other endpoint, and one id may exist on both."""
    ours, theirs, crossed, crossed_back = (Sender() for _ in range(4))
    answers = [
        await receiver.answer_to(ours.post(BODY, signature=header_for(BODY))),
        await receiver.answer_to(
            theirs.post(BODY, signature=header_for(BODY, CONNECT_SECRET), target=b"/webhooks/connect")
        ),
        await receiver.answer_to(crossed.post(BODY, signature=header_for(BODY), target=b"/webhooks/connect")),
        await receiver.answer_to(crossed_back.post(BODY, signature=header_for(BODY, CONNECT_SECRET))),
    ]

    assert [answer.status for answer in answers] == [200, 200, 400, 400]
    rows = [(await receiver.rows.of_request(s.request_id))[0] for s in (ours, theirs, crossed, crossed_back)]
    assert [(row["endpoint"], row["source"], row["verdict"]) for row in rows] == [
        ("stripe", "stripe", "ok"),
        ("connect", "stripe:acct_7", "ok"),
        ("connect", "stripe:acct_7", "bad_sig"),
        ("stripe", "stripe", "bad_sig"),
    ]
    event_id = json.loads(BODY)["id"]
    assert await receiver.rows.event("stripe", event_id) is not None
    assert await receiver.rows.event("stripe:acct_7", event_id) is not None


async def test_the_log_tells_which_secret_verified_and_never_the_secret(receiver: Receiver) -> None:
    """Each verified row names its secret by a fingerprint, a genuine stale one too; a forged one names
    none."""
    now = unix_s()
    headers = {
        "old": header_for(BODY, OLD_SECRET, now),
        "new": header_for(BODY, SECRET, now),
        "replayed": header_for(BODY, SECRET, now - 4_000),
        "forged": header_for(BODY, CONNECT_SECRET, now - 4_000),
    }
    named = {}
    for name, header in headers.items():
        sender = Sender()
        await receiver.answer_to(sender.post(BODY, signature=header))
        named[name] = (await receiver.rows.of_request(sender.request_id))[0]["secret_id"]

    def fingerprint(secret: str) -> str:
        return hashlib.sha256(secret.encode()).hexdigest()[:8]

    assert {
        "old": fingerprint(OLD_SECRET),
        "new": fingerprint(SECRET),
        "replayed": fingerprint(SECRET),
        "forged": None,
    } == named
