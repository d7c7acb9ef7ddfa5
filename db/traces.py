"""Tells of deliveries, events and calls as spans of one trace; ids of the trace come from what the log holds,
so no column and no job carries them. Must never fail the work that it tells of.

A trace is an event: its key is the event's id, unless the first delivery's `traceparent` names the trace that
it goes on. Every span hangs on the delivery that brought the event first.
No attribute holds a payload, a secret or anything that an unverified sender chose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from db.events import ClaimedEvent, Delivery
from db.pool import REFUSED, WORLD_IS_BUSY, type_connection
from db.queries import TRACES
from runtime import clock, telemetry, tracing
from runtime.tracing import Sender, Span

_FAILED = ("quarantined", "pending")
"""States after an attempt that did not do what the event asks for."""


@dataclass(frozen=True, slots=True)
class Called:
    """One call of the outbox: how it ended, in a word, and when, in nanoseconds since 1970."""

    effect_id: int
    source: str
    kind: str
    attempts: int
    outcome: str
    done: bool
    began_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class _Origin:
    """Whose trace something belongs to, and the span it hangs on; none where no receiver took it."""

    trace: str
    parent: str | None
    sender: Sender | None = None


def trace_of(
    event_id: str | None, request_id: str, verified: bool, headers: Mapping[str, str | list[str]]
) -> str:
    """The trace of a delivery with these kept headers; what is not verified may claim any event id and any
    trace, and gets one of its own.
    """
    told = [
        (name, value)
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return tracing.trace_id(_key(event_id, request_id, verified), _sender(told) if verified else None)


def _sender(kept: Iterable[Sequence[str]]) -> Sender | None:
    return tracing.sender([value for name, value in kept if name.lower() == "traceparent"])


def _key(event_id: str | None, request_id: str, verified: bool) -> str:
    return event_id if verified and event_id is not None else f"refused {request_id}"


def received(rows: Sequence[Delivery], seconds: float) -> None:
    """Tell of deliveries whose group commit took `seconds` and has just ended."""
    if not tracing.on():
        return
    ended_ns = clock.now_unix_ns()
    began_ns = ended_ns - int(seconds * 1e9)
    for row in rows:
        verified = row.verdict == "ok"
        key = _key(row.event_id, row.request_id, verified)
        said = {"event_id": row.event_id, "event_type": row.event_type, "object_id": row.object_id}
        about = {"source": row.source, "endpoint": row.endpoint, "verdict": row.verdict}
        attributes = _attributes(**about, **(said if verified else {}))
        failed = None if verified else row.verdict
        sender = _sender(msgspec.json.decode(row.headers)) if verified else None
        own = row.request_id
        tracing.tell(
            Span("receive", "server", key, began_ns, ended_ns, own, None, failed, attributes, sender)
        )
        batch: dict[str, str | int] = {"db.system.name": "postgresql", "db.operation.batch.size": len(rows)}
        tracing.tell(Span("commit", "client", key, began_ns, ended_ns, None, own, None, batch, sender))


async def applied(connection: type_connection, claimed: Sequence[ClaimedEvent], began_ns: int) -> None:
    """Tell of events that a worker began to apply together at `began_ns` and has an outcome for by now."""
    if not tracing.on():
        return
    ended_ns = clock.now_unix_ns()
    try:
        origins = await _origins(connection, [event.log_id for event in claimed], [])
        rows = await connection.fetch(
            TRACES.trace_outcomes, [event.source for event in claimed], [event.event_id for event in claimed]
        )
    except (*WORLD_IS_BUSY, REFUSED) as error:
        telemetry.logger().warning("spans_lost", spans=len(claimed), exc_info=error)
        return
    outcomes = {(row["source"], row["event_id"]): row for row in rows}
    for event in claimed:
        row = outcomes[event.source, event.event_id]
        origin = origins.get(event.log_id) or _Origin(event.event_id, None)
        attributes = _attributes(
            source=event.source,
            event_id=event.event_id,
            event_type=row["event_type"],
            object_id=row["object_id"],
            state=row["state"],
            reason=row["reason"],
            attempts=event.attempts,
        )
        failed = (row["reason"] or row["state"]) if row["state"] in _FAILED else None
        tracing.tell(
            Span(
                "apply",
                "consumer",
                origin.trace,
                began_ns,
                ended_ns,
                parent=origin.parent,
                failed=failed,
                attributes=attributes,
                sender=origin.sender,
            )
        )


async def called(connection: type_connection, calls: Sequence[Called]) -> None:
    """Tell of calls to a PSP that have ended."""
    if not tracing.on() or not calls:
        return
    try:
        origins = await _origins(connection, [], [call.effect_id for call in calls])
    except (*WORLD_IS_BUSY, REFUSED) as error:
        telemetry.logger().warning("spans_lost", spans=len(calls), exc_info=error)
        return
    for call in calls:
        origin = origins.get(call.effect_id) or _Origin(f"effect {call.effect_id}", None)
        attributes = _attributes(
            source=call.source, call=call.kind, outcome=call.outcome, attempts=call.attempts
        )
        tracing.tell(
            Span(
                f"call {call.kind}",
                "client",
                origin.trace,
                call.began_ns,
                call.ended_ns,
                parent=origin.parent,
                failed=None if call.done else call.outcome,
                attributes=attributes,
                sender=origin.sender,
            )
        )


async def _origins(
    connection: type_connection, log_ids: Sequence[int], effect_ids: Sequence[int]
) -> dict[int, _Origin]:
    """Origins by log id or effect id; what retention has taken is missing."""
    rows = await connection.fetch(TRACES.trace_origins, list(log_ids), list(effect_ids))
    return {row["effect_id"] or row["log_id"]: _origin(row) for row in rows if row["event_id"] is not None}


def _origin(row: Any) -> _Origin:
    if row["headers"] is None:  # no receiver took it
        return _Origin(row["event_id"], None)
    return _Origin(row["event_id"], row["request_id"], _sender(msgspec.json.decode(row["headers"])))


def _attributes(**told: str | int | None) -> dict[str, str | int]:
    return {f"sluice.{name}": value for name, value in told.items() if value is not None}
