"""Fixtures of the set-up's tests: a scratch copy of the project per test."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.clone import Clone
from tests.support.processes import Processes


@pytest.fixture(autouse=True)
def terminal() -> Iterator[None]:
    """Children start as under a terminal, even where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
async def clone(tmp_path: Path, processes: Processes) -> AsyncIterator[Clone]:
    """A copy that is ready to run; whatever a test did, no process of it may be left when its runs have
    ended."""
    copy = Clone(tmp_path, processes)
    copy.borrow_packages()
    yield copy
    await processes.end_all()
    await copy.nothing_left()
