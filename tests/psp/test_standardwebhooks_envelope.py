"""What the log and the inbox learn of a Standard Webhooks delivery, and what a worker makes of it."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.facts import NotForUs, Unusable
from psp import mappers, providers
from psp.envelope import UNREADABLE, Envelope
from psp.providers import RECEIVERS
from psp.reading import Expected
from psp.standardwebhooks.mapping import read, same_event
from runtime.settings import Settings
from runtime.values import EndpointSetting

PROVIDER = RECEIVERS["standardwebhooks"]
HEADERS = {"webhook-id": [b"msg_1"]}
BODY = b'{"type":"parcel.sent","timestamp":"2026-11-18T10:00:00.5Z","data":{"id":"p_1"}}'


def test_the_event_is_named_by_its_header() -> None:
    """Id from the header; type, object and time from the body."""
    assert PROVIDER.read_envelope(BODY, HEADERS) == Envelope("msg_1", "parcel.sent", "p_1", 1_794_996_000)
    assert PROVIDER.read_envelope(b'{"id":"evt_9"}', HEADERS).event_id == "msg_1"


@pytest.mark.parametrize(
    ("body", "event_type"),
    [
        (b"not json", None),
        (b"[]", None),
        (b'{"type":7}', None),
        (b'{"type":"a","data":[1]}', "a"),
        (b'{"type":"a","timestamp":12,"data":{"id":7}}', "a"),
        (b'{"type":"a\\u0000"}', None),
        (b"[" * 100_000, None),
    ],
)
def test_bodies_of_any_shape_keep_their_id(body: bytes, event_type: str | None) -> None:
    """The specification does not fix the body; the id comes beside it."""
    assert PROVIDER.read_envelope(body, HEADERS) == Envelope("msg_1", event_type)


@pytest.mark.parametrize("ids", [[], [b"a", b"b"], [b"\xff"], [b""], [b"a" * 256]])
def test_an_id_that_cannot_be_told_is_none(ids: list[bytes]) -> None:
    """A refused delivery is logged too; its headers may hold anything."""
    assert PROVIDER.read_envelope(b"x", {"webhook-id": ids}) == UNREADABLE
    assert PROVIDER.read_envelope(b"x") == UNREADABLE


@given(st.binary(max_size=80), st.lists(st.binary(max_size=20), max_size=2))
def test_reading_never_raises(body: bytes, ids: list[bytes]) -> None:
    """Whatever came: an envelope whose texts can be stored."""
    read = PROVIDER.read_envelope(body, {"webhook-id": ids})

    assert all(value is None or value.isprintable() for value in read[:3])


def test_timestamps_without_a_zone_or_a_sense_are_no_times() -> None:
    """A time that has to be guessed is none."""
    for stamp, expected in (
        ("2026-11-18T10:00:00", None),
        ("soon", None),
        ("2026-11-18T11:00:00+01:00", 1_794_996_000),
    ):
        body = b'{"timestamp":"%b"}' % stamp.encode()

        assert PROVIDER.read_envelope(body, HEADERS).psp_created == expected


def test_readable_events_are_ignored_and_unreadable_ones_go_to_a_person() -> None:
    """Nothing moves; what cannot be read is not passed over in silence."""
    broken, shapeless = read(b"not json", Expected()).fact, read(b'{"data":1}', Expected()).fact

    assert mappers.of_source("standardwebhooks:parcels") is mappers.MAPPERS["standardwebhooks"]
    assert read(BODY, Expected("live")).fact == NotForUs("unhandled_type")
    assert isinstance(broken, Unusable)
    assert isinstance(shapeless, Unusable)
    assert (broken.reason, shapeless.reason) == ("bad_json", "bad_schema")


def test_the_same_event_may_be_rendered_anew() -> None:
    """The order of keys tells nothing; any value does."""
    assert same_event(b'{"a":1,"b":2}', b'{"b": 2, "a": 1}')
    assert not same_event(b'{"a":1}', b'{"a":2}')
    assert same_event(b"x", b"x")
    assert not same_event(b"x", b"y")


def test_an_endpoint_of_the_settings_decodes_its_secret_or_is_refused() -> None:
    """A secret of another form would make every delivery a forgery; the process does not start with one."""
    settings = dataclasses.replace(
        Settings(),
        webhook_endpoints=(
            EndpointSetting("parcels", "standardwebhooks", ["whsec_" + "QUJD" * 8], "depot", "live"),
        ),
    )
    opened = providers.endpoints(settings)["parcels"]
    refused = dataclasses.replace(
        settings, webhook_endpoints=(EndpointSetting("parcels", "standardwebhooks", ["not such a secret"]),)
    )

    assert (opened.source, opened.secrets[0].key) == ("standardwebhooks:depot", b"ABC" * 8)
    with pytest.raises(providers.UnusableSecretError, match="'parcels' does not start with whsec_"):
        providers.endpoints(refused)
