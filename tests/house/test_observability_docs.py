"""Metrics, alerts, dashboard and views: the documents, the rules and the code name the same things."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from api import house_metrics
from api.console import wording
from api.house_metrics import House
from api.metrics import Metrics
from db.gauges import Gauges
from db.migrate import migrate
from ingest.metrics import REGISTRY

DOCS = Path(__file__).resolve().parents[2] / "docs"
RULES = (DOCS / "prometheus" / "rules.yml").read_text(encoding="utf-8")
BOARD: dict[str, Any] = json.loads((DOCS / "grafana" / "sluice.json").read_text(encoding="utf-8"))
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
TARGETS = [target for panel in BOARD["panels"] for target in panel["targets"]]


async def _never() -> Gauges:
    raise AssertionError("these tests ask no database")


def families(registry: CollectorRegistry) -> Iterator[tuple[str, str]]:
    """Name and type of every metric, as a scrape shows them."""
    for family in registry.collect():
        yield (f"{family.name}_total" if family.type == "counter" else family.name), family.type


@pytest.fixture(scope="module")
def metrics() -> dict[str, str]:
    """Every metric of the code with its type."""
    api = Metrics(House(_never, dict))
    api.holds_connections(lambda: 0.0)
    return dict([*families(REGISTRY), *families(api._registry)])


def test_the_page_lists_every_metric_with_its_type(metrics: dict[str, str]) -> None:
    """One row each, no row for what is gone."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(sluice_\w+)` \| (\w+) \|", page, re.MULTILINE))

    assert told == metrics
    assert set(re.findall(r"\bsluice_\w+", page)) <= metrics.keys() | {"sluice_dashboard"}


def named(expression: str) -> set[str]:
    """The metrics that an expression names, without the suffixes of histograms."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bsluice_\w+", expression)}


def test_rules_and_dashboard_name_metrics_that_exist(metrics: dict[str, str]) -> None:
    """A rule over a metric that is gone never fires."""
    expressions = [
        target["expr"] for panel in BOARD["panels"] for target in panel["targets"] if "expr" in target
    ]

    assert named(RULES) - metrics.keys() == set()
    assert named(" ".join(expressions)) - metrics.keys() == set()


def test_every_rule_has_its_runbook_entry() -> None:
    """And every entry its rule; the link of a rule leads to the entry of its name."""
    alerts = re.findall(r"- alert: (\w+)", RULES)
    links = re.findall(r"runbook: docs/runbook\.md#(\w+)", RULES)

    assert sorted(alerts) == sorted(re.findall(r"^### (Sluice\w+)$", RUNBOOK, re.MULTILINE))
    assert [alert.lower() for alert in alerts] == links


def test_the_set_that_operators_need_is_there(metrics: dict[str, str]) -> None:
    """Every process of the Procfile has traffic, errors, latency and saturation, and a series."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (receiver|worker|reconciler|API) \| (.*) \| (.*) \| (.*) \| (.*) \|$", page, re.MULTILINE
    )

    assert [row[0] for row in rows] == ["receiver", "worker", "reconciler", "API"]
    assert all(all(row) for row in rows)
    assert set(house_metrics.PROCESSES) | {"ingest"} == {"api", "ingest", "reconciler", "worker"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_agrees() -> None:
    """The rules are what Prometheus takes, and fire when they should: a killed worker, a blind house."""
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "tests.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=DOCS / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
async def database(dsn: str) -> Any:
    """A migrated database, as the dashboards see it."""
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET ROLE sluice_dashboard")
    yield connection
    await connection.close()


async def test_the_page_lists_every_column_of_every_view(database: asyncpg.Connection) -> None:
    """Views, columns and types, in their order."""
    page = (DOCS / "audit-views.md").read_text(encoding="utf-8")
    told = {
        name: re.findall(r"^\| `(\w+)` \| ([\w \[\]]+) \|", part, re.MULTILINE)
        for name, part in re.findall(r"^## audit\.(\w+)$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    }
    rows = await database.fetch(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a "
        "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'audit' AND a.attnum > 0 ORDER BY c.relname, a.attnum"
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault(row["relname"], []).append((row["attname"], row["type"]))

    assert told == found


async def test_the_dashboards_queries_run_as_its_role(database: asyncpg.Connection) -> None:
    """Every SQL panel is a question that `sluice_dashboard` may ask."""
    queries = [
        target["rawSql"] for panel in BOARD["panels"] for target in panel["targets"] if "rawSql" in target
    ]

    assert len(queries) >= 5
    for query in queries:
        await database.fetch(re.sub(r"\$__timeFilter\((\w+)\)", r"\1 > now() - interval '6 h'", query))


def test_the_console_advises_on_every_reason_of_the_runbook() -> None:
    """What the runbook knows of a reason, the console says in short."""
    section = RUNBOOK.partition("## event_quarantined")[2].partition("\n## ")[0]
    reasons = {
        name
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }

    assert wording.REASONS.keys() == reasons
