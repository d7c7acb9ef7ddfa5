"""Builds the Grafana dashboard with Grafana's own SDK, whose types are its schema: `python -m
tests.house.grafana_board` writes `docs/grafana/sluice.json`, and a test fails when the file differs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from tests.house.grafana_panels import NONE_IS_GOOD, POSTGRES, Sql, chart, lines, mean, now, p99, rows

FILE = Path(__file__).resolve().parents[2] / "docs" / "grafana" / "sluice.json"


def _done(process: str) -> str:
    return f'sum by (action) (rate(sluice_process_actions_total{{process="{process}"}}[$__rate_interval]))'


def _sections() -> list[tuple[str, list[Builder[models.Panel]]]]:
    """Rows of the dashboard: first what is wrong now, then each process by its four golden signals."""
    return [
        (
            "Now",
            [
                now(
                    "Workers alive",
                    "None: deliveries are kept and nothing is applied. Runbook: SluiceWorkerDown.",
                    'max(sluice_processes_alive{process="worker"})',
                    (None, "red"),
                    (1, "green"),
                ),
                now(
                    "Oldest pending",
                    "How long the oldest event waits. Runbook: SluiceApplyingLate.",
                    "max(sluice_oldest_pending_seconds)",
                    (None, "red"),
                    (0, "green"),
                    (10, "orange"),
                    (60, "red"),
                    unit="s",
                ),
                now(
                    "In quarantine",
                    "Events that a person must look at. Runbook: event_quarantined.",
                    'max(sluice_events_open{state="quarantined"})',
                    *NONE_IS_GOOD,
                ),
                now(
                    "Open alerts",
                    "Rows of the table alert; each name is an entry of the runbook.",
                    "sum(max by (name) (sluice_alerts_open)) or vector(0)",
                    *NONE_IS_GOOD,
                ),
                now(
                    "Broken invariants",
                    "Rows that break a rule of the books. Runbook: Invariants.",
                    "sum(max by (invariant) (sluice_invariant_rows))",
                    (None, "red"),
                    (0, "green"),
                    (1, "red"),
                ),
                now(
                    "Completeness",
                    "Share of the last day's events with an outcome in time. Runbook: SluiceIncomplete.",
                    "min(sluice_completeness_ratio)",
                    (None, "red"),
                    (0.999, "green"),
                    unit="percentunit",
                ),
            ],
        ),
        ("Receiver", _receiver()),
        ("Worker", _worker()),
        ("Reconciler", _reconciler()),
        ("API", _api()),
        ("From the log", _log()),
    ]


def _receiver() -> list[Builder[models.Panel]]:
    return [
        lines(
            "Deliveries by verdict",
            "Traffic, and refusals beyond the row budget, which are kept as counts.",
            "reqps",
            (
                "sum by (verdict) (rate(sluice_deliveries_total[$__rate_interval]))",
                "{{verdict}}",
            ),
            ("sum(rate(sluice_refusals_counted_total[$__rate_interval]))", "counted only"),
        ),
        lines(
            "Answered 503, and late heads",
            "Errors: deliveries that could not be committed in time; connections that sent no request.",
            "reqps",
            ("sum(rate(sluice_deliveries_not_committed_total[$__rate_interval]))", "not committed"),
            ("sum(rate(sluice_late_heads_total[$__rate_interval]))", "late heads"),
            ('sum(rate(sluice_doorbell_rings_total{outcome="failed"}[$__rate_interval]))', "lost rings"),
        ),
        lines(
            "Group commit",
            "Latency, 99th percentile; at three seconds deliveries are answered 503.",
            "s",
            (p99("sluice_flush_seconds"), "p99"),
        ),
        lines(
            "Rows of a commit, rows that wait",
            "Saturation: what waits for a commit; at 10,000 new deliveries are answered 503 at once.",
            "short",
            (
                mean("sluice_flush_rows"),
                "rows of a commit",
            ),
            ("sum(sluice_commit_queue_rows)", "waiting"),
        ),
    ]


def _worker() -> list[Builder[models.Panel]]:
    return [
        lines("What workers do", "Traffic and errors, by outcome.", "ops", (_done("worker"), "{{action}}")),
        lines(
            "Receipt to outcome",
            "Latency of the last five minutes' events.",
            "s",
            ("max by (quantile) (sluice_receipt_to_outcome_seconds)", "p{{quantile}}"),
            ("max(sluice_oldest_pending_seconds)", "oldest pending"),
        ),
        lines(
            "Events without an outcome",
            "Saturation: due now, parked for something that comes later, in quarantine.",
            "short",
            ("max by (state) (sluice_events_open)", "{{state}}"),
            ("max(sluice_events_due)", "due now"),
            ("max(sluice_redeliveries_unjudged)", "redeliveries"),
        ),
    ]


def _reconciler() -> list[Builder[models.Panel]]:
    return [
        lines(
            "What reconcilers do",
            "Runs, and repairs by the phase that found the need.",
            "ops",
            (_done("reconciler"), "{{action}}"),
            (
                "sum by (phase) (rate(sluice_reconcile_actions_total[$__rate_interval])) > 0",
                "repaired by {{phase}}",
            ),
        ),
        lines(
            "Since the last run, and how long it took",
            "Runbook: SluiceReconcilerStale at two hours.",
            "s",
            ("time() - max(sluice_reconcile_last_run_timestamp_seconds > 0)", "since"),
            ("max(sluice_reconcile_last_run_seconds)", "duration"),
        ),
        lines(
            "Since completeness was measured",
            "By source: a share that no run renews says nothing.",
            "s",
            (
                "time() - max by (source) (sluice_completeness_measured_timestamp_seconds > 0)",
                "{{source}}",
            ),
        ),
        lines(
            "Stuck at the PSP",
            "Objects that wait for longer than the settings RECONCILE_… say. -1: the database is away.",
            "short",
            ("max(sluice_stuck_orders_pending)", "orders"),
            ("max(sluice_stuck_refunds_pending)", "refunds"),
            ("max(sluice_orphan_refund_rows)", "orphan refunds"),
            ("max(sluice_stuck_checkouts_open)", "checkouts"),
            ("max(sluice_stuck_subscriptions_pending)", "subscriptions"),
        ),
        lines(
            "Transfers on their way back",
            "Of refunded orders; those that could not be reversed stay with the seller.",
            "short",
            ("max(sluice_reversal_pending_transfers)", "on their way"),
            ("max(sluice_permanently_failed_transfers)", "lost"),
        ),
    ]


def _api() -> list[Builder[models.Panel]]:
    return [
        lines(
            "Requests by status",
            "Traffic and errors.",
            "reqps",
            ("sum by (status) (rate(sluice_api_requests_total[$__rate_interval]))", "{{status}}"),
        ),
        lines(
            "Duration",
            "Latency, 99th percentile; and of the sample of the database that a scrape takes.",
            "s",
            (p99("sluice_api_request_seconds"), "p99"),
            ("max(sluice_sample_seconds)", "sample"),
        ),
        lines(
            "Database connections taken",
            "Saturation: of eight by process.",
            "short",
            ("max(sluice_api_connections_taken)", "taken"),
        ),
    ]


def _log() -> list[Builder[models.Panel]]:
    throughput = chart(
        "Deliveries per minute",
        "From the log itself, so it also tells of times when nobody scraped.",
        "short",
        POSTGRES,
    )
    throughput.with_target(
        Sql(
            "SELECT minute AS time, verdict AS metric, sum(deliveries) AS deliveries\n"
            "FROM audit.throughput_minute WHERE $__timeFilter(minute) GROUP BY 1, 2 ORDER BY 1",
            "time_series",
        )
    )
    return [
        throughput,
        rows(
            "Who is refused",
            "By address and verdict, in the span of time that is shown.",
            "SELECT source_ip, verdict, sum(requests) AS requests\n"
            "FROM audit.deliveries WHERE $__timeFilter(received_at) AND verdict <> 'ok'\n"
            "GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 50",
        ),
        rows(
            "Quarantine by reason",
            "Each reason is in the runbook under event_quarantined.",
            "SELECT reason, count(*) AS events, min(received_at) AS oldest\n"
            "FROM audit.events WHERE state = 'quarantined' GROUP BY 1 ORDER BY 2 DESC",
        ),
        rows(
            "Overdrawn accounts",
            "Customers below zero after a refund or dispute, in units.",
            "SELECT account_id, unit, amount / power(10::numeric, exponent) AS amount, updated_at\n"
            "FROM audit.balances WHERE overdrawn ORDER BY updated_at DESC LIMIT 50",
        ),
        rows(
            "Reconcile runs",
            "Newest first.",
            "SELECT started_at, status, requested_by, dry_run, counts::text AS counts\n"
            "FROM audit.reconcile_runs ORDER BY started_at DESC LIMIT 20",
        ),
        rows(
            "Findings",
            "What differed from the PSP, newest first.",
            "SELECT at, source, class, object_id, repaired, detail\n"
            "FROM audit.findings ORDER BY id DESC LIMIT 50",
        ),
    ]


def board() -> models.Dashboard:
    """The dashboard."""
    made = (
        dashboard.Dashboard("Sluice")
        .uid("sluice")
        .tags(["sluice"])
        .description("Payment webhooks in, correct balances out. Alerts: docs/prometheus, docs/runbook.md.")
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("prometheus").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.DatasourceVariable("postgres")
            .label("Postgres, as sluice_dashboard")
            .type("grafana-postgresql-datasource")
        )
    )
    number = 0
    for title, panels in _sections():
        made.with_row(dashboard.Row(title))
        for panel in panels:
            number += 1
            assert isinstance(panel, stat.Panel | timeseries.Panel | table.Panel)
            if len(panels) == 4:
                panel.span(6)
            made.with_panel(panel.id(number))
    return made.build()


def text() -> str:
    """The dashboard as the file holds it."""
    return JSONEncoder(sort_keys=True, indent=1).encode(board()) + "\n"


BOARD: dict[str, Any] = json.loads(text())
TARGETS = [target for panel in BOARD["panels"] for target in panel.get("targets", [])]
EXPRESSIONS = [target["expr"] for target in TARGETS if "expr" in target]
"""The questions that it puts to Prometheus."""


def main() -> None:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
