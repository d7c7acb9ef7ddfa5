"""The house rules that no linter knows; each rule is a function, and each is shown to fail on an example."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("ingest", "workers", "reconciler", "outbox", "db", "api", "billing", "psp", "runtime")
BANNED_NAMES = {"utils", "helpers", "common", "base", "manager", "service"}

Rule = Callable[[str, str], Iterator[str]]


def tracked() -> list[str]:
    """Files that belong to the project: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def file_has_at_most_400_lines(name: str, text: str) -> Iterator[str]:
    """A file that nobody reads to its end is where rules are written twice."""
    if name.endswith(".py") and len(text.splitlines()) > 400:
        yield f"{len(text.splitlines())} lines"


def function_has_at_most_60_lines(name: str, text: str) -> Iterator[str]:
    """A function that does not fit a screen hides a second one."""
    if not name.endswith(".py"):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > 60:
                yield f"{node.name}: {length} lines"


def module_opens_with_a_sentence(name: str, text: str) -> Iterator[str]:
    """The stranger at three in the morning must learn at once what a module is for."""
    if name.endswith(".py") and text.strip() and not ast.get_docstring(ast.parse(text)):
        yield "no module docstring"


def public_things_are_documented(name: str, text: str) -> Iterator[str]:
    """A contract that stands nowhere is guessed."""
    if not name.endswith(".py") or name.partition("/")[0] not in ROOMS:
        return
    for node in ast.parse(text).body:
        if not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f"{node.name} has no docstring"


def module_name_says_something(name: str, _text: str) -> Iterator[str]:
    """`utils` is where rooms lose their walls."""
    if set(Path(name).with_suffix("").parts) & BANNED_NAMES:
        yield "the name says nothing"


def sql_lives_in_sql(name: str, text: str) -> Iterator[str]:
    """SQL in Python cannot be run in psql, explained or read by whoever knows SQL."""
    if (
        name.endswith(".py")
        and name.partition("/")[0] in ROOMS
        and name not in ("db/migrate.py", "db/embedded.py")
    ):
        if name.startswith("psp/sandbox/"):
            return  # another program, with books of its own
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                match = re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|WITH)\s+\S+", node.value)
                if match and not node.value.strip().startswith("Delete"):
                    yield f"line {node.lineno}: {match[0].strip()}"


def digests_are_compared_in_constant_time(name: str, text: str) -> Iterator[str]:
    """`==` on a signature tells an attacker how much of it was right."""
    if name.endswith("signature.py") and re.search(
        r"(expected|digest|signature)\s*==|==\s*(expected|digest)", text
    ):
        yield "compares a digest with =="


def nothing_names_a_machine_or_an_index(name: str, text: str) -> Iterator[str]:
    """The project speaks of the product alone."""
    for pattern in (r"/home/[a-z]+/", r"files\.pythonhosted", r"pypi\.org/simple", r"registry\.npmjs"):
        if re.search(pattern, text) and name != "tests/house/test_tidy.py":
            yield f"holds {pattern}"


RULES: dict[Rule, tuple[str, str]] = {
    file_has_at_most_400_lines: ("db/x.py", '"""X."""\n' * 401),
    function_has_at_most_60_lines: ("db/x.py", "def f():\n" + "    x = 1\n" * 60),
    module_opens_with_a_sentence: ("db/x.py", "x = 1\n"),
    public_things_are_documented: ("db/x.py", '"""X."""\ndef f():\n    return 1\n'),
    module_name_says_something: ("db/utils.py", ""),
    sql_lives_in_sql: ("api/x.py", 'q = "SELECT 1 FROM t"\n'),
    digests_are_compared_in_constant_time: ("psp/x/signature.py", "if expected == given: pass\n"),
    nothing_names_a_machine_or_an_index: ("README.md", "see /home/ada/x\n"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule: Rule) -> None:
    """Every file of the project, every rule."""
    broken = [
        f"{name}: {problem}"
        for name in tracked()
        if Path(name).suffix in (".py", ".sql", ".md", ".toml", ".lock", ".yml")
        for problem in rule(name, (ROOT / name).read_text(encoding="utf-8"))
    ]

    assert broken == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_can_fail(rule: Rule) -> None:
    """A rule that nothing breaks is no rule."""
    assert list(rule(*RULES[rule])) != []


def test_processes_are_packages_with_a_line_in_the_procfile() -> None:
    """A process is a package with a `__main__` and one line of the Procfile."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    commands = {line.partition(":")[2].strip().removeprefix("python -m ") for line in lines if line.strip()}
    packages = {room for room in ROOMS if (ROOT / room / "__main__.py").exists()}

    assert commands - {"db.migrate"} == packages
