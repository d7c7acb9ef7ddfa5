"""`docs/counterparts.md` names a test for everything that the systems before this one tested, and each is
there.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "counterparts.md"

ROWS = {
    "Wallet of a card": 22,
    "Prepaid balance": 29,
    "Developers' cards": 13,
    "Webhook log": 12,
    "Retention": 4,
    "Dispatcher": 6,
    "Subscriptions": 16,
    "Orders": 3,
    "Refunds": 15,
    "Smoke": 5,
    "Sellers and reversals": 10,
    "Reconciler": 17,
    "Outbound keys": 8,
    "Gaps": 16,
    "Top-ups: sessions": 24,
    "Top-ups: webhook": 27,
    "Promises of the customers' API": 20,
}
"""Rows of each list: one that is taken off the page would be missed by nobody else."""


@functools.cache
def functions_of(path: Path) -> frozenset[str]:
    """The test functions of a file; none where there is no such file."""
    if not path.is_file():
        return frozenset()
    made = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(
        node.name
        for node in made
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def rows_of(page: str) -> dict[str, list[list[str]]]:
    """The cells of each row, by the heading that it stands under."""
    found: dict[str, list[list[str]]] = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if line.startswith("|")]
        found[title] = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return found


def faults(page: str) -> list[str]:
    """What is wrong with the rows of a page, one sentence each."""
    found = []
    for title, rows in rows_of(page).items():
        names = [row[0] for row in rows]
        found += [f"{title}: {name} stands there twice" for name in {n for n in names if names.count(n) > 1}]
        for row in rows:
            where = f"{title}: {row[0]}"
            if len(row) != 3 or not all(row):
                found.append(f"{where} is not a name, a sentence and its tests")
                continue
            named = re.findall(r"`([^`]+)`", row[2])
            if not named or re.sub(r"`[^`]+`|\s", "", row[2]):
                found.append(f"{where} has no test, or something that is none")
            for node in named:
                file, _, test = node.partition("::")
                if test not in functions_of(ROOT / file):
                    found.append(f"{where} names {node}, which does not exist")
    return found


def test_every_counterpart_exists() -> None:
    """Each row has what must hold and a test that is there, by file and name."""
    assert faults(PAGE.read_text(encoding="utf-8")) == []


def test_the_lists_are_whole() -> None:
    """As many rows as were found once, under each heading."""
    assert {title: len(rows) for title, rows in rows_of(PAGE.read_text(encoding="utf-8")).items()} == ROWS


def test_every_fault_can_be_found() -> None:
    """A page with one fault of each kind is told of each."""
    here = "tests/house/test_counterparts.py"
    page = (
        "# T\n\n## L\n\n| Named | Holds | Tests |\n|---|---|---|\n"
        f"| good | x | `{here}::test_the_lists_are_whole` |\n"
        f"| good | x | `{here}::test_every_counterpart_exists` |\n"
        "| untold |  | `a` |\n| untested | x | later |\n"
        f"| gone | x | `{here}::test_that_is_gone` |\n| nowhere | x | `tests/gone.py::test_x` |\n"
    )

    assert faults(page) == [
        "L: good stands there twice",
        "L: untold is not a name, a sentence and its tests",
        "L: untested has no test, or something that is none",
        f"L: gone names {here}::test_that_is_gone, which does not exist",
        "L: nowhere names tests/gone.py::test_x, which does not exist",
    ]
