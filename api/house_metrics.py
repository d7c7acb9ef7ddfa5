"""The house's gauges for Prometheus, sampled when somebody scrapes; must answer while the database is away.

The worker and the reconciler have no port: what they count comes with their heartbeats and is shown here, per
process, so that a restart is a reset of one series and not of a sum.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from db.findings import REPAIRED
from db.gauges import Gauges, Run
from runtime import limits, telemetry

sample_age_max_s = 15.0
"""Prometheus asks every 15 to 60 s; whoever asks more often gets the same sample."""
sample_wait_s_max = 3.0
"""A scrape must be over before Prometheus gives it up, however slow the database is."""
waits_window_s = 300.0
"""Latency is that of the last five minutes: long enough for a quantile, short enough for an alert."""

UNKNOWN = -1.0
"""What every gauge shows when the database could not be asked; no count can be below zero."""

PROCESSES = ("api", "reconciler", "worker")
"""Processes that beat; each has a series even when none of it lives, because an alert needs one."""


def _run(read: Callable[[Run], float]) -> Callable[[Gauges], float]:
    return lambda found: 0.0 if found.run is None else read(found.run)


GAUGES: tuple[tuple[str, str, Callable[[Gauges], float]], ...] = (
    ("sluice_events_due", "Pending events that a worker may take now.", lambda found: found.queue.due),
    (
        "sluice_redeliveries_unjudged",
        "Deliveries of known ids that no worker has looked at.",
        lambda found: found.queue.redeliveries,
    ),
    (
        "sluice_oldest_pending_seconds",
        "How long the oldest pending event has waited; 0 when none waits.",
        lambda found: found.queue.oldest_pending_s,
    ),
    (
        "sluice_orphan_refund_rows",
        "Refunds without a payment here or unknown at the PSP, beyond RECONCILE_REFUND_ORPHAN_AFTER.",
        lambda found: found.stuck.orphan_refunds,
    ),
    (
        "sluice_stuck_refunds_pending",
        "Refunds pending for longer than RECONCILE_REFUND_STUCK_AFTER.",
        lambda found: found.stuck.refunds,
    ),
    (
        "sluice_stuck_checkouts_open",
        "Checkouts open for longer than RECONCILE_CHECKOUT_STUCK_AFTER.",
        lambda found: found.stuck.checkouts,
    ),
    (
        "sluice_stuck_subscriptions_pending",
        "Subscriptions unpaid for longer than RECONCILE_SUBSCRIPTION_STUCK_AFTER.",
        lambda found: found.stuck.subscriptions,
    ),
    (
        "sluice_stuck_orders_pending",
        "Orders unpaid for longer than RECONCILE_ORDER_STUCK_AFTER.",
        lambda found: found.stuck.orders,
    ),
    (
        "sluice_reversal_pending_transfers",
        "Transfers of refunded orders that are on their way back.",
        lambda found: found.stuck.reversals_pending,
    ),
    (
        "sluice_permanently_failed_transfers",
        "Transfers that could not be taken back.",
        lambda found: found.stuck.reversals_failed,
    ),
    (
        "sluice_reconcile_last_run_timestamp_seconds",
        "When the last reconcile run ended; 0 before the first.",
        _run(lambda run: run.finished_at),
    ),
    (
        "sluice_reconcile_last_run_seconds",
        "Duration of the last reconcile run.",
        _run(lambda run: run.seconds or 0.0),
    ),
    (
        "sluice_reconcile_last_run_ok",
        "1 when the last reconcile run succeeded, else 0.",
        _run(lambda run: float(run.status == "succeeded")),
    ),
)
"""Gauges of one value each: name, what it is, and where in a sample it stands."""


class House:
    """A collector over the last sample."""

    def __init__(
        self, read: Callable[[], Awaitable[Gauges]], invariants: Callable[[], dict[str, int]]
    ) -> None:
        self._read = read
        self._invariants = invariants
        self._gauges: Gauges | None = None
        self._sampled_at = float("-inf")
        self._seconds = 0.0
        self._sampling = asyncio.Lock()

    async def refresh(self) -> None:
        """Take a new sample unless the last one is young; never raises."""
        async with self._sampling:
            started = time.monotonic()
            if started - self._sampled_at < sample_age_max_s:
                return
            try:
                async with asyncio.timeout(sample_wait_s_max):
                    self._gauges = await self._read()
            except Exception as error:  # noqa: BLE001 - whatever it was, the gauges say that they do not know
                telemetry.logger().warning("metrics_not_sampled", exc_info=error)
                self._gauges = None
            self._sampled_at = time.monotonic()
            self._seconds = self._sampled_at - started

    def collect(self) -> Iterator[Metric]:
        """All families of the last sample; what the database could not tell is -1."""
        found = self._gauges
        yield GaugeMetricFamily(
            "sluice_sample_seconds", "Duration of the last sample of the house's gauges.", value=self._seconds
        )
        for name, about, value in GAUGES:
            yield GaugeMetricFamily(name, about, value=UNKNOWN if found is None else value(found))
        yield _events(found)
        yield _waits(found)
        yield from _completeness(found)
        yield from _processes(found)
        alerts = GaugeMetricFamily("sluice_alerts_open", "Open alerts, by name.", labels=["name"])
        for name, count in ({} if found is None else found.alerts).items():
            alerts.add_metric([name], count)
        yield alerts
        rows = GaugeMetricFamily(
            "sluice_invariant_rows", "Rows that break an invariant, by its name.", labels=["invariant"]
        )
        for name, count in self._invariants().items():
            rows.add_metric([name], count)
        yield rows


def _events(found: Gauges | None) -> Metric:
    events = GaugeMetricFamily("sluice_events_open", "Events without an outcome, by state.", labels=["state"])
    for state in ("pending", "parked", "quarantined"):
        events.add_metric([state], UNKNOWN if found is None else getattr(found.queue, state))
    return events


def _waits(found: Gauges | None) -> Metric:
    """A summary without sum and count: Prometheus keeps the label `quantile` for that type."""
    name = "sluice_receipt_to_outcome_seconds"
    waits = Metric(
        name, "Receipt to outcome of the last five minutes' events; NaN when there were none.", "summary"
    )
    for quantile, at in (("0.5", 0), ("0.99", 1)):
        value = UNKNOWN if found is None else found.waits[at]
        waits.add_sample(name, {"quantile": quantile}, float("nan") if value is None else value)
    return waits


def _completeness(found: Gauges | None) -> Iterator[Metric]:
    shares = GaugeMetricFamily(
        "sluice_completeness_ratio",
        "Share of the events that a source lists for the last day that had their outcome within a minute.",
        labels=["source"],
    )
    until = GaugeMetricFamily(
        "sluice_completeness_measured_timestamp_seconds",
        "Up to when a source's completeness has been measured.",
        labels=["source"],
    )
    for one in [] if found is None else found.completeness:
        if one.share is not None:
            shares.add_metric([one.source], one.share)
        until.add_metric([one.source], one.until)
    yield shares
    yield until


def _processes(found: Gauges | None) -> Iterator[Metric]:
    alive = GaugeMetricFamily(
        "sluice_processes_alive",
        "Processes that beat lately, by kind.",
        labels=["process"],
    )
    actions = CounterMetricFamily(
        "sluice_process_actions_total",
        "What processes without a port have done since their start, from their heartbeats.",
        labels=["process", "member", "action"],
    )
    repairs = CounterMetricFamily(
        "sluice_reconcile_actions_total",
        "Repairs that reconcilers have appended to the log since their start, by phase.",
        labels=["member", "phase"],
    )
    rows = [] if found is None else found.processes
    for process in PROCESSES:
        living = sum(row.process == process and row.age_s < limits.heartbeat_stale_s for row in rows)
        alive.add_metric([process], UNKNOWN if found is None else living)
    for row in rows:
        for action, count in row.counters.items():
            if action.startswith(REPAIRED):
                repairs.add_metric([row.instance, action.removeprefix(REPAIRED)], count)
            elif isinstance(count, int) and row.process != "api" and not action.endswith("_unix_s"):
                actions.add_metric([row.process, row.instance, action], count)
    yield alive
    yield actions
    yield repairs
