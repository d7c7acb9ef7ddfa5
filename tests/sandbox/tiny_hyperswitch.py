"""What the tiny receiver knows of Hyperswitch: its signature, its events in the words of the other PSP, and
how to find what was never sent. Apart from both Sluice and the sandbox.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp

from tests.sandbox.merchants import HYPERSWITCH_KEY, HYPERSWITCH_SECRET

Event = dict[str, Any]
_TYPES = {
    "payment_succeeded": "payment_intent.succeeded",
    "payment_failed": "payment_intent.payment_failed",
    "payment_cancelled": "payment_intent.canceled",
}
_PAGE_ROWS = 100


def verdict(body: bytes, header: str | None) -> str:
    """What a receiver must say of a delivery."""
    if header is None:
        return "missing_sig"
    if re.fullmatch("[0-9a-f]{128}", header) is None:
        return "malformed_sig"
    genuine = hmac.new(HYPERSWITCH_SECRET.encode(), body, hashlib.sha512).hexdigest()
    return "ok" if hmac.compare_digest(genuine, header) else "bad_sig"


def translated(event: Event) -> Event:
    """The same event as the other PSP might tell it, as far as sales are concerned."""
    family, thing = event["content"]["type"].removesuffix("_details"), event["content"]["object"]
    told = {**thing, "id": thing[f"{family}_id"], "object": {"payment": "payment_intent"}.get(family, family)}
    told["metadata"] = thing.get("metadata") or {}
    if family != "payment":
        told["payment_intent"] = thing["payment_id"]
    kind = _TYPES.get(event["event_type"], event["event_type"])
    return {"id": event["event_id"], "type": kind, "data": {"object": told}}


def status_of_subscription(events: Iterable[Event], subscription_id: str) -> str | None:
    """The state of a subscription of ours by the payment that names it, None where none does."""
    types = {
        event["type"]
        for event in events
        if event["data"]["object"].get("metadata", {}).get("subscriptionId") == subscription_id
    }
    if "payment_intent.succeeded" in types:
        return "active"
    if "payment_intent.payment_failed" in types:
        return "expired"
    return "pending_payment" if types else None


async def undelivered(sandbox_url: str, session: aiohttp.ClientSession) -> AsyncIterator[bytes]:
    """The exact bodies of all events that the PSP has not delivered."""
    async with session.get(f"{sandbox_url}/sandbox/hyperswitch/account") as answer:
        if answer.status == 404:
            return
        events = f"{sandbox_url}/hyperswitch/events/{(await answer.json())['merchant_id']}"
    key = {"api-key": HYPERSWITCH_KEY}
    seen = 0
    while True:
        wanted = {"is_delivered": False, "limit": _PAGE_ROWS, "offset": seen}
        async with session.post(events, json=wanted, headers=key) as answer:
            page = json.loads(await answer.read())["events"]
        for entry in page:
            async with session.get(f"{events}/{entry['event_id']}/attempts", headers=key) as answer:
                (attempt,) = await answer.json()
            yield attempt["request"]["body"].encode()
        if len(page) < _PAGE_ROWS:
            return
        seen += len(page)
