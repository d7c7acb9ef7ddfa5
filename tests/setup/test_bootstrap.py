"""`run.py` before there is a stack: the virtual environment, the lock files, the command line."""

from __future__ import annotations

import ast
import fcntl
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import run
from tests.support.clone import Clone
from tests.support.poll import until
from tests.support.processes import ROOT, Processes, Running

MAKE_VENV = "import run; run.install('run.lock')"


@pytest.fixture
def bare(tmp_path: Path, processes: Processes) -> Clone:
    """A copy without a virtual environment, whose lock files ask for nothing, so that no index is needed."""
    clone = Clone(tmp_path, processes)
    for lock in run.LOCK_GROUPS:
        (clone.root / "requirements" / lock).write_text("")
    return clone


def install(clone: Clone, processes: Processes, path: str | None = None) -> Running:
    """Start an installation in the copy, with another PATH when one is given."""
    environment = {} if path is None else {"PATH": path}
    return processes.start("-c", MAKE_VENV, environment=environment, name="install", cwd=clone.root)


def works(clone: Clone) -> bool:
    """Whether the copy's virtual environment is one."""
    asked = subprocess.run(
        [clone.root / ".venv" / "bin" / "python", "-c", "import sys; print(sys.prefix)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() == str(clone.root.resolve() / ".venv")


async def test_installs_once(bare: Clone, processes: Processes) -> None:
    """The first run makes `.venv`, the second has nothing to do, a changed lock file is installed again."""
    first = install(bare, processes)
    assert await first.ended(60.0) == 0, first.output()
    assert works(bare)
    assert "installed in" in first.output()

    second = install(bare, processes)
    assert (await second.ended(), second.output()) == (0, "")

    (bare.root / "requirements" / "run.lock").write_text("# changed\n")
    third = install(bare, processes)
    assert await third.ended(60.0) == 0
    assert "installed in" in third.output()


async def test_works_without_uv(bare: Clone, processes: Processes, tmp_path: Path) -> None:
    """Where there is no uv, or one that does not run, Python's own venv and pip do it."""
    (tmp_path / "shims").mkdir()
    (tmp_path / "shims" / "uv").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "shims" / "uv").chmod(0o755)
    running = install(bare, processes, path=f"{tmp_path / 'shims'}:/usr/bin:/bin")

    assert await running.ended(120.0) == 0, running.output()
    assert "with pip" in running.output()
    assert works(bare)


async def test_half_made_environment_is_made_anew(bare: Clone, processes: Processes) -> None:
    """What a killed installation left is thrown away, however whole it looks."""
    assert await install(bare, processes).ended(60.0) == 0
    (bare.root / ".venv" / run.STAMP.name).unlink()
    debris = bare.root / ".venv" / "half a package"
    debris.write_text("")
    (bare.root / ".local" / "venv.lock").write_text("unfinished\n")

    running = install(bare, processes)

    assert await running.ended(60.0) == 0, running.output()
    assert works(bare)
    assert not debris.exists()


async def test_two_installations_wait_for_each_other(bare: Clone, processes: Processes) -> None:
    """A second run in the same clone waits for the first and then finds everything done."""
    (bare.root / ".local").mkdir()
    with (bare.root / ".local" / "venv.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        both = [install(bare, processes) for _ in range(2)]
        await until(lambda: all("waiting for" in each.output() for each in both), 20.0, "both to wait")
        assert not (bare.root / ".venv").exists()

    assert [await running.ended(60.0) for running in both] == [0, 0]
    assert sum("installed in" in running.output() for running in both) == 1
    assert works(bare)


async def test_environment_of_another_python_is_replaced(bare: Clone, processes: Processes) -> None:
    """A `.venv` whose Python is gone or another one is made anew."""
    (bare.root / ".venv" / "bin").mkdir(parents=True)
    (bare.root / ".venv" / "bin" / "python").symlink_to("/nowhere/python")

    running = install(bare, processes)

    assert await running.ended(60.0) == 0, running.output()
    assert works(bare)


async def test_missing_venv_module_is_one_line(bare: Clone, processes: Processes, tmp_path: Path) -> None:
    """Where Python comes without venv, the error says what to install."""
    broken = tmp_path / "modules"
    (broken / "venv").mkdir(parents=True)
    (broken / "venv" / "__init__.py").write_text("")
    (broken / "venv" / "__main__.py").write_text("raise SystemExit('ensurepip is not available')")
    shutil.copytree(broken / "venv", bare.root / "venv")  # `python -m` looks into the current directory first
    environment: dict[str, str | None] = {
        "PATH": "/usr/bin:/bin" if shutil.which("uv", path="/usr/bin:/bin") is None else "/bin/none"
    }
    running = processes.start(
        str(bare.root / "run.py"), "up", environment=environment, name="run.py", cwd=bare.root
    )

    assert await running.ended(60.0) == 1
    assert running.output().splitlines()[-1] == (
        "run.py: python3 -m venv does not work here: install python3-venv (Debian, Ubuntu), or install uv"
    )


def test_parses_on_old_pythons() -> None:
    """The check of the Python version comes before anything that an old Python cannot read or import."""
    tree = ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 6))
    first = [node for node in tree.body if not isinstance(node, ast.Expr)][:2]

    assert isinstance(first[0], ast.Import)
    assert [name.name for name in first[0].names] == ["sys"]
    assert "hexversion < " in ast.unparse(first[1])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["demo", "--evnts", "5"],
        ["demo", "--events", "x"],
        ["demo", "--events", "0"],
        ["demo", "--events", "200001"],
        ["up", "more"],
    ],
)
def test_wrong_command_line_is_refused_at_once(arguments: list[str], tmp_path: Path) -> None:
    """A wrong command line is exit status 2 before anything is installed."""
    shutil.copy(ROOT / "run.py", tmp_path)
    shutil.copytree(ROOT / "runtime", tmp_path / "runtime")
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", *arguments], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr.startswith("usage: python3 run.py")) == (2, True)
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("lock", run.LOCK_GROUPS)
def test_lock_files_are_hashed_and_name_no_index(lock: str) -> None:
    """Every requirement is pinned with hashes, and no line names the index of a machine."""
    text = run.lock_path(lock).read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())

    assert "://" not in text
    assert [block for block in blocks if "==" not in block or "--hash=sha256:" not in block] == []


def test_development_lock_holds_the_product_lock() -> None:
    """Who can test can run, and who traces too: one installation serves all."""
    for smaller, larger in itertools.pairwise(("run.lock", "otel.lock", "dev.lock", "browser.lock")):
        assert run.requirements(smaller) <= run.requirements(larger)


def test_who_names_a_collector_gets_what_speaks_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody else pays for it."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    plain = [run.lock_of(command) for command in ("demo", "up", "bench", "test")]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    traced = [run.lock_of(command) for command in ("demo", "up", "bench", "test")]

    assert plain == ["run.lock", "run.lock", "run.lock", "dev.lock"]
    assert traced == ["otel.lock", "otel.lock", "run.lock", "dev.lock"]


def test_ci_runs_the_check() -> None:
    """The CI's entry is executable: `run.py check`, then `run.py browser`; a failure of either ends it."""
    entry = ROOT / ".ci" / "run"

    assert os.access(entry, os.X_OK)
    assert "set -e" in entry.read_text()
    assert "\npython3 run.py check\nexec python3 run.py browser" in entry.read_text()
