"""Properties of the Stripe signature check, judged by Stripe's own library and by bit flips; never by our
own code."""

from __future__ import annotations

import contextlib
import hashlib
import hmac

import stripe
from hypothesis import example, given, settings
from hypothesis import strategies as st

from psp.envelope import SigningSecret
from psp.stripe import signature

NOW = 1_790_000_000
SECRET = "whsec_property_0123456789abcdef"
SIGNING = (SigningSecret(SECRET.encode(), "fingerprint"),)
BODY = b'{"id":"evt_1","object":"event","type":"charge.refunded","created":1790000000}'

thorough = settings(max_examples=500, deadline=None)

times = st.integers(min_value=NOW - 300, max_value=NOW + 300)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=64)


def digest(message: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def library_accepts(body: str, header: str, secret: str = SECRET) -> bool:
    with contextlib.suppress(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body, header, secret)
        return True
    return False


def accepted(body: bytes, headers: list[bytes], now: int = NOW) -> bool:
    return signature.verify(body, headers, SIGNING, now).kind == "ok"


# Header elements: whole ones, ones that only look right, and separators that other parsers forgive. `good`
# and `other` are replaced by digests that fit the timestamp and do not.
elements = st.one_of(
    st.sampled_from(
        ["v1={good}", "v1={other}", "v1={good}=junk", "v0={good}", " v1={good}", "V1={good}", "v1=", "="]
    ),
    st.sampled_from(["t={t}", "t=0{t}", "t= {t}", "t=+{t}", "t={t}.0", "t=", "t={t}=1", "scheme", ""]),
    st.text(max_size=12),
)


@thorough
@given(
    body=texts,
    time=times,
    parts=st.lists(elements, min_size=1, max_size=6),
    comma=st.sampled_from([",", ", ", ";"]),
)
@example(body="", time=NOW, parts=["t=0{t}", "v1={good}"], comma=",")
def test_what_we_accept_the_library_accepts(body: str, time: int, parts: list[str], comma: str) -> None:
    """A header of any shape that passes here also passes Stripe's own library: we are never the more
    lenient one."""
    fields = {"t": str(time), "good": digest(f"{time}.{body}".encode()), "other": digest(b"something else")}
    header = comma.join(parts)
    for name, value in fields.items():
        header = header.replace(f"{{{name}}}", value)

    ours = accepted(body.encode(), [header.encode("utf-8", "surrogatepass")])

    assert not ours or library_accepts(body, header)


@thorough
@given(body=texts, digits=st.from_regex(r"\A0{0,3}1[78][0-9]{8}\Z"))
@example(body="{}", digits="01790000000")
def test_a_timestamp_is_signed_as_it_is_written(body: str, digits: str) -> None:
    """A timestamp with leading zeros is refused even when somebody signed exactly those digits, as the
    library does."""
    header = f"t={digits},v1={digest(f'{digits}.{body}'.encode())}"

    ours = accepted(body.encode(), [header.encode()], now=int(digits))

    assert ours == library_accepts(body, header)


@thorough
@given(body=texts, time=times, secret=secrets)
def test_what_the_library_signs_we_accept(body: str, time: int, secret: str) -> None:
    """Every header in the form that Stripe sends passes, for any text and any secret, within the
    tolerance."""
    header = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=time)

    verdict = signature.verify(body.encode(), [header.encode()], [SigningSecret(secret.encode(), "own")], NOW)

    assert ("ok", "own", time) == verdict


@thorough
@given(
    body=st.binary(max_size=300),
    time=times,
    decoys=st.lists(st.binary(min_size=32, max_size=32), max_size=7),
    place=st.integers(min_value=0, max_value=7),
)
def test_any_of_several_signatures_may_be_the_right_one(
    body: bytes, time: int, decoys: list[bytes], place: int
) -> None:
    """While a secret is rotated the header holds several v1 values; the right one passes wherever it
    stands."""
    values = [decoy.hex() for decoy in decoys]
    values.insert(place, digest(b"%d." % time + body))
    header = f"t={time}," + ",".join(f"v1={value}" for value in values)

    assert accepted(body, [header.encode()])


@thorough
@given(bit=st.integers(min_value=0), body=st.binary(min_size=1, max_size=200))
def test_no_single_bit_may_change_in_the_header(bit: int, body: bytes) -> None:
    """One flipped bit anywhere in the header, timestamp and digest included, is never accepted."""
    header = bytearray(f"t={NOW},v1={digest(b'%d.' % NOW + body)}".encode())
    bit %= len(header) * 8
    header[bit // 8] ^= 1 << bit % 8

    assert not accepted(body, [bytes(header)])


@thorough
@given(bit=st.integers(min_value=0), body=st.binary(min_size=1, max_size=200))
def test_no_single_bit_may_change_in_the_body(bit: int, body: bytes) -> None:
    """One flipped bit anywhere in the body is never accepted."""
    header = f"t={NOW},v1={digest(b'%d.' % NOW + body)}".encode()
    changed = bytearray(body)
    bit %= len(changed) * 8
    changed[bit // 8] ^= 1 << bit % 8

    assert not accepted(bytes(changed), [header])


def test_every_single_bit_of_one_delivery_counts() -> None:
    """Exhaustively for one delivery: of all headers and bodies that differ in one bit, none is accepted."""
    header = f"t={NOW},v1={digest(b'%d.' % NOW + BODY)}".encode()
    wrongly_accepted = []
    for part in (header, BODY):
        for bit in range(len(part) * 8):
            changed = bytearray(part)
            changed[bit // 8] ^= 1 << bit % 8
            pair = (BODY, [bytes(changed)]) if part is header else (bytes(changed), [header])
            if accepted(*pair):
                wrongly_accepted.append((part is header, bit))

    assert accepted(BODY, [header])
    assert wrongly_accepted == []


@thorough
@given(
    body=st.binary(max_size=100),
    headers=st.lists(st.binary(max_size=200), max_size=3),
    now=st.integers(min_value=0, max_value=10**11),
)
def test_no_bytes_make_the_check_raise(body: bytes, headers: list[bytes], now: int) -> None:
    """Whatever bytes come as headers and body, the answer is a verdict, and never `ok` without the secret."""
    verdict = signature.verify(body, headers, SIGNING, now)

    assert verdict.kind in {"missing_sig", "malformed_sig", "bad_sig", "stale_ts", "future_ts"}


@thorough
@given(parts=st.lists(elements, max_size=30), time=times)
def test_no_header_of_the_right_letters_makes_the_check_raise(parts: list[str], time: int) -> None:
    """Headers made of the grammar's own pieces in any order and number end in a verdict."""
    header = ",".join(parts).replace("{t}", str(time)).replace("{good}", "ab").replace("{other}", "cd")

    verdict = signature.verify(BODY, [header.encode("utf-8", "surrogatepass")], SIGNING, NOW)

    assert verdict.kind in {"missing_sig", "malformed_sig", "bad_sig", "stale_ts", "future_ts"}


@thorough
@given(distance=st.integers(min_value=-10_000, max_value=10_000), genuine=st.booleans())
def test_time_is_judged_in_both_directions(distance: int, genuine: bool) -> None:
    """Within 300 s either way the digest decides; beyond it the verdict names the direction, and the
    secret only if the signature was genuine."""
    time = NOW - distance
    header = f"t={time},v1={digest(b'%d.' % time + BODY, SECRET if genuine else SECRET + 'x')}".encode()
    in_time = "ok" if genuine else "bad_sig"
    expected = "stale_ts" if distance > 300 else "future_ts" if distance < -300 else in_time

    verdict = signature.verify(BODY, [header], SIGNING, NOW)

    assert (expected, "fingerprint" if genuine else None) == (verdict.kind, verdict.secret_id)


@thorough
@given(body=st.binary(max_size=100), time=st.integers(min_value=0, max_value=99_999_999_999))
def test_a_kept_delivery_verifies_at_any_age(body: bytes, time: int) -> None:
    """Without a tolerance (re-verifying the log) only the digest counts, and what we sign we accept."""
    header = signature.sign(body, SECRET.encode(), time).encode()

    verdict = signature.verify(body, [header], SIGNING, now=0, tolerance_s=None)

    assert ("ok", "fingerprint", time) == verdict
