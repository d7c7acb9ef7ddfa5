"""The API's metrics in a registry of their own: every name begins with `sluice_`, no label holds an id."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from api.house_metrics import House

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
"""Anything else is one label: a sender may invent methods."""


disable_created_metrics()  # type: ignore[no-untyped-call]  # twice the series, and nobody reads them


class Metrics:
    """Requests by route template, method and status, how long they took, and the house's gauges."""

    def __init__(self, house: House) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(house)
        self._house = house
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

    def holds_connections(self, taken: Callable[[], float]) -> None:
        """Show how many of the pool's connections are taken, whenever somebody scrapes."""
        Gauge(
            "sluice_api_connections_taken",
            "Database connections of this process that are in use.",
            registry=self._registry,
        ).set_function(taken)

    async def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        await self._house.refresh()
        return generate_latest(self._registry)
