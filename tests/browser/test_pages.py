"""Every page in both themes: what it must show is there, axe finds nothing, the browser has no complaint.

With `SCREENSHOTS` in the environment the pages are also written to `docs/screenshots`, for the documents.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.api.seed import Seed
from tests.browser.conftest import Tab
from tests.browser.filled import fill

SHOTS = Path(__file__).resolve().parents[2] / "docs" / "screenshots"

PAGES = {
    "overview": ("/console", "in quarantine"),
    "deliveries": ("/console/deliveries", "checkout.session.completed"),
    "deliveries-filtered": ("/console/deliveries?verdict=bad_sig", "bad sig"),
    "delivery": ("/console/deliveries/{applied}", "Credits bought and paid for"),
    "delivery-quarantined": ("/console/deliveries/{quarantined}", "What to do"),
    "delivery-forged": ("/console/deliveries/{forged}", "it was refused"),
    "explain": ("/console/explain", "Explain an object"),
    "explain-account": ("/console/explain/account/cust_1", "balance now"),
    "explain-unknown": ("/console/explain/account/nobody", "No such account"),
    "quarantine": ("/console/quarantine", "bad metadata"),
    "reconcile": ("/console/reconcile", "interval"),
    "reconcile-run": ("/console/reconcile/{run}", "missing event"),
    "balances": ("/console/balances", "cust_1"),
    "account": ("/console/balances/cust_1", "Postings, newest first"),
    "not-found": ("/console/nothing", "Not Found"),
}
EMPTY = {
    "empty-deliveries": ("/console/deliveries", "stripe trigger"),
    "empty-quarantine": ("/console/quarantine", "Nothing is in quarantine"),
    "empty-reconcile": ("/console/reconcile", "Start with a dry run"),
    "empty-balances": ("/console/balances?account=x", "No balance matches"),
    "empty-overview": ("/console", "no worker beats"),
}
FITS = "() => document.documentElement.scrollWidth <= window.innerWidth"
CLIPPED = "all => all.filter(each => each.scrollWidth > each.clientWidth).map(each => each.innerText)"
PHONE = ("overview", "deliveries", "delivery-quarantined", "quarantine")
"""Pages whose look on a phone is kept."""
MISSES = "Failed to load resource: the server responded with a status of 404"


async def look(tab: Tab, name: str, path: str, expected: str) -> None:
    """Open a page in both themes; it says what it must, and axe finds nothing in either."""
    for theme in ("light", "dark"):
        await tab.page.emulate_media(color_scheme=theme)
        await tab.open(path)
        if path == "/console":
            await tab.page.wait_for_function(
                "() => [...document.querySelectorAll('.now')].every(each => each.textContent !== 'Loading…')"
            )
        assert expected in await tab.page.inner_text("body"), name
        assert await tab.page.evaluate(FITS), name
        if "SCREENSHOTS" in os.environ:
            SHOTS.mkdir(parents=True, exist_ok=True)
            await tab.page.screenshot(path=SHOTS / f"{name}-{theme}.png")
        assert await tab.accessible() == [], f"{name} in the {theme} theme"


@pytest.mark.complains(MISSES)
async def test_every_page_in_both_themes(desk: Tab, seed: Seed) -> None:
    """A house after a bad day: every page shows it and is accessible."""
    filled = await fill(seed)
    values = {name: str(getattr(filled, name)) for name in filled.__dataclass_fields__}

    for name, (path, expected) in PAGES.items():
        await look(desk, name, path.format_map(values), expected)


async def test_empty_pages_say_what_to_do_next(desk: Tab) -> None:
    """A house where nothing has happened yet: no page is a blank table."""
    for name, (path, expected) in EMPTY.items():
        await look(desk, name, path, expected)


async def test_the_door_in_both_themes(tab: Tab) -> None:
    """The login page, before anybody is known."""
    await look(tab, "login", "/console/login", "Ops token")


@pytest.mark.complains(MISSES)
async def test_every_page_fits_a_phone(desk: Tab, seed: Seed) -> None:
    """No page is wider than a small screen, rows are cards that say what each value is, axe finds nothing."""
    filled = await fill(seed)
    values = {name: str(getattr(filled, name)) for name in filled.__dataclass_fields__}
    await desk.page.set_viewport_size({"width": 390, "height": 844})

    for name, (path, _) in PAGES.items():
        await desk.open(path.format_map(values))
        assert await desk.page.evaluate(FITS), name
        assert await desk.page.locator(".stack:visible").evaluate_all(CLIPPED) == [], name
        assert await desk.accessible() == [], name
        if "SCREENSHOTS" in os.environ and name in PHONE:
            await desk.page.screenshot(path=SHOTS / f"{name}-phone.png")
    await desk.open("/console/deliveries")
    cell = desk.page.locator("tbody tr >> nth=0").locator("td >> nth=4")
    assert await cell.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Outcome"'
