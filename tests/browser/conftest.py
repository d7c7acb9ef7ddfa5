"""A running house, and a tab of a real browser that reports whatever the browser dislikes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.api.house import DASHBOARD_TOKEN, OPS_TOKEN, House, running
from tests.api.seed import Seed, worker_pool

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AXE = Path(__file__).with_name("vendor") / "axe-4.14.1.min.js"
STARTED_WITH = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                "--disable-background-networking", "--disable-component-update")  # fmt: skip
"""Without the network ones Chromium looks for its maker's hosts; as root it needs to have no sandbox."""

REPORT = """
document.addEventListener("securitypolicyviolation", (event) => {
    console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


@dataclass
class Tab:
    """One tab, who is logged in there, and everything that the browser complained about."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        """Go to a page and wait until its scripts have run."""
        await self.page.goto(self.origin + path, wait_until="networkidle")

    async def log_in(self, token: str = OPS_TOKEN) -> None:
        """Log in through the door."""
        await self.open("/console/login")
        await self.page.fill("#token", token)
        await self.page.press("#token", "Enter")
        await self.page.wait_for_url("**/console")

    async def accessible(self) -> list[str]:
        """What axe finds wrong on this page, in the theme that it has now."""
        if not await self.page.evaluate("() => 'axe' in window"):
            await self.page.evaluate(AXE.read_text(encoding="utf-8"))  # by the debugger: the policy stands
        found: dict[str, Any] = await self.page.evaluate("() => axe.run()")
        assert len(found["passes"]) > 10, "axe has looked at nothing"
        return [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:200]}"
            for each in found["violations"]
            for node in each["nodes"]
        ]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "complains(prefix): what the browser may say in this test")


@pytest.fixture
async def house(dsn: str, redis_url: str) -> AsyncIterator[House]:
    """A running API with its console."""
    async with running(dsn, redis_url) as started:
        yield started


@pytest.fixture
async def seed(dsn: str) -> AsyncIterator[Seed]:
    """Fills the test's database."""
    connection = await asyncpg.connect(dsn)
    workers = await worker_pool(dsn)
    yield Seed(connection, workers)
    await workers.close()
    await connection.close()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path is not None, "no Chromium here: apt-get install chromium"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=path, args=list(STARTED_WITH))
        yield started
        await started.close()


@pytest.fixture
async def tab(browser: Browser, house: House, request: pytest.FixtureRequest) -> AsyncIterator[Tab]:
    """A tab of somebody in Tokyo; at the end the browser must not have complained about anything."""
    expected = request.node.get_closest_marker("complains")
    context = await browser.new_context(
        timezone_id="Asia/Tokyo", locale="en-GB", viewport={"width": 1280, "height": 900}, bypass_csp=False
    )
    await context.add_init_script(REPORT)
    page = await context.new_page()
    opened = Tab(page, f"http://127.0.0.1:{house.port}")
    page.on(
        "console",
        lambda said: opened.complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
    yield opened
    await context.close()
    allowed = () if expected is None else expected.args
    assert [each for each in opened.complaints if not each.startswith(tuple(allowed))] == []


@pytest.fixture
async def desk(tab: Tab) -> Tab:
    """The same, logged in with the role `ops`."""
    await tab.log_in()
    return tab


@pytest.fixture
async def board(tab: Tab) -> Tab:
    """The same, logged in with the role `dashboard`."""
    await tab.log_in(DASHBOARD_TOKEN)
    return tab
