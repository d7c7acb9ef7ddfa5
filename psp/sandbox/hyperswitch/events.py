"""The events API: what was told, whether it arrived, and its exact body; it must never make an event.

Source: juspay/hyperswitch, crates/api_models, webhook_events.
"""

from __future__ import annotations

import json
from typing import Any

from psp.sandbox import limits

from .desk import HyperswitchDesk
from .errors import HyperswitchError, unknown
from .fields import Fields, at_ms_max
from .letters import signature
from .records import Told
from .shapes import Merchant, iso
from .shelf import Shelf

_BESIDE_AN_OBJECT = ("created_after", "created_before", "limit", "offset")


def page(shelf: Shelf, merchant: Merchant, fields: Fields) -> dict[str, Any]:
    """`{events, total_count}`, newest first. Filters: `object_id` or `event_id` alone, else `created_after`,
    `created_before`, `event_classes`, `event_types`, `is_delivered`, `limit`, `offset`.
    """
    fields.only("object_id", "event_id", "event_classes", "event_types", "is_delivered", *_BESIDE_AN_OBJECT)
    alone = fields.text("object_id") or fields.text("event_id")
    if alone and any(fields.fields.get(name) is not None for name in _BESIDE_AN_OBJECT):
        raise HyperswitchError(
            "IR_06", "Either only `object_id` or `event_id` must be specified, or one or more of the others"
        )
    classes, types = fields.words("event_classes"), fields.words("event_types")
    filters = {
        "id": fields.text("event_id"),
        "object_id": fields.text("object_id"),
        "classes": json.dumps(classes) if classes is not None else None,
        "types": json.dumps(types) if types is not None else None,
        "delivered": fields.either("is_delivered"),
        "created_min": fields.at_ms("created_after") or 0,
        "created_max": fields.at_ms("created_before") or at_ms_max,
    }
    rows = fields.whole("limit", limits.list_rows_max, 1, limits.list_rows_max)
    skip = fields.whole("offset", 0, 0, at_ms_max)
    found = shelf.many(Told, "list_hyperswitch_event", rows=rows, skip=skip, **filters)
    return {
        "events": [item(each, merchant) for each in found],
        "total_count": shelf.count("count_hyperswitch_event", **filters),
    }


def the(shelf: Shelf, event_id: str) -> Told:
    """One event; raises HyperswitchError 404 where there is none."""
    nothing = dict.fromkeys(("object_id", "classes", "types", "delivered"))
    bounds = {"created_min": 0, "created_max": at_ms_max, "rows": 1, "skip": 0}
    found = shelf.many(Told, "list_hyperswitch_event", id=event_id, **nothing, **bounds)
    if not found:
        raise unknown("Event")
    return found[0]


def item(told: Told, merchant: Merchant) -> dict[str, Any]:
    """One event of a list."""
    return {
        "event_id": told.id,
        "merchant_id": merchant.id,
        "profile_id": merchant.profile_id,
        "object_id": told.object_id,
        "event_type": told.type,
        "event_class": told.kind,
        "is_delivery_successful": told.delivered_at is not None,
        "initial_attempt_id": told.id,
        "created": iso(told.created_ms),
    }


def retrieved(told: Told, merchant: HyperswitchDesk, asked_for: tuple[int | None] | None) -> dict[str, Any]:
    """One event with the request that tells it; `asked_for` holds the answer to a manual retry, if this is
    one.
    """
    secret = merchant.settings.webhook_secret.reveal()
    return item(told, merchant.merchant) | {
        "request": {
            "body": told.body.decode(),
            "headers": [
                ["content-type", "application/json"],
                ["x-webhook-signature-512", signature(told.body, secret)],
            ],
        },
        "response": {
            "body": None,
            "headers": None,
            "status_code": asked_for[0] if asked_for is not None else None,
        },
        "delivery_attempt": "initial_attempt" if asked_for is None else "manual_retry",
    }
