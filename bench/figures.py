"""What a bench has measured, and how it is shown: medians, ratios taken round by round, tables. Measures
nothing itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns, all text already."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """For a terminal: columns aligned, numbers to the right."""
        widths = [
            max(len(row[place]) for row in (self.columns, *self.rows)) for place in range(len(self.columns))
        ]
        lines = [self.title, ""]
        for row in (self.columns, ["-" * width for width in widths], *self.rows):
            cells = [
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *([""] if self.notes else []), *self.notes])

    def markdown(self) -> str:
        """For `docs/benchmarks.md`."""
        head = [f"| {' | '.join(self.columns)} |", "|---" + "|---:" * (len(self.columns) - 1) + "|"]
        rows = [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join([f"**{self.title}**", "", *head, *rows, "", *self.notes]).rstrip()


@dataclass
class Result:
    """The outcome of one bench: `ratios` are the promises of contract section 9, `figures` what they were
    made of, by name and round; `missing` says what could not be measured here and why.
    """

    name: str
    ratios: dict[str, float | None] = field(default_factory=dict)
    figures: dict[str, object] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, object]:
        """What goes into the JSON under the bench's name."""
        return {"ratios": self.ratios, "figures": self.figures, "missing": self.missing}


def median(values: Sequence[float]) -> float:
    """The median; of no values, nothing: 0."""
    return statistics.median(values) if values else 0.0


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios of rounds that were measured side by side: drift of the machine cancels."""
    return round(median([a / b for a, b in zip(over, under, strict=True) if b > 0]), 3)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the ascending `ordered` values lie; of no values, 0."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def shown(value: float | None, digits: int = 2) -> str:
    """A number for a table: thousands separated, as many digits as it is worth."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{digits}f}"


def per_round(rounds: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Figures by name, rounded for the JSON."""
    return {name: [round(value, 4) for value in values] for name, values in rounds.items()}
