"""What an operator does in the console, with a mouse or without one, and what hostile payloads cannot do."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from psp.reading import Expected
from tests.api.house import House
from tests.api.seed import Seed, refused
from tests.browser.conftest import Tab
from tests.browser.filled import ANSI, LONG, MARKUP, RTL, fill
from tests.support.stripe_events import checkout, encode, event
from workers.drain import Drainer

STATE = "SELECT state FROM webhook_event WHERE event_id = $1"
REFUSED = "Failed to load resource: the server responded with a status of 4"


async def text(tab: Tab) -> str:
    """All that the page says."""
    return str(await tab.page.inner_text("body"))


async def test_an_operators_day(desk: Tab, seed: Seed) -> None:
    """A customer has paid: find the delivery by its session, see why, fix, replay, see the balance."""
    bought = checkout(credits=250, account="cust_day")
    body = event("checkout.session.completed", bought, livemode=False)
    await seed.event(body)
    await Drainer(
        seed._workers, {"stripe": Expected("live")}
    ).run_once()  # the endpoint is set up for the wrong mode
    page = desk.page

    await page.click("nav >> text=Deliveries")
    await page.fill("#f-object_id", bought["id"])
    await page.press("#f-object_id", "Enter")
    await page.wait_for_url(f"**/console/deliveries?object_id={bought['id']}")
    await page.click("tbody tr >> nth=0 >> a")
    await page.wait_for_selector("text=What to do")
    assert "A test event came to a live endpoint" in await text(desk)

    # The fix: the endpoint's mode is corrected, which the next worker knows.
    await page.click("button:has-text('Replay')")
    await page.wait_for_selector("text=Replayed.")
    await seed.drain()
    await page.click("text=Look again")
    await page.wait_for_selector("text=Credits bought and paid for: +250 credits")
    shown = await text(desk)
    assert "Opened again for a replay" in shown
    assert "eva" in shown

    await page.click("nav >> text=Balances")
    await page.fill("#account", "cust_day")
    await page.press("#account", "Enter")
    await page.wait_for_url("**account=cust_day*")
    await page.click("tbody a")
    await page.wait_for_selector("text=Postings, newest first")
    assert "+250 credits" in await text(desk)
    await page.click("text=Explain this account")
    await page.wait_for_selector("text=Today it is open with 250 credits")
    assert "because of checkout.session.completed" in await text(desk)


async def test_hostile_payloads_are_text(desk: Tab, seed: Seed) -> None:
    """Markup, escapes, marks of direction and 200 KB are shown as what they are, on every page with them."""
    filled = await fill(seed)
    paths = [
        "/console/deliveries",
        f"/console/deliveries/{filled.forged}",
        f"/console/deliveries/{filled.hostile}",
        "/console/quarantine",
        f"/console/reconcile/{filled.run}",
    ]
    for path in paths:
        await desk.open(path)
        shown = await text(desk)
        assert MARKUP in shown or MARKUP.replace('"', '\\"') in shown, path
        assert ANSI[0] not in shown
        assert RTL[7] not in shown
        assert "{{7*7}}" in shown
    await desk.open(f"/console/deliveries/{filled.long}")
    assert LONG in await text(desk)
    assert await desk.page.evaluate("() => window.broken === undefined")
    assert await desk.page.evaluate("() => document.querySelectorAll('main img, main script').length") == 0
    assert await desk.accessible() == []


async def test_a_refused_delivery_says_what_to_do_and_who_looked(desk: Tab, seed: Seed) -> None:
    """The cause in words, the fix, and that this very look is on record."""
    filled = await fill(seed)
    await desk.open(f"/console/deliveries/{filled.forged}")

    shown = await text(desk)
    assert "signs with a secret that we do not have" in shown
    assert "Refused: its signature was wrong" in shown
    assert re.search(r"Who has looked[^•]*eva\s+read payload from 127\.0\.0\.1", shown)


async def test_an_event_leads_to_the_psp(desk: Tab, seed: Seed) -> None:
    """A proven one to its page there; a forgery nowhere."""
    paid = event("checkout.session.completed", checkout())
    proven = await seed.applied(paid)
    (forged,) = await seed.append(refused(encode(paid)))

    await desk.open(f"/console/deliveries/{proven}")
    link = desk.page.locator("text=See it at the PSP")
    assert await link.get_attribute("href") == f"https://dashboard.stripe.com/test/events/{paid['id']}"
    await desk.open(f"/console/deliveries/{forged}")
    assert await link.count() == 0


async def test_exact_bytes_can_be_taken_away(desk: Tab, seed: Seed) -> None:
    """The link gives the very bytes as a file, which no browser shows."""
    filled = await fill(seed)
    await desk.open(f"/console/deliveries/{filled.hostile}")

    async with desk.page.expect_download() as started:
        await desk.page.click("text=exact bytes")
    saved = await (await started.value).path()

    with open(saved, "rb") as file:  # noqa: ASYNC230 - a test may wait for its own disk
        assert await seed.value("SELECT body FROM webhook_log WHERE id = $1", filled.hostile) == file.read()


async def test_resolve_with_a_reason(desk: Tab, seed: Seed) -> None:
    """Without a reason the form does not leave; with one the event is off the list."""
    filled = await fill(seed)
    await desk.open(f"/console/deliveries/{filled.quarantined}")
    await desk.page.click("button:has-text('Resolve')")
    assert "done=" not in desk.page.url

    await desk.page.fill("#reason", "test checkout of our own")
    await desk.page.press("#reason", "Enter")
    await desk.page.wait_for_selector("text=Resolved. It is off the list")

    assert "test checkout of our own" in await text(desk)
    resolved = "SELECT actor FROM event_note WHERE what = 'resolved'"
    assert await seed.value(resolved) == "eva"


async def test_quarantine_by_reason(desk: Tab, seed: Seed) -> None:
    """A dry run counts, a run asks first and replays, a reason narrows the list."""
    await fill(seed)
    await desk.open("/console/quarantine")
    await desk.page.click("a:has-text('amount mismatch')")
    await desk.page.wait_for_url("**reason=amount_mismatch")
    assert "metadata.credits" not in await text(desk)

    await desk.page.click("[aria-label='Dry run of a replay of all: bad metadata']")
    await desk.page.wait_for_selector("text=Dry run: 1 event would be replayed")
    assert await seed.value("SELECT count(*) FROM webhook_log WHERE origin = 'operator'") == 0

    await desk.page.click("[aria-label='Replay all: bad metadata']")
    await desk.page.wait_for_selector("text=1 event replayed")
    assert await seed.value("SELECT count(*) FROM webhook_log WHERE origin = 'operator'") == 1


async def test_alerts_are_closed_with_a_reason(desk: Tab, seed: Seed) -> None:
    """The reason stands beside the alert for ever."""
    await fill(seed)
    await desk.open("/console/quarantine")

    row = desk.page.locator("tr", has_text="ambiguous order")
    await row.get_by_role("textbox").fill("looked at the PSP")
    await row.get_by_role("button").click()
    await desk.page.wait_for_url("**/console/quarantine#alerts")

    assert "ambiguous order" not in await text(desk)
    closed = await seed.rows("SELECT resolved_by, resolution FROM alert WHERE name = 'ambiguous_order'")
    assert closed == [{"resolved_by": "eva", "resolution": "looked at the PSP"}]


async def test_a_dry_run_is_asked_for_and_watched(desk: Tab, seed: Seed) -> None:
    """The page of a run that waits follows it by itself to its end."""
    await desk.open("/console/reconcile")
    await desk.page.click("button:has-text('Dry run')")
    await desk.page.wait_for_selector("text=The reconciler picks it up")
    assert await seed.value("SELECT dry_run FROM reconcile_run") is True

    await seed.connection.execute(
        "UPDATE reconcile_run SET status = 'succeeded', picked_up_at = now(), finished_at = now()"
    )
    await desk.page.wait_for_selector("text=None: the PSP and we agree")
    await desk.page.click("nav >> text=Reconcile")
    assert "succeeded" in await text(desk)


@pytest.mark.complains(REFUSED)
async def test_a_wrong_object_is_told(desk: Tab) -> None:
    """An object that is none is a page with a sentence, and asks for nothing."""
    await desk.open("/console/reconcile")
    await desk.page.fill("#object", "cs_1")
    await desk.page.click("button.primary:has-text('Run')")

    await desk.page.wait_for_selector("text=An object is written kind:id")


async def test_times_are_the_viewers_and_utc_is_near(desk: Tab, seed: Seed) -> None:
    """What is shown is the time in the browser's zone; its title is the exact UTC."""
    log_id = await seed.applied(event("checkout.session.completed", checkout()))
    at: datetime = await seed.value("SELECT received_at FROM webhook_log WHERE id = $1", log_id)
    await desk.open("/console/deliveries")

    shown = desk.page.locator("tbody time").first
    hour = (at.hour + 9) % 24
    assert re.search(rf"\b{hour:02d}:{at.minute:02d}", await shown.inner_text())
    assert (await shown.get_attribute("title") or "").startswith(f"{at:%Y-%m-%d %H:%M:%S}")
    assert "Asia/Tokyo" in await text(desk)


async def test_charts_draw_what_is_there_and_follow(desk: Tab, seed: Seed) -> None:
    """Each chart has its canvas and the same numbers as a table; a new delivery appears without a reload."""
    await fill(seed)
    await desk.open("/console")
    await desk.page.wait_for_selector("[data-chart=completeness] canvas")
    assert await desk.page.locator(".chart canvas").count() == 5
    widths = await desk.page.locator(".chart .uplot").evaluate_all("all => all.map(each => each.clientWidth)")
    assert min(widths) > 400, "a chart is as wide as its card"
    before = await desk.page.inner_text("[data-chart=throughput] .now")

    await seed.event(event("checkout.session.completed", checkout()))
    await desk.page.wait_for_function(
        "before => document.querySelector('[data-chart=throughput] .now').textContent !== before",
        arg=before,
        timeout=20_000,
    )
    await desk.page.wait_for_selector("#figures :text('due now')")
    keys = desk.page.locator("[data-chart=verdicts] .key")
    colours = await keys.evaluate_all(
        "all => all.map(each => getComputedStyle(each, '::before').backgroundColor)"
    )
    assert len(set(colours)) == await keys.count() >= 3, "each line of a chart is told apart"
    await desk.page.click("text=Verdicts as a table")
    assert "bad_sig" in await desk.page.inner_text("[data-chart=verdicts] table")
    await desk.page.click("nav[aria-label='How far the charts look back'] >> text=6h")
    await desk.page.wait_for_selector("text=The last 6h")


async def test_pages_go_on_while_rows_arrive(desk: Tab, seed: Seed) -> None:
    """The second page goes on where the first ended, although newer rows have come meanwhile."""
    ids = [str(await seed.event(event("a.b", {"id": f"x_{n}"}))) for n in range(55)]
    await desk.open("/console/deliveries")
    first = await desk.page.locator("tbody td a").evaluate_all("all => all.map(a => a.pathname)")
    for n in range(3):
        await seed.event(event("a.b", {"id": f"new_{n}"}))

    await desk.page.click("text=Next page")
    await desk.page.wait_for_url("**cursor=*")
    rest = await desk.page.locator("tbody td a").evaluate_all("all => all.map(a => a.pathname)")

    assert [path.rpartition("/")[2] for path in (*first, *rest)] == ids[::-1]


async def test_a_dashboard_sees_and_cannot_command(board: Tab, seed: Seed) -> None:
    """No form of a command is on any page; each says which role it takes."""
    filled = await fill(seed)
    for path in (f"/console/deliveries/{filled.quarantined}", "/console/quarantine", "/console/reconcile"):
        await board.open(path)
        assert await board.page.locator("main form[method=post]").count() == 0
        assert await board.accessible() == []


async def test_pages_work_without_scripts(house: House, seed: Seed, desk: Tab) -> None:
    """With scripts switched off a command is a plain form and a time is UTC."""
    body = event("checkout.session.completed", checkout(credits="many"))
    log_id = await seed.applied(body)
    browser = desk.page.context.browser
    assert browser is not None
    context = await browser.new_context(java_script_enabled=False)
    (kept,) = await desk.page.context.cookies()
    await context.add_cookies([{"name": kept["name"], "value": kept["value"], "url": desk.origin}])
    page = await context.new_page()

    await page.goto(f"{desk.origin}/console/deliveries/{log_id}")
    assert "UTC" in await page.inner_text("main time >> nth=0")
    await page.fill("#reason", "no scripts here")
    await page.click("button:has-text('Resolve')")
    await page.wait_for_selector("text=Resolved.")
    await context.close()

    assert await seed.value(STATE, body["id"]) == "ignored"


async def test_log_out(desk: Tab) -> None:
    """After it every page is the door, and the door leads back to where one wanted to go."""
    await desk.page.click("text=Log out")
    await desk.page.wait_for_url("**/console/login")
    await desk.open("/console/balances?overdrawn=1")
    assert desk.page.url.endswith("/console/login?next=%2Fconsole%2Fbalances%3Foverdrawn%3D1")

    await desk.page.fill("#token", "ops-token-for-tests-0001")
    await desk.page.press("#token", "Enter")
    await desk.page.wait_for_url("**/console/balances?overdrawn=1")


@pytest.mark.complains(REFUSED)
async def test_a_wrong_token_is_told(tab: Tab) -> None:
    """The door says no in words that a screen reader hears."""
    await tab.open("/console/login")
    await tab.page.fill("#token", "wrong")
    await tab.page.press("#token", "Enter")

    assert "not a token" in await tab.page.inner_text("[role=alert]")
    assert await tab.accessible() == []
