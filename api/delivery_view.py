"""Turns rows of the log into what the audit API shows; pure. Ids are text: JavaScript counts to 2^53 only."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import msgspec

from billing.units import decimal_text
from db.reads import DeliveryRow, Leg, MovementRow, Story, TransitionRow

SIGNATURE_VERDICTS = frozenset(("missing_sig", "malformed_sig", "bad_sig", "stale_ts", "future_ts"))
"""Refusals that say: this is not proven to come from the PSP."""

_STATE_RESULTS = {
    "pending": "pending",
    "parked": "pending",
    "applied": "ok",
    "superseded": "ok",
    "ignored": "skipped",
}


def is_duplicate(row: DeliveryRow) -> bool:
    """Whether another delivery brought this event first."""
    return row.first_log_id is not None and row.first_log_id != row.id


def processing_result(row: DeliveryRow) -> str:
    """What became of a delivery, in the contract's words."""
    if row.verdict in SIGNATURE_VERDICTS:
        return "signature_invalid"
    if row.verdict != "ok":
        return f"error: {row.verdict}"
    if row.conflict_detail is not None:
        return f"error: conflict {row.conflict_detail}".rstrip()
    if is_duplicate(row):
        return "duplicate"
    if row.state == "quarantined":
        return f"error: {': '.join(part for part in (row.reason, row.last_error) if part)}"
    return _STATE_RESULTS[row.state or "pending"]


def item(row: DeliveryRow) -> dict[str, Any]:
    """One line of the list of deliveries."""
    return {
        "id": str(row.id),
        "received_at": row.received_at,
        "source": row.source,
        "endpoint": row.endpoint,
        "origin": row.origin,
        "verdict": row.verdict,
        "event_id": row.event_id,
        "event_type": row.event_type,
        "object_id": row.object_id,
        "state": row.state,
        "processing_result": processing_result(row),
        "attempts": row.attempts,
        "last_error": row.last_error,
        "applied_at": row.applied_at,
        "source_ip": row.source_ip,
        "user_agent": row.user_agent,
        "request_id": row.request_id,
        "body_bytes": row.body_bytes,
        "body_sha256": None if row.body_sha256 is None else row.body_sha256.hex(),
        "duplicate": is_duplicate(row),
        "reason": row.reason,
        "conflict": bool(row.conflict),
        "secret_id": row.secret_id,
        "signed_at": row.signed_at,
        "actor": row.actor,
        "requests": row.requests,
    }


def detail(story: Story) -> dict[str, Any]:
    """One delivery with headers, payload and timeline."""
    return {
        **item(story.delivery),
        "headers": headers_object(header_pairs(story.payload.headers)),
        **payload_fields(story.payload.body),
        "payload_complete": len(story.payload.body) == story.delivery.body_bytes,
        "timeline": timeline(story),
        "timeline_complete": story.complete,
    }


def header_pairs(kept: bytes) -> list[tuple[str, str]]:
    """The allow-listed headers of a delivery, in the order they came."""
    return msgspec.json.decode(kept, type=list[tuple[str, str]])


def headers_object(pairs: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Headers by name; one that came several times holds the list of its values."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def payload_fields(body: bytes) -> dict[str, str]:
    """The kept bytes as text where they are clean UTF-8, else as base64."""
    try:
        return {"payload": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"payload_base64": base64.b64encode(body).decode()}


_ORDER = ("received", "refused", "redelivered", "note", "transition", "posted", "outcome")
"""What one transaction wrote has one time; this is the order in which it is told."""


def timeline(story: Story) -> list[dict[str, Any]]:
    """What happened to a delivery and its event, oldest first; each with `at` and `what`."""
    told: list[tuple[Any, int, dict[str, Any]]] = []

    def tell(at: Any, rank: str, entry: dict[str, Any]) -> None:
        told.append((at, _ORDER.index(rank), {"at": at, **entry}))

    row = story.delivery
    if row.state is None:
        tell(
            row.received_at, "refused", {"what": "refused", "verdict": row.verdict, "requests": row.requests}
        )
    for each in reversed(story.deliveries):
        what = "received" if each.id == row.first_log_id else "redelivered"
        tell(
            each.received_at,
            what,
            {
                "what": what,
                "delivery_id": str(each.id),
                "endpoint": each.endpoint,
                "origin": each.origin,
                "actor": each.actor,
                "request_id": each.request_id,
                "body_sha256": each.body_sha256.hex(),
            },
        )
    for note in reversed(story.notes):
        entry = {
            "what": note.what,
            "delivery_id": _id(note.log_id),
            "actor": note.actor,
            "detail": note.detail,
        }
        tell(note.at, "note", entry)
    for transition in reversed(story.transitions):
        tell(transition.at, "transition", {"what": "transition", **transition_fields(transition)})
    for movement in reversed(story.movements):
        tell(movement.at, "posted", {"what": "posted", **movement_fields(movement)})
    if row.applied_at is not None:
        outcome = {"what": "outcome", "state": row.state, "reason": row.reason, "attempts": row.attempts}
        tell(row.applied_at, "outcome", outcome)
    told.sort(key=lambda entry: entry[:2])
    return [entry for _, _, entry in told]


def transition_fields(row: TransitionRow) -> dict[str, Any]:
    """A change of state as timeline and history show it; `before` and `after` are the amounts it is about."""
    return {
        "kind": row.kind,
        "source": row.source,
        "object_id": row.object_id,
        "seq": row.seq,
        "from_state": row.from_state,
        "to_state": row.to_state,
        "rule": row.rule,
        "before": _json(row.money_before),
        "after": _json(row.money_after),
    }


def movement_fields(row: MovementRow) -> dict[str, Any]:
    """A movement of money with its postings."""
    return {
        "transaction_id": str(row.id),
        "source": row.source,
        "movement": row.movement,
        "money_object": row.money_object,
        "postings": [posting_fields(leg) for leg in row.legs],
    }


def posting_fields(leg: Leg) -> dict[str, Any]:
    """One leg, in minor units and as decimal text."""
    return {
        "account_id": leg.account_id,
        "unit": leg.unit,
        "exponent": leg.exponent,
        "amount_minor": leg.amount_minor,
        "amount": decimal_text(leg.amount_minor, leg.exponent),
    }


def _id(log_id: int | None) -> str | None:
    return None if log_id is None else str(log_id)


def _json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
