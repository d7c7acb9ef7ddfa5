"""Where a person finds an event in Stripe's own pages. Makes addresses only, and asks nobody."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

_PAGES = "https://dashboard.stripe.com"


class _Event(msgspec.Struct):
    id: str
    livemode: bool


def event_url(body: bytes, account: str) -> str | None:
    """The address of this event's page; None where the body is no event that Stripe has a page for.

    `account` is the part of our source after the colon: an account's id, another name of ours, or nothing.
    """
    try:
        event = msgspec.json.decode(body, type=_Event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not event.id.startswith("evt_"):
        return None
    steps = [account] if account.startswith("acct_") else []
    steps += [] if event.livemode else ["test"]
    return "/".join((_PAGES, *(quote(step, safe="") for step in (*steps, "events", event.id))))
