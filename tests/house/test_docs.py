"""What the documents say is compared with the code, so that they tell the truth about today."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from api.console import wording
from billing.decision import ALERTS
from db.queries import CHECKS
from runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_readme_lists_every_setting_with_its_default() -> None:
    """One row per setting: names, default, purpose."""
    rows = re.findall(
        r"^\| (`[A-Z_]+`(?: `[A-Z_]+`)*) \| (.*?) \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    expected = [
        (
            " ".join(f"`{name}`" for name in setting.metadata["names"]),
            setting.metadata["shown"],
            setting.metadata["about"],
        )
        for setting in dataclasses.fields(Settings)
    ]

    assert rows == expected


def test_every_alert_has_a_runbook_entry() -> None:
    """An alert that tells nobody what to do wakes people for nothing."""
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    raised = set(ALERTS)
    for folder in ("workers", "reconciler", "api"):
        for file in (ROOT / folder).rglob("*.py"):
            raised |= set(re.findall(r'\("([a-z]+_[a-z_]+)", (?:f"\{|account_id)', file.read_text()))

    assert raised >= {"event_quarantined", "event_conflict", "negative_balance"}
    assert [name for name in sorted(raised) if f"## {name}" not in runbook] == []
    assert raised - {"event_quarantined"} <= wording.ALERTS.keys()  # that one's page has advice by its reason
    assert [name for name in wording.ALERTS if f"## {name}" not in runbook] == []


def test_every_invariant_has_a_runbook_entry() -> None:
    """A broken invariant is named in `GET /ops/status`; the runbook says what it means."""
    runbook = (ROOT / "docs" / "runbook.md").read_text()

    assert [name for name in CHECKS.by_name if f"`{name}`" not in runbook] == []


def test_documents_have_one_title() -> None:
    """A document begins with its one title."""
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        text = re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL)

        assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1, file.name
