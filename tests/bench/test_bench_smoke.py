"""`run.py bench --smoke` end to end on scratch servers: that it measures and reports; never how fast
anything is.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench import bad_day
from tests.support.processes import ROOT

NUMBERS = {
    "receive": {"of_noop", "of_no_write", "over_naive"},
    "apply": {"over_arq_noop", "over_job_per_event"},
    "end_to_end": {"sustained_over_naive", "p99_of_arq_poll", "worker_idle_cpu"},
    "growth": {"growth_receive", "growth_apply", "growth_latest_50", "growth_retention_of_a_day_drop"},
}
"""Ratios that contract section 9 promises and a short run can measure."""
PEERS = {"over_supabase", "over_djstripe", "over_tutorial"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON of one short run of everything."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    asyncio.run(_bench(path))
    decoded: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return decoded


async def _bench(path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench",
        "all",
        "--smoke",
        "--json",
        str(path),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await child.communicate()
    assert child.returncode == 0, out.decode(errors="replace")[-3_000:]


@pytest.mark.parametrize(("bench", "names"), NUMBERS.items(), ids=NUMBERS)
def test_ratios_of_the_contract_are_numbers(report: dict[str, Any], bench: str, names: set[str]) -> None:
    """Each bench gives the ratios that the contract names, as positive numbers or zero."""
    given = {name for name in names if isinstance(report["ratios"].get(name), int | float)}

    assert names == given, bench


def test_peers_that_are_not_installed_are_named_with_a_reason(report: dict[str, Any]) -> None:
    """A ratio that could not be measured is null, and the report says why."""
    assert dict.fromkeys(PEERS) == {name: report["ratios"][name] for name in PEERS}
    assert {"supabase", "dj-stripe", "tutorial"} == set(report["benches"]["peers"]["missing"])


def test_report_says_where_it_was_made(report: dict[str, Any]) -> None:
    """Figures without machine and commit are worth nothing."""
    assert {"at", "commit", "machine", "smoke", "ratios", "benches"} == set(report)
    assert report["smoke"] is True
    assert {"processors", "model", "memory_gib", "system", "python"} == set(report["machine"])


def test_we_pass_the_bad_day(report: dict[str, Any]) -> None:
    """The scripted bad day leaves us with full marks, the backfill race among them."""
    card = report["benches"]["conformance"]["figures"]["sluice"]

    wrong = {scenario: finding for scenario, finding in card["findings"].items() if finding is not None}

    assert not wrong
    assert {scenario.name for scenario in bad_day.script("")} == set(card["findings"])
    assert not card["not_measurable"]


def test_the_load_generator_says_what_it_took(report: dict[str, Any]) -> None:
    """Every receiver's figures name the processor share of the generator, and every delivery was
    acknowledged.
    """
    saturated = report["benches"]["receive"]["figures"]["saturated"]

    assert {"no-op", "no write", "sluice", "naive", "sluice, 2 processes"} == set(saturated)
    assert all(series["cpu_share"]["load"] > 0 for series in saturated.values())
    assert {0} == {series["not_acknowledged"] for series in saturated.values()}
