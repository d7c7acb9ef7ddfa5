"""The Standard Webhooks signature: what is genuine, and how exactly each other header is refused."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psp.envelope import SigningSecret
from psp.standardwebhooks import signature
from psp.standardwebhooks.receiver import StandardWebhooksReceiver

NOW = 1_795_000_000
BODY = b'{"type":"parcel.sent","timestamp":"2026-11-18T10:00:00Z","data":{"id":"p_1"}}'
OLD = SigningSecret(b"before the rotation, 24 bytes and more", "old")
NEW = SigningSecret(b"after the rotation, 24 bytes and more", "new")
SECRETS = [OLD, NEW]


def headers(
    message_id: object = b"msg_1", at: object = b"%d" % NOW, signed: object = None, body: bytes = BODY
) -> dict[str, list[bytes]]:
    """The three headers, each a value or a list; signed with the new secret unless `signed` is given."""
    if signed is None:
        assert isinstance(message_id, bytes)
        assert isinstance(at, bytes)
        digest = hmac.digest(NEW.key, message_id + b"." + at + b"." + body, "sha256")
        signed = b"v1," + base64.b64encode(digest)
    named = {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": signed}
    return {
        name: [*value] if isinstance(value, list) else [value] if isinstance(value, bytes) else []
        for name, value in named.items()
    }


GOOD = headers()["webhook-signature"][0]


def verdict(given_headers: dict[str, list[bytes]], body: bytes = BODY, now: int = NOW) -> str:
    """The kind of verdict for a delivery."""
    return signature.verify(body, given_headers, SECRETS, now).kind


def test_a_genuine_delivery_names_the_secret_that_signed_it() -> None:
    """Both secrets of a rotation verify; the verdict says which one did and when."""
    old = signature.sign("msg_1", NOW, BODY, OLD.key).encode()

    assert signature.verify(BODY, headers(), SECRETS, NOW) == ("ok", "new", NOW)
    assert signature.verify(BODY, headers(signed=old), SECRETS, NOW) == ("ok", "old", NOW)
    assert signature.verify(BODY, headers(signed=old + b" " + GOOD), [NEW], NOW).secret_id == "new"


def test_the_example_of_the_specification_verifies() -> None:
    """The specification's own secret and digest are ours too."""
    key = signature.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    example = signature.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}', key)

    assert example == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("name", signature_headers := StandardWebhooksReceiver.signature_headers)
@pytest.mark.parametrize("values", [[], [b""], [b"  "]])
def test_b68_each_header_is_needed(name: str, values: list[bytes]) -> None:
    """A delivery without its id, its time or its signature is unsigned."""
    assert verdict(headers() | {name: values}) == "missing_sig"


@pytest.mark.parametrize("name", signature_headers)
def test_a_header_that_came_twice_is_malformed(name: str) -> None:
    """Which of the two was signed would be a guess."""
    assert verdict(headers() | {name: headers()[name] * 2}) == "malformed_sig"


@pytest.mark.parametrize(
    "signed",
    [
        b"v1" + GOOD[3:],  # no comma
        GOOD[:-1],  # B69: padding left out
        GOOD + b"=",
        GOOD.replace(b"v1,", b"v1,="),
        GOOD + b"  " + GOOD,  # a double space
        b" " + GOOD,
        GOOD + b" ",
        GOOD + b"," + GOOD,
        GOOD[:10] + b"!" + GOOD[10:],  # B70: junk that a lenient decoder skips
        GOOD[:10] + b"\n" + GOOD[11:],
        b"v1,",
        b",",
        b"V1" + GOOD[2:],
        b"v1,\xe9\xff",
        b" ".join([GOOD] * 9),
        b"v1," + b"AAAA" * 2000,
    ],
)
def test_b69_b70_the_list_has_one_grammar(signed: bytes) -> None:
    """Lists that a lenient parser would half read are refused whole."""
    assert verdict(headers(signed=signed)) == "malformed_sig"


@pytest.mark.parametrize(
    "at",
    [
        *(b"1795000000.9", b" 1795000000", b"+1795000000", b"01795000000", b"1_795_000_000"),
        *(b"nan", b"inf", b"1e9", b"-1", "１７９５".encode(), b"9" * 5000),
    ],
)
def test_b71_a_time_is_plain_digits(at: bytes) -> None:
    """Every other spelling of a number is malformed, also where it was signed."""
    assert verdict(headers(at=at)) == "malformed_sig"


@pytest.mark.parametrize("message_id", [b"msg.1", b"msg 1", b"msg\xff", b"m" * 256, b"msg\t1"])
def test_b72_an_id_cannot_make_the_signed_message_ambiguous(message_id: bytes) -> None:
    """With a full stop in the id, another id and time would have the same signature."""
    assert verdict(headers(message_id=message_id)) == "malformed_sig"


@pytest.mark.parametrize(
    "signed",
    [
        b"v1a," + base64.b64encode(b"x" * 64),  # B73: asymmetric, and we have no public key
        b"v2,url-safe_base64==",
        b"v1," + base64.b64encode(b"x" * 32),
        b"v1," + base64.b64encode(b"short"),
        b"v1," + base64.b64encode(b"x" * 64),
    ],
)
def test_b73_well_formed_and_not_ours_is_bad(signed: bytes) -> None:
    """Unknown versions are no fault of form, and no signature either."""
    assert verdict(headers(signed=signed)) == "bad_sig"
    assert verdict(headers(signed=signed + b" " + GOOD)) == "ok"


def test_what_is_signed_is_id_time_and_body() -> None:
    """Changing any of the three makes another message."""
    assert verdict(headers(message_id=b"msg_2", signed=GOOD)) == "bad_sig"
    assert verdict(headers(at=b"%d" % (NOW + 1), signed=GOOD)) == "bad_sig"
    assert verdict(headers(), body=BODY + b" ") == "bad_sig"


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        (NOW + 300, "ok"),
        (NOW + 301, "stale_ts"),
        (NOW - 300, "ok"),
        (NOW - 301, "future_ts"),
        (4_102_444_800, "stale_ts"),
    ],
)
def test_time_is_judged_in_both_directions(now: int, kind: str) -> None:
    """300 s either way; a genuine signature is still named, so a replay is told from a forgery."""
    forged = signature.verify(BODY, headers(signed=b"v1," + base64.b64encode(b"x" * 32)), SECRETS, now)

    assert signature.verify(BODY, headers(), SECRETS, now) == (kind, "new", NOW)
    assert forged == (kind if kind != "ok" else "bad_sig", None, NOW)
    assert StandardWebhooksReceiver().verify_at_any_age(BODY, headers(), SECRETS).kind == "ok"


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "does not start with whsec_"),
        ("whsec_!!!!", "is not base64 after whsec_"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "is not base64 after whsec_"),
        ("whsec_é", "is not base64 after whsec_"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "is shorter than 24 bytes"),
        ("whsec_", "is shorter than 24 bytes"),
    ],
)
def test_secrets_that_are_none_are_refused(secret: str, fault: str) -> None:
    """A secret that would be decoded to something else must not reach the receiver."""
    with pytest.raises(ValueError, match=fault) as refused:
        signature.key_of(secret)

    assert secret.removeprefix("whsec_") in ("", "é") or secret not in str(refused.value)


ids = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1, max_size=255
)


@given(ids, st.binary(max_size=200), st.integers(-300, 300), st.sampled_from(SECRETS), st.integers(0, 7))
def test_what_is_signed_by_construction_is_accepted(
    message_id: str, body: bytes, age: int, secret: SigningSecret, others: int
) -> None:
    """Any id, body, age within tolerance, secret, and other signatures around the right one."""
    signed = ["v1," + base64.b64encode(bytes([n]) * 32).decode() for n in range(others)]
    signed.insert(others // 2, signature.sign(message_id, NOW - age, body, secret.key))
    given_headers = headers(message_id.encode(), b"%d" % (NOW - age), " ".join(signed).encode(), body)

    assert signature.verify(body, given_headers, SECRETS, NOW) == ("ok", secret.fingerprint, NOW - age)


@given(st.sampled_from(signature_headers), st.data())
def test_no_mutation_of_a_header_is_accepted(name: str, data: st.DataObject) -> None:
    """One byte changed, added or left out in any of the three headers: refused, whatever byte it is."""
    genuine = headers()
    value = genuine[name][0]
    place = data.draw(st.integers(0, len(value) - 1))
    byte = data.draw(st.binary(max_size=2))
    mutated = value[:place] + byte + value[place + data.draw(st.integers(0, 1)) :]
    if mutated == value:
        return

    assert verdict(genuine | {name: [mutated]}) != "ok"


@given(st.binary(max_size=60), st.binary(max_size=30), st.binary(max_size=80), st.binary(max_size=40))
def test_nothing_raises(message_id: bytes, at: bytes, signed: bytes, body: bytes) -> None:
    """Whatever bytes the headers hold, the answer is a verdict of the contract, and never ok."""
    kind = verdict(headers(message_id, at, signed), body)

    assert kind in {"missing_sig", "malformed_sig", "bad_sig", "stale_ts", "future_ts"}
