"""The receiver's metrics. Labels are endpoints and verdicts: never an id, an address or anything a sender
chose.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

disable_created_metrics()  # type: ignore[no-untyped-call]  # twice the series, and nobody reads them

REGISTRY = CollectorRegistry()
"""Ours alone: the library's default registry also shows Python's and the platform's, under other names."""

DELIVERIES = Counter(
    "sluice_deliveries_total",
    "Deliveries answered, by endpoint and verdict.",
    ["endpoint", "verdict"],
    registry=REGISTRY,
)
NOT_COMMITTED = Counter(
    "sluice_deliveries_not_committed_total",
    "Deliveries answered 503: no commit in time.",
    registry=REGISTRY,
)
COUNTED = Counter(
    "sluice_refusals_counted_total",
    "Refused deliveries beyond the row budget, kept as counts.",
    registry=REGISTRY,
)
FLUSH_ROWS = Histogram(
    "sluice_flush_rows",
    "Rows of a group commit.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
    registry=REGISTRY,
)
FLUSH_SECONDS = Histogram(
    "sluice_flush_seconds",
    "Duration of a group commit.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 3),
    registry=REGISTRY,
)
RINGS = Counter("sluice_doorbell_rings_total", "Doorbell rings, by outcome.", ["outcome"], registry=REGISTRY)
QUEUE_ROWS = Gauge(
    "sluice_commit_queue_rows",
    "Rows that wait for a group commit.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
LATE_HEADS = Counter(
    "sluice_late_heads_total",
    "Connections closed because no whole request head came in time.",
    registry=REGISTRY,
)


def exposition() -> bytes:
    """The metrics of all receiver processes that share the port, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library ships no types for it
    return generate_latest(registry)
