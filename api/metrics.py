"""The API's metrics in a registry of their own: every name begins with `sluice_`, no label holds an id."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
"""Anything else is one label: a sender may invent methods."""


class Metrics:
    """Requests by route template, method and status, and how long they took."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sluice_api_requests_total",
            "Requests answered, by route template, method and status.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "sluice_api_request_seconds",
            "Duration of requests, by route template.",
            ["route"],
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )
        self.totals = {"requests": 0, "failed": 0}
        """Since start, for the heartbeat; failed are answers of 500 and above."""

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request of a route template."""
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self.totals["requests"] += 1
        self.totals["failed"] += status >= 500

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
