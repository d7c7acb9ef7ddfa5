"""Properties of reading an event's envelope: any bytes in, storable values or nothing out, never an
exception."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from psp.envelope import STORABLE_CHARACTERS_MAX, UNREADABLE, Envelope
from psp.stripe import envelope

thorough = settings(max_examples=500, deadline=None)

UNIX_S_YEAR_9999 = 253_402_300_799

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def assert_storable(read: Envelope) -> None:
    """What the log's text and bigint columns and its B-tree indexes can hold."""
    for value in (read.event_id, read.event_type, read.object_id):
        if value is not None:
            assert 0 < len(value) <= STORABLE_CHARACTERS_MAX
            assert "\0" not in value
            assert value == value.encode("utf-8").decode("utf-8")
    assert read.psp_created is None or 0 <= read.psp_created <= UNIX_S_YEAR_9999
    assert read.event_id is not None or read == UNREADABLE


@thorough
@given(body=st.binary(max_size=300))
@example(body=b"")
@example(body=b"\xff\xfe{")
@example(body=b"[" * 100_000)
@example(body=b'{"data":' * 100_000)
@example(body=b'{"id":"evt_1","type":"t","data":' + b"[" * 50_000)
@example(body=b'{"id":"evt_1","created":' + b"9" * 5_000 + b"}")
@example(body=b'{"id":"evt_1","created":1e999}')
@example(body=b'{"id":"\\ud800","type":"t"}')
@example(body=b'{"id":"a\\u0000b","type":"t"}')
@example(body=b'\xef\xbb\xbf{"id":"evt_1"}')
def test_no_bytes_make_reading_raise(body: bytes) -> None:
    """Arbitrary bytes, deep nesting, huge numbers, lone surrogates and NUL give storable values or
    nothing."""
    assert_storable(envelope.read(body))


@thorough
@given(id_=anything, type_=anything, created=anything, data=anything, related=anything)
def test_no_shape_of_an_event_makes_reading_raise(
    id_: object, type_: object, created: object, data: object, related: object
) -> None:
    """JSON with the right names and any values under them gives storable values or nothing."""
    event = {"id": id_, "type": type_, "created": created, "data": data, "related_object": related}

    assert_storable(envelope.read(json.dumps(event).encode()))


@thorough
@given(id_=st.text(max_size=300), type_=st.text(max_size=300), object_id=st.text(max_size=300))
def test_any_texts_under_the_names_are_storable_or_left_out(id_: str, type_: str, object_id: str) -> None:
    """Ids and types of any characters and length are taken only when the log can hold them, then
    unchanged."""
    event = {"id": id_, "type": type_, "created": 1, "data": {"object": {"id": object_id}}}

    read = envelope.read(json.dumps(event).encode())

    assert_storable(read)
    assert read.event_id in (None, id_)
    assert read.event_type in (None, type_)
    assert read.object_id in (None, object_id)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {
                "id": "evt_1",
                "type": "refund.updated",
                "created": 1_790_000_000,
                "data": {"object": {"id": "re_1"}},
            },
            Envelope("evt_1", "refund.updated", "re_1", 1_790_000_000),
        ),
        (
            {
                "id": "evt_2",
                "object": "v2.core.event",
                "type": "v1.billing.meter.error",
                "created": "2026-11-21T00:00:00Z",
                "related_object": {"id": "mtr_1", "type": "billing.meter"},
            },
            Envelope("evt_2", "v1.billing.meter.error", "mtr_1", None),
        ),
        (
            {"id": "evt_3", "type": "balance.available", "data": {"object": {}}},
            Envelope("evt_3", "balance.available"),
        ),
        ({"id": "evt_4", "type": "charge.succeeded", "data": "moved"}, Envelope("evt_4", "charge.succeeded")),
        ({"id": "evt_5", "type": "charge.succeeded", "created": True}, Envelope("evt_5", "charge.succeeded")),
        (
            {"id": "evt_6", "type": "charge.succeeded", "created": 1_790_000_000_000},
            Envelope("evt_6", "charge.succeeded"),
        ),
        ({"id": "", "type": "charge.succeeded"}, UNREADABLE),
        ({"id": "evt_" + "9" * 9_000, "type": "charge.succeeded"}, UNREADABLE),
        ({"type": "charge.succeeded"}, UNREADABLE),
        ([{"id": "evt_1"}], UNREADABLE),
    ],
    ids=[
        "classic",
        "thin",
        "object_without_id",
        "data_of_another_shape",
        "created_true",
        "created_in_ms",
        "empty_id",
        "endless_id",
        "no_id",
        "list",
    ],
)
def test_an_event_is_read_as_far_as_it_is_readable(event: object, expected: Envelope) -> None:
    """Id, type, object and time are read where Stripe puts them; what is of another shape is left out, the
    id kept."""
    assert expected == envelope.read(json.dumps(event).encode())
