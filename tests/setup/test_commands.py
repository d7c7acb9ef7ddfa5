"""Commands of an operator, asked while the database is away: one line and a status of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("db.migrate", 1),
        ("reconciler run", 2),
        ("reconciler explain account:a", 2),
        ("reconciler verify-log", 2),
        ("reconciler seal-head", 2),
        ("reconciler prove", 2),
    ],
)
def test_a_database_that_is_away_is_told_in_one_line(command: str, status: int) -> None:
    """Nothing is said about the log: status 1 of `verify-log` means that somebody changed it."""
    away = f"postgresql://u:a-password@127.0.0.1:{free_port()}/d"

    asked = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env={"DATABASE_URL": away, "REDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert asked.returncode == status
    assert len(asked.stderr.splitlines()) == 1, asked.stderr
    assert "ConnectionRefusedError" in asked.stderr
    assert "a-password" not in asked.stderr + asked.stdout
