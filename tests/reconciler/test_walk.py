"""Walks over long lists: bounded per run, gone on with in the next, begun anew after a fault."""

from __future__ import annotations

from uuid import uuid4

import pytest

from db import pool, reconcile
from db.findings import PHASES, Order
from psp.readers import opened
from psp.reads import Page, ReadError, Span
from reconciler import streams
from reconciler.run import Asked, Run
from tests.reconciler.shop import Shop


class Book:
    """A list of numbered pages, as a PSP would serve it."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.asked: list[Span] = []
        self.broken_at: int | None = None

    async def fetch(self, span: Span) -> Page[int]:
        """One page."""
        self.asked.append(span)
        number = int(span.after or 0)
        if number == self.broken_at:
            raise ReadError("gone")
        return Page((number,), str(number + 1) if number + 1 < self.pages else None)


async def walked(shop: Shop, book: Book, started_at: int, asked: Asked, run: Run) -> list[int]:
    """One walk of one run."""
    run.started_at = started_at
    return [
        number
        async for _, page in streams.walk(
            run, asked, "numbers", lambda last: 0 if last is None else last - 10, book.fetch
        )
        for number in page.items
    ]


@pytest.fixture
async def walking(shop: Shop) -> tuple[Asked, Run]:
    """A source without a rate to wait for, and a run by the interval."""
    async with opened(shop.settings()) as readers:
        asked = Asked("stripe", "stripe", readers["stripe"])
    return asked, Run(Order(uuid4(), "interval", PHASES, False), shop.settings(), shop.reconcilers, {}, 0, 5)


async def test_a_long_list_is_walked_over_several_runs(shop: Shop, walking: tuple[Asked, Run]) -> None:
    """No page twice and none left out; then the next walk begins a little before where this one ended."""
    asked, run = walking
    book = Book(streams.PAGES_MAX * 2 + 3)
    seen = [await walked(shop, book, started_at, asked, run) for started_at in (1_000, 2_000, 3_000, 4_000)]
    spans = [(span.since, span.until) for span in book.asked]

    assert [len(part) for part in seen[:3]] == [streams.PAGES_MAX, streams.PAGES_MAX, 3]
    assert [number for part in seen[:3] for number in part] == list(range(book.pages))
    assert set(spans[: book.pages]) == {(0, 995)}
    assert spans[book.pages] == (985, 3_995)


async def test_a_walk_that_breaks_begins_anew(shop: Shop, walking: tuple[Asked, Run]) -> None:
    """The page that it would go on from may be gone from the list for ever."""
    asked, run = walking
    book = Book(streams.PAGES_MAX + 9)
    await walked(shop, book, 1_000, asked, run)
    book.broken_at = streams.PAGES_MAX
    with pytest.raises(ReadError):
        await walked(shop, book, 2_000, asked, run)
    book.broken_at = None
    again = await walked(shop, book, 3_000, asked, run)

    assert again[0] == 0


async def test_any_number_of_reconcilers_may_append(shop: Shop) -> None:
    """The lock is asked for, not waited for, and is free again with the end of the transaction."""
    first = await pool.connect(shop.dsn, "sluice_reconciler", "first")
    second = await pool.connect(shop.dsn, "sluice_reconciler", "second")
    query = "SELECT pg_try_advisory_xact_lock(hashtextextended('sluice_reconcile_append', 0))"
    async with first.transaction():
        await reconcile.lock_appends(first)
        taken = await second.fetchval(query)
    free = await second.fetchval(query)
    await first.close()
    await second.close()

    assert (taken, free) == (False, True)
