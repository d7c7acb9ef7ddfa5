"""Hyperswitch's signature and envelope, without any network."""

from __future__ import annotations

import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psp.envelope import UNREADABLE, Envelope, SigningSecret
from psp.hyperswitch import envelope, signature

OLD, NEW = SigningSecret(b"o" * 64, "old"), SigningSecret(b"n" * 64, "new")
BODY = b'{"event_id":"evt_1"}'


def header(key: bytes = OLD.key, digest: str = "sha512") -> bytes:
    return hmac.new(key, BODY, digest).hexdigest().encode()


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ([header()], "ok"),
        ([header(NEW.key)], "ok"),
        ([], "missing_sig"),
        ([b""], "missing_sig"),
        ([header(), header()], "malformed_sig"),
        ([b"v1=" + header()], "malformed_sig"),
        ([header()[:-1]], "malformed_sig"),
        ([b"q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="], "malformed_sig"),
        ([header(digest="sha256")], "bad_sig"),
        ([header().upper()], "bad_sig"),
        ([header(b"x" * 64)], "bad_sig"),
        ([b"\xe9\xff"], "malformed_sig"),
    ],
)
def test_only_the_digest_of_the_raw_body_under_a_secret_is_genuine(headers: list[bytes], kind: str) -> None:
    """Hex of the right length, under one of the secrets, in one header, in lower case."""
    assert signature.verify(BODY, headers, [OLD, NEW]).kind == kind


def test_the_verdict_names_the_secret() -> None:
    """Which secret still verifies tells when the old one can go."""
    assert signature.verify(BODY, [header(NEW.key)], [OLD, NEW]).secret_id == "new"


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_verify_and_read_never_raise(body: bytes, value: bytes) -> None:
    """Whatever arrives has a verdict and an envelope."""
    assert signature.verify(body, [value], [OLD]).kind in ("bad_sig", "malformed_sig", "missing_sig")
    assert isinstance(envelope.read(body), Envelope)


def test_ids_come_from_the_object_that_the_family_names() -> None:
    """A payment that embeds a refund's id stays a payment; dotted or flat bodies are read too."""
    native = {
        "event_id": "evt_1",
        "event_type": "payment_succeeded",
        "timestamp": "2026-11-21T10:00:00.5",
        "content": {"type": "payment_details", "object": {"payment_id": "pay_1", "refund_id": "ref_1"}},
    }
    refund = {"event_id": "evt_2", "event_type": "refund.succeeded", "object": {"refund_id": "ref_1"}}

    assert envelope.read(json.dumps(native).encode()) == Envelope(
        "evt_1", "payment_succeeded", "pay_1", 1795255200
    )
    assert envelope.read(json.dumps(refund).encode()).event_id == "evt_2"
    assert envelope.read(b'{"event_type":"payment_succeeded"}') == UNREADABLE
