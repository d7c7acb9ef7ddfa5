"""Walks a PSP's lists page by page, with a memory: a walk that ran out of its budget goes on there in the
next run. Repairs nothing itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from db import findings
from psp.reads import Page, ReadError, Span
from reconciler.run import Asked, Run
from runtime import limits

PAGES_MAX = 50
"""Pages of one list in one run: five thousand objects, some seconds of a PSP's time."""

Item = TypeVar("Item")


async def walk(
    run: Run,
    asked: Asked,
    name: str,
    since: Callable[[int | None], int],
    fetch: Callable[[Span], Awaitable[Page[Item]]],
) -> AsyncIterator[tuple[Span, Page[Item]]]:
    """The pages of a list from `since` (given where the last whole walk ended) up to the run's grace.

    Raises ReadError; the next run then begins the walk anew.
    """
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        position = await findings.read_cursor(connection, asked.source, name)
    span = _span(run, position, since)
    for _ in range(PAGES_MAX):
        await asked.turn()
        try:
            page = await fetch(span)
        except ReadError:
            if span.after is not None:
                # What the page begins after may be gone from the list.
                await _remember(run, asked, name, f"{span.since} anew")
            raise
        yield span, page
        if page.after is None:
            await _remember(run, asked, name, str(span.until))
            return
        span = replace(span, after=page.after)
    run.counts["walks_cut_short"] += 1
    await _remember(run, asked, name, f"{span.since} {span.until} {span.after}")


def _span(run: Run, position: str | None, since: Callable[[int | None], int]) -> Span:
    parts = (position or "").split(" ", 2)
    if len(parts) == 3:
        return Span(int(parts[0]), int(parts[1]), parts[2])
    if len(parts) == 2:
        return Span(int(parts[0]), run.started_at - run.grace_s)
    return Span(since(int(position) if position else None), run.started_at - run.grace_s)


async def _remember(run: Run, asked: Asked, name: str, position: str) -> None:
    """A dry run and one about a single object have not dealt with what they have seen."""
    if not run.order.dry_run and run.order.object is None:
        async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
            await findings.move_cursor(connection, asked.source, name, position)
