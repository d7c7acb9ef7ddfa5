"""The console without a mouse: every control is reached, and every command given, by keys alone."""

from __future__ import annotations

from tests.api.seed import Seed
from tests.browser.conftest import Tab
from tests.browser.filled import fill
from tests.support.stripe_events import checkout, event

CONTROLS = """
() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
    .filter((each) => each.checkVisibility() && each.type !== "hidden" && !each.disabled)
    .map((each, number) => (each.dataset.number = number))
"""
FOCUSED = """
() => ({
    number: Number(document.activeElement.dataset.number ?? -1),
    seen: getComputedStyle(document.activeElement).outlineStyle !== "none",
})
"""


async def test_keys_reach_every_control(desk: Tab, seed: Seed) -> None:
    """Of every page: links, fields, buttons and what scrolls, each with a frame that shows where one is."""
    filled = await fill(seed)
    seen = (f"/deliveries/{filled.quarantined}", f"/reconcile/{filled.run}", "/balances/cust_1")
    paths = (
        "",
        "/deliveries",
        "/quarantine",
        "/explain",
        "/explain/account/cust_1",
        "/balances",
        "/reconcile",
    )
    for path in (*paths, *seen):
        await desk.open(f"/console{path}")
        controls = set(await desk.page.evaluate(CONTROLS))
        reached: set[int] = set()
        for _ in range(2 * len(controls)):
            await desk.page.keyboard.press("Tab")
            focus = await desk.page.evaluate(FOCUSED)
            reached |= {focus["number"]}
            assert focus["seen"] or focus["number"] == -1, path
            if controls <= reached:
                break
        assert controls - reached == set(), path


async def test_every_command_is_given_by_keys(desk: Tab, seed: Seed) -> None:
    """Resolve with a reason, replay by reason, close an alert, ask for a run: Enter is as good as a click."""
    filled = await fill(seed)
    await desk.open(f"/console/deliveries/{filled.quarantined}")
    await desk.page.focus("#reason")
    await desk.page.keyboard.type("looked at it")
    await desk.page.keyboard.press("Enter")
    await desk.page.wait_for_selector("text=Resolved. It is off the list")

    await desk.open("/console/quarantine")
    await desk.page.focus("[aria-label='Dry run of a replay of all: amount mismatch']")
    await desk.page.keyboard.press("Space")
    await desk.page.wait_for_selector("text=Dry run: 1 event would be replayed")
    await desk.page.locator("tr", has_text="ambiguous order").get_by_role("textbox").focus()
    await desk.page.keyboard.type("compared")
    await desk.page.keyboard.press("Enter")
    await desk.page.wait_for_url("**/console/quarantine#alerts")

    await desk.open("/console/reconcile")
    await desk.page.focus("button:has-text('Dry run')")
    await desk.page.keyboard.press("Enter")
    await desk.page.wait_for_selector("text=The reconciler picks it up")
    await desk.page.focus("button:has-text('Log out')")
    await desk.page.keyboard.press("Enter")
    await desk.page.wait_for_url("**/console/login")

    assert await seed.value("SELECT dry_run FROM reconcile_run WHERE status = 'running'") is True
    assert await seed.value("SELECT resolved_by FROM alert WHERE name = 'ambiguous_order'") == "eva"


async def test_it_works_without_a_mouse(desk: Tab, seed: Seed) -> None:
    """The first key leads to the content; from there a delivery is opened and replayed with keys alone."""
    body = event("checkout.session.completed", checkout(credits="many"))
    await seed.applied(body)
    await desk.open("/console/deliveries?state=quarantined")
    await desk.page.keyboard.press("Tab")
    assert await desk.page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    await desk.page.keyboard.press("Enter")

    async def tab_to(selector: str) -> None:
        for _ in range(40):
            await desk.page.keyboard.press("Tab")
            if await desk.page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"no key leads to {selector}")

    await tab_to("tbody a")
    await desk.page.keyboard.press("Enter")
    await desk.page.wait_for_selector("text=What to do")
    await tab_to("form[action$='/replay'] button")
    await desk.page.keyboard.press("Enter")
    await desk.page.wait_for_selector("text=Replayed.")
    assert await seed.value("SELECT count(*) FROM webhook_log WHERE actor = 'eva'") == 1
