"""Writes `docs/benchmarks.md` from the results of runs; the only place where figures meet prose.

A section belongs to one bench and says on which commit, when and where it was measured, so that one bench can
be run again without the others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench.figures import Result
from bench.machine import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Made by `python3 run.py bench --write-docs`; do not edit. Everything in one section was measured in one
run, in turn, five times; figures are medians, and ratios are medians of the ratios round by round.
Absolute figures belong to their machine and hour; ratios are what to compare. Postgres (fsync and
synchronous_commit on), Valkey and the load generator share the machine with what is measured.
`docs/profiles` shows what holds each path back.
"""


def write_section(result: Result, whole: dict[str, Any], path: Path = DOCUMENT) -> None:
    """Put this result into the document in place of an earlier one of the same bench."""
    text = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    _, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    sections = {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}
    sections[result.name] = _section(result, whole)
    body = "".join(f"## {name}\n{section.rstrip()}\n\n" for name, section in sections.items())
    path.write_text(f"{_HEAD}\n{body.rstrip()}\n", encoding="utf-8")


def _section(result: Result, whole: dict[str, Any]) -> str:
    machine = whole["machine"]
    parts = [
        (
            f"\nCommit `{whole['commit']}`, {whole['at']}. {machine['processors']} × {machine['model']}, "
            f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}.\n"
        ),
        *(f"{table.markdown()}\n" for table in result.tables),
    ]
    if result.ratios:
        rows = [f"| `{key}` | {'-' if value is None else value} |" for key, value in result.ratios.items()]
        parts.append("\n".join(["| ratio | |", "|---|---:|", *rows]) + "\n")
    parts += [f"Not measured: {what}: {why}\n" for what, why in result.missing.items()]
    return "\n".join(parts)
