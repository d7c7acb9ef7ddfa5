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
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import CollectorRegistry

from api import house_metrics
from api.console import wording
from api.house_metrics import House
from api.metrics import Metrics
from db.gauges import Gauges
from db.migrate import migrate
from ingest.metrics import REGISTRY
from tests.house import grafana_board
from tests.house.grafana_board import BOARD, EXPRESSIONS, TARGETS

register_default_plugins()
DOCS = Path(__file__).resolve().parents[2] / "docs"
RULES = (DOCS / "prometheus" / "rules.yml").read_text(encoding="utf-8")
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")
ROW = r"^\| `(sluice_\w+)` \| (\w+) \| ([\w ]+) \| (?:`\w+` ?)* ?\| (.*?) \|"
UNITS = {"_timestamp_seconds": "unix s", "_seconds": "s", "_ratio": "ratio", "_ok": "0 or 1", "_rows": "rows"}
"""By the end of a name, the longest first; whatever else is counted says what it counts."""
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed"
)


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
    told = {name: kind for name, kind, _, _ in re.findall(ROW, PAGE, re.MULTILINE)}

    assert told == metrics
    assert set(re.findall(r"\bsluice_\w+", PAGE)) <= metrics.keys() | {"sluice_dashboard"}


def test_the_page_tells_unit_and_alerts_of_every_metric() -> None:
    """The unit is the one that the name ends with; the alerts are those of the rules that read the metric."""
    alerts: dict[str, list[str]] = {}
    for alert, expression in re.findall(
        r"- alert: (\w+)\n\s+expr: (.*?)\n\s+(?:for|labels):", RULES, re.DOTALL
    ):
        for name in named(expression):
            alerts.setdefault(name, []).append(f"`{alert}`")

    for name, _, unit, told in re.findall(ROW, PAGE, re.MULTILINE):
        expected = next((unit for end, unit in UNITS.items() if name.endswith(end)), None)
        assert expected in (unit, None), name
        assert " ".join(alerts.get(name, ["–"])) == told, name


def named(expression: str) -> set[str]:
    """The metrics that an expression names, without the suffixes of histograms."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bsluice_\w+", expression)}


def test_rules_and_dashboard_name_metrics_that_exist(metrics: dict[str, str]) -> None:
    """A rule over a metric that is gone never fires."""
    assert named(RULES) - metrics.keys() == set()
    assert named(" ".join(EXPRESSIONS)) - metrics.keys() == set()


def test_the_dashboard_shows_every_metric(metrics: dict[str, str]) -> None:
    """What is measured and shown nowhere is found by nobody."""
    assert metrics.keys() - named(" ".join(EXPRESSIONS)) == {
        "sluice_reconcile_last_run_ok"
    }  # its alert tells


def test_the_dashboard_is_what_grafanas_sdk_builds() -> None:
    """Where it differs: run `python -m tests.house.grafana_board`. Grafana's schema loses nothing of it."""
    assert grafana_board.text() == grafana_board.FILE.read_text(encoding="utf-8")
    assert (
        JSONEncoder(sort_keys=True, indent=1).encode(Dashboard.from_json(BOARD)) + "\n"
        == grafana_board.text()
    )


def test_every_panel_says_what_it_is_about() -> None:
    """An operator under stress reads the description; panels do not lie upon each other."""
    places: list[tuple[int, int]] = []
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        places += [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]
        assert panel["type"] == "row" or panel["description"], panel["title"]

    assert max(x for x, _ in places) < 24
    assert len(places) == len(set(places))


def test_every_rule_has_its_runbook_entry() -> None:
    """And every entry its rule; the link of a rule leads to the entry of its name."""
    alerts = re.findall(r"- alert: (\w+)", RULES)
    links = re.findall(r"runbook: docs/runbook\.md#(\w+)", RULES)

    assert sorted(alerts) == sorted(re.findall(r"^### (Sluice\w+)$", RUNBOOK, re.MULTILINE))
    assert [alert.lower() for alert in alerts] == links


def test_the_set_that_operators_need_is_there(metrics: dict[str, str]) -> None:
    """Every process of the Procfile has traffic, errors, latency and saturation, and a series."""
    rows = re.findall(
        r"^\| (receiver|worker|reconciler|API) \| (.*) \| (.*) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE
    )

    assert [row[0] for row in rows] == ["receiver", "worker", "reconciler", "API"]
    assert all(all(row) for row in rows)
    assert set(house_metrics.PROCESSES) | {"ingest"} == {"api", "ingest", "reconciler", "worker"}


def test_every_rule_has_been_seen_to_fire() -> None:
    """A rule that no test fires may never fire."""
    tests = (DOCS / "prometheus" / "tests.yml").read_text(encoding="utf-8")
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", tests))

    assert set(re.findall(r"- alert: (\w+)", RULES)) == fired


@needs_promtool
def test_promtool_agrees() -> None:
    """The rules are what Prometheus takes, and fire when they should: a killed worker, a blind house."""
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "tests.yml"]):
        promtool(*command)


@needs_promtool
def test_promtool_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    """Each as a rule of its own; Grafana's variable stands for a span of time."""
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "board.yml"
    file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}), encoding="utf-8")

    assert f"{len(EXPRESSIONS)} rules found" in promtool("check", "rules", str(file))


def promtool(*arguments: str) -> str:
    """What it says of a file that it agrees with."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=DOCS / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
    queries = [target["rawSql"] for target in TARGETS if "rawSql" in target]

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
