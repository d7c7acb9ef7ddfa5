"""One stack per module on servers of its own; never the session's servers, for these tests break theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runtime import guardian
from tests.faults.stack import Stack, running_stack


@pytest.fixture(scope="module")
async def stack(
    children: guardian.Children, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """A receiver and two workers, with a sweep every second so that the folder stays short."""
    directory = tmp_path_factory.mktemp("faults")
    async with running_stack(directory, children, workers=2, sweep_interval="1s") as stack:
        yield stack
