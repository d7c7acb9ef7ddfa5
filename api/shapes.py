"""The shapes of this port's answers as types; a test decodes real answers into them, so they are so."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from api.filters import ORIGINS, STATES, VERDICTS

Origin = Literal["psp", "reconciler", "operator", "sandbox"]
State = Literal["pending", "parked", "applied", "ignored", "superseded", "quarantined"]
Verdict = Literal[
    "ok", "missing_sig", "malformed_sig", "bad_sig", "stale_ts", "future_ts", "oversize", "bad_encoding",
    "read_timeout", "truncated",
]  # fmt: skip
RunStatus = Literal["running", "succeeded", "partial", "failed"]

assert (Origin.__args__, State.__args__, Verdict.__args__) == (ORIGINS, STATES, VERDICTS)  # type: ignore[attr-defined]  # typing's Literal hides its values from the checker


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """What all answers have in common: nothing is in them that is not said here."""


class ErrorDetail(Shape):
    """One fault of a request."""

    field: str
    message: str
    code: str


class Error(Shape):
    """Every refusal; `error` repeats `message`."""

    error: str
    code: str
    message: str
    requestId: str  # noqa: N815 - the contract's name
    details: list[ErrorDetail]


class Health(Shape):
    """Of a probe."""

    status: str


class DeliveryItem(Shape, kw_only=True):
    """One delivery; ids are text, because JavaScript counts to 2^53 only."""

    id: str
    received_at: datetime
    source: str
    endpoint: str
    origin: Origin
    verdict: Verdict
    event_id: str | None
    event_type: str | None
    object_id: str | None
    state: State | None
    processing_result: str
    attempts: int | None
    last_error: str | None
    applied_at: datetime | None
    source_ip: str | None
    user_agent: str | None
    request_id: str
    body_bytes: int
    body_sha256: str | None
    duplicate: bool
    reason: str | None
    conflict: bool
    secret_id: str | None
    signed_at: int | None
    actor: str | None
    requests: int


class DeliveryPage(Shape):
    """One page, newest first; no `next_cursor`: it was the last. A page with a cursor may hold fewer items
    than asked for, even none: a search without an index ends after its share, and goes on from there.
    """

    items: list[DeliveryItem]
    next_cursor: str | None


class Delivery(DeliveryItem, kw_only=True):
    """One delivery with all that followed from it; the payload as text, or as base64 where it is no UTF-8."""

    headers: dict[str, str | list[str]]
    payload: str | msgspec.UnsetType = msgspec.UNSET
    payload_base64: str | msgspec.UnsetType = msgspec.UNSET
    payload_complete: bool
    timeline: list[dict[str, Any]]
    timeline_complete: bool


class Access(Shape):
    """Who asked for what; `object` is a kind and an id, like `delivery:7`."""

    id: str
    at: datetime
    actor: str
    action: str
    object: str
    request_id: str
    source_ip: str | None


class AccessPage(Shape):
    """Entries of the access log, newest first."""

    items: list[Access]
    next_cursor: str | None


class Bucket(Shape):
    """Deliveries of one bucket of time; `state` is null for refused ones."""

    bucket: datetime
    source: str
    verdict: Verdict
    state: State | None
    deliveries: int


class Latency(Shape):
    """Seconds from receipt to outcome; quantiles may be off by this share of themselves."""

    events: int
    p50_s: float | None
    p99_s: float | None
    accuracy: float


class Stats(Shape):
    """Counts over a window of the log."""

    since: datetime
    until: datetime
    bucket_s: int
    buckets: list[Bucket]
    latency: Latency
    oldest_unapplied_s: float


class Explanation(Shape):
    """Today's row of an object, and every transition and posting with its cause, oldest first; `calls` are
    what was wanted of its PSP, with how often it was tried and how that ended.
    """

    kind: str
    id: str
    state: dict[str, Any]
    history: list[dict[str, Any]]
    history_complete: bool
    calls: list[dict[str, Any]]


class Replayed(Shape):
    """A replay is one more delivery; `state` is its event's at that moment."""

    delivery_id: str
    replay_delivery_id: str
    source: str
    event_id: str
    state: State
    reason: str | None
    actor: str


class ReplayedMany(Shape):
    """Of the deliveries that matched, how many events are replayed, and why the rest is left out.

    With `next_cursor` there is more: order again with it.
    """

    dry_run: bool
    matched: int
    replayed: int
    skipped: dict[str, int]
    next_cursor: str | None
    actor: str


class Resolved(Shape):
    """An event that waits for nobody any more."""

    delivery_id: str
    source: str
    event_id: str
    state: State
    reason: str
    actor: str


class Alert(Shape):
    """An open alert; its runbook entry has its name."""

    id: str
    name: str
    subject: str
    detail: str | None
    raised_at: datetime


class AlertPage(Shape):
    """Open alerts, newest first."""

    items: list[Alert]
    next_cursor: str | None


class ResolvedAlert(Shape):
    """An alert that somebody has looked at."""

    id: str
    name: str
    subject: str
    reason: str
    actor: str


class RunAsked(Shape):
    """A run is on record; the reconciler picks it up."""

    run_id: str
    status: RunStatus


class Run(Shape, kw_only=True):
    """A reconcile run; `picked_up_at` is null while nobody has begun it."""

    run_id: str
    status: RunStatus
    requested_by: str
    phases: list[str]
    dry_run: bool
    object: str | None
    started_at: datetime
    picked_up_at: datetime | None
    finished_at: datetime | None
    counts: dict[str, Any]
    errors: list[str]
    findings_total: int


class RunPage(Shape):
    """Runs, those asked for last first."""

    items: list[Run]
    next_cursor: str | None


class Finding(Shape, rename={"kind": "class"}):
    """A difference between the PSP and us."""

    id: str
    source: str
    kind: str
    object_id: str
    detail: str | None
    repaired: bool
    at: datetime


class RunDetail(Run, kw_only=True):
    """A run with what it found."""

    findings: list[Finding]
    next_cursor: str | None


class Process(Shape):
    """A process and its last heartbeat; the receiver may write nothing and is asked instead."""

    process: str
    instance: str
    started_at: datetime | None
    beat_at: datetime | None
    alive: bool
    counters: dict[str, int]


class Queue(Shape):
    """What waits."""

    pending: int
    due: int
    redeliveries: int


class LatestRun(Shape):
    """The reconcile run that was started last."""

    run_id: str
    requested_by: str
    phases: list[str]
    dry_run: bool
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    counts: dict[str, Any]


class TypeCompleteness(Shape):
    """Events of one type that a PSP lists, and how many of them had their outcome in time."""

    listed: int
    in_time: int
    share: float | None


class SourceCompleteness(TypeCompleteness):
    """The same of a whole source: events created in a span of its own time, and what counts as in time."""

    in_time_s: int
    created_after: datetime
    created_until: datetime
    measured_at: datetime
    by_type: dict[str, TypeCompleteness]


class SourceHabits(Shape):
    """How a source behaves: its own rate, our clock minus that of its signatures (None: they tell no time),
    and when each secret, by its fingerprint, was last of use.
    """

    deliveries: int
    silent_s: float
    longest_gap_s: float
    clock_skew_s: float | None
    oldest_unapplied_s: float
    secrets_last_used: dict[str, datetime]


class Status(Shape):
    """How the house is doing."""

    processes: list[Process]
    queue: Queue
    oldest_pending_s: float
    parked: int
    quarantined: int
    invariants: dict[str, int]
    invariants_checked_at: datetime | None
    completeness: dict[str, float]
    completeness_detail: dict[str, SourceCompleteness]
    sources: dict[str, SourceHabits]
    alerts: dict[str, int]
    latest_reconcile_run: LatestRun | None


class Credits(Shape):
    """Whole credits of an account."""

    account_id: str
    remaining_credits: int
    total_credits: int
    used_credits: int
    is_pro: bool
    timestamp: str


class Usdc(Shape):
    """A prepaid balance as decimal text."""

    user_id: str
    balance_usdc: str
    created_at: str
    updated_at: str
