"""Where a person finds an event at the PSP: only events that are there, and only addresses of the PSP."""

from __future__ import annotations

import pytest

from psp.dashboards import event_url

LIVE = b'{"id": "evt_1", "livemode": true, "type": "x.y"}'


@pytest.mark.parametrize(
    ("source", "body", "expected"),
    [
        ("stripe", LIVE, "https://dashboard.stripe.com/events/evt_1"),
        ("stripe", LIVE.replace(b"true", b"false"), "https://dashboard.stripe.com/test/events/evt_1"),
        ("stripe:acct_7", LIVE, "https://dashboard.stripe.com/acct_7/events/evt_1"),
        ("stripe:second shop", LIVE, "https://dashboard.stripe.com/events/evt_1"),
        ("stripe", LIVE.replace(b"evt_1", b"evt_/../x?y#z"), "https://dashboard.stripe.com/events/evt_%2F..%2Fx%3Fy%23z"),
        ("stripe", LIVE.replace(b"evt_1", b"//evil.example"), None),
        ("stripe", b'{"id": "evt_1"}', None),
        ("stripe", b"\xff", None),
        ("stripe", b"[]", None),
        ("hyperswitch", LIVE, None),
        ("sluice", LIVE, None),
    ],
)  # fmt: skip
def test_the_address_of_an_event(source: str, body: bytes, expected: str | None) -> None:
    """Stripe has a page for each of its events; what is no event of Stripe has none."""
    assert expected == event_url(source, body)
