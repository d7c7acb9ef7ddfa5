"""The console's doors without a browser: who gets in, what a command must carry, what every page forbids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest

from api import filters
from api.auth import Caller, Role
from api.console import sessions, wording
from api.console.shown import figures, moment, parted, row, shares, visible
from api.routes import ROUTES, Route
from tests.api.house import DASHBOARD_TOKEN, OPS, OPS_TOKEN, Answer, House
from tests.api.seed import Seed
from tests.support.stripe_events import checkout, event

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAGES = [route for route in ROUTES if route.session and route.method == "GET"]
COMMANDS = [route for route in ROUTES if route.session and route.method == "POST"]


def cookie(answer: Answer, name: str) -> str:
    """The value of a cookie that this answer sets."""
    return SimpleCookie(answer.headers["Set-Cookie"])[name].value


def csrf(answer: Answer) -> str:
    """The CSRF token in this page's first form."""
    found = re.search(r'name="csrf" value="([^"]+)"', answer.body.decode())
    assert found is not None
    return found[1]


async def knock(house: House, token: str, following: str = "/console", **changes: str) -> Answer:
    """Fill in the login form and send it."""
    form = await house.get("/console/login")
    fields = {"csrf": csrf(form), "token": token, "next": following, **changes}
    headers = {**FORM, "Cookie": f"sluice_login={cookie(form, 'sluice_login')}"}
    return await house.ask("POST", "/console/login", headers, urlencode(fields).encode())


async def session(house: House, token: str = OPS_TOKEN) -> dict[str, str]:
    """Headers of somebody who is logged in."""
    return {"Cookie": f"sluice_session={cookie(await knock(house, token), 'sluice_session')}"}


async def command(house: House, path: str, who: Mapping[str, str], **fields: str) -> Answer:
    """Send a form as its page does."""
    token = csrf(await house.get("/console/explain", who))
    body = urlencode({"csrf": token, **fields}).encode()
    return await house.ask("POST", path, {**FORM, **who}, body)


def path_of(route: Route) -> str:
    """A path of this route."""
    return route.path.replace("{kind}", "account").replace("{id}", "1").replace("{run_id}", "1")


async def test_a_token_opens_a_session(house: House, seed: Seed) -> None:
    """A good token leads to the page that was asked for, with a cookie that no script and no site can use."""
    answer = await knock(house, OPS_TOKEN, "/console/deliveries?state=quarantined")

    assert (answer.status, answer.headers["Location"]) == (303, "/console/deliveries?state=quarantined")
    set_cookie = answer.headers["Set-Cookie"]
    assert all(part in set_cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/console", "Max-Age="))
    assert OPS_TOKEN not in set_cookie
    logged = await seed.rows("SELECT actor, action, object FROM access_log")
    assert logged == [{"actor": "eva", "action": "login", "object": "console"}]


async def test_the_cookie_is_secure_behind_https(house: House) -> None:
    """A proxy that ends TLS says so, and the cookie then travels over TLS only."""
    form = await house.get("/console/login", {"X-Forwarded-Proto": "https"})

    assert "Secure" in form.headers["Set-Cookie"]


@pytest.mark.parametrize("token", ["", "wrong", OPS_TOKEN + "x", "x" * 5_000, OPS_TOKEN[:-1]])
async def test_a_wrong_token_opens_nothing(house: House, token: str) -> None:
    """No session, no hint how near it was, and the token is not echoed."""
    answer = await knock(house, token)

    assert answer.status == 403
    assert "sluice_session" not in answer.headers["Set-Cookie"]
    assert token == "" or token not in answer.body.decode()


async def test_a_wrong_token_does_not_forget_the_way(house: House) -> None:
    """The form that is shown again still leads to the page that was asked for."""
    answer = await knock(house, "wrong", "/console/balances")

    assert b'name="next" value="/console/balances"' in answer.body


async def test_guessing_is_slow(house: House) -> None:
    """After some wrong tokens from one address the door stays closed for a while, for the right one too."""
    answers = [(await knock(house, f"guess {n}")).status for n in range(10)]
    late = await knock(house, OPS_TOKEN)

    assert (set(answers), late.status) == ({403}, 429)


async def test_login_needs_its_own_form(house: House) -> None:
    """A form of another site cannot log anybody in: it lacks the cookie's token."""
    assert (await knock(house, OPS_TOKEN, csrf="other")).status == 403
    body = urlencode({"token": OPS_TOKEN, "csrf": ""}).encode()
    assert (await house.ask("POST", "/console/login", FORM, body)).status == 403


@pytest.mark.parametrize(
    "following", ["//evil.example", "https://evil.example", "/audit/x", "/consoles", "javascript:x", ""]
)
async def test_the_door_leads_to_the_console_only(house: House, following: str) -> None:
    """Where a login leads is never somebody else's choice."""
    assert (await knock(house, OPS_TOKEN, following)).headers["Location"] == "/console"


@pytest.mark.parametrize("route", [*PAGES, *COMMANDS], ids=lambda route: f"{route.method} {route.path}")
async def test_nobody_gets_in_without_a_session(house: House, route: Route) -> None:
    """Every page and command sends a stranger to the door, an ops token in a header included."""
    for headers in ({}, {"Cookie": "sluice_session=guess"}, OPS):
        answer = await house.ask(route.method, path_of(route), headers)

        assert (answer.status, answer.headers["Location"].partition("?")[0]) == (303, "/console/login")


@pytest.mark.parametrize("route", COMMANDS, ids=lambda route: route.path)
async def test_a_command_needs_its_token_and_its_site(house: House, route: Route) -> None:
    """With a good session but no CSRF token, a wrong one, or from another site: 403 and nothing happens."""
    who = await session(house)
    token = csrf(await house.get("/console/explain", who))
    path = path_of(route)
    good = urlencode({"csrf": token}).encode()

    answers = [
        await house.ask("POST", path, {**FORM, **who}),
        await house.ask("POST", path, {**FORM, **who}, b"csrf=wrong"),
        await house.ask("POST", path, {**who, "Content-Type": "text/plain"}, good),
        await house.ask("POST", path, {**FORM, **who, "Sec-Fetch-Site": "cross-site"}, good),
        await house.ask("POST", path, {**FORM, **who, "Sec-Fetch-Site": "same-site"}, good),
        await house.ask("POST", path, {**FORM, **who, "Origin": "https://elsewhere.example"}, good),
    ]

    assert [answer.status for answer in answers] == [403] * 6
    assert (await house.get("/console/explain", who)).status == 200


@pytest.mark.parametrize(
    "said",
    [
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "https://console.example", "X-Forwarded-Host": "console.example"},
        {"Origin": "https://console.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_a_page_of_ours_is_known_as_such(house: House, said: dict[str, str]) -> None:
    """Our forms tell no origin; scripts do, and behind a proxy it is not the host that we see."""
    who = await session(house)
    good = urlencode({"csrf": csrf(await house.get("/console/explain", who)), "dry_run": "1"}).encode()
    headers = {name: value.format(port=house.port) for name, value in said.items()}

    assert (await house.ask("POST", "/console/reconcile", {**FORM, **who, **headers}, good)).status == 303


async def test_dashboard_reads_and_commands_nothing(house: House, seed: Seed) -> None:
    """A dashboard's session sees every page, no form of a command, and gets 403 when it sends one."""
    log_id = await seed.applied(event("checkout.session.completed", checkout(credits="many")))
    who = await session(house, DASHBOARD_TOKEN)

    page = await house.get(f"/console/deliveries/{log_id}", who)
    answers = [
        await command(house, f"/console/deliveries/{log_id}/resolve", who, reason="x"),
        await command(house, f"/console/deliveries/{log_id}/replay", who),
        await command(house, "/console/reconcile", who, dry_run="1"),
        await command(house, "/console/quarantine/replay", who, reason="bad_metadata"),
    ]

    assert (page.status, b"/replay" in page.body, b"/resolve" in page.body) == (200, False, False)
    assert [answer.status for answer in answers] == [403] * 4
    assert await seed.value("SELECT count(*) FROM webhook_log") == 1
    assert await seed.value("SELECT count(*) FROM reconcile_run") == 0


async def test_logging_out_ends_the_session(house: House) -> None:
    """After it the same cookie is nobody's."""
    who = await session(house)

    answer = await command(house, "/console/logout", who)

    assert answer.headers["Location"] == "/console/login"
    assert (await house.get("/console", who)).status == 303


async def test_reading_a_payload_in_the_console_is_on_record(house: House, seed: Seed) -> None:
    """As over the API: page and bytes leave a row with the token's name."""
    log_id = await seed.applied(event("checkout.session.completed", checkout()))
    who = await session(house)

    for path in (f"/console/deliveries/{log_id}", f"/console/deliveries/{log_id}/raw"):
        assert (await house.get(path, who)).status == 200

    logged = await seed.rows("SELECT actor, action FROM access_log WHERE action <> 'login' ORDER BY id")
    assert logged == [{"actor": "eva", "action": "read_payload"}, {"actor": "eva", "action": "read_raw"}]


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
async def test_every_page_forbids_what_it_does_not_need(house: House, route: Route) -> None:
    """A strict policy, no sniffing, no cache, no referrer; and not one inline script, style or handler."""
    answer = await house.get(path_of(route), await session(house))

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    if answer.content_type == "text/html":
        text = answer.body.decode()
        assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?://", text) == []


async def test_a_fault_is_a_page(house: House) -> None:
    """Whoever looks at the console gets words, not JSON; an unknown parameter is named."""
    who = await session(house)

    missing = await house.get("/console/deliveries/7", who)
    odd = await house.get("/console?colour=red", who)

    assert (missing.status, missing.content_type, b"No such delivery" in missing.body) == (
        404,
        "text/html",
        True,
    )
    assert (odd.status, b"colour" in odd.body) == (400, True)


async def test_a_filter_form_becomes_a_url_to_share(house: House) -> None:
    """The empty fields of a form are left out of the address."""
    who = await session(house)

    answer = await house.get("/console/deliveries?type=&state=quarantined&ip=", who)

    assert (answer.status, answer.headers["Location"]) == (303, "/console/deliveries?state=quarantined")


async def test_any_account_id_makes_a_link_that_works(house: House, seed: Seed) -> None:
    """Slashes, question marks and percent signs in an id are part of the id, on every page of its account."""
    account = "a/b?c=d%2f#e&f é"
    for _ in range(51):
        await seed.grant(account, "usd", 5)
    who = await session(house)

    listed = await house.get("/console/balances", who)
    (path,) = set(re.findall(r'href="(/console/balances/a%2F[^"]+)"', listed.body.decode()))
    first = await house.get(path, who)
    (following,) = re.findall(r'href="([^"]+)" rel="next"', first.body.decode())
    second = await house.get(following, who)
    explained = await house.get(path.replace("/balances/", "/explain/account/"), who)

    assert [answer.status for answer in (first, second, explained)] == [200, 200, 200]
    assert second.body.count(b"+0.05 USD") == 1


async def test_files_are_ours_and_may_be_kept(house: House) -> None:
    """Scripts and styles come from here, for ever under their version; nothing else is served."""
    page = await house.get("/console/login")
    files = re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page.body.decode())

    assert len(files) >= 4
    for file in files:
        answer = await house.get(file)
        assert (answer.status, "immutable" in answer.headers["Cache-Control"]) == (200, True)
    for path in (
        "/console/static/..%2fsessions.py",
        "/console/static/none.js",
        "/console/static/htmx.LICENSE",
    ):
        assert (await house.get(path)).status == 404


def test_sessions_end_by_age_and_number() -> None:
    """A session is over after its time, and the oldest makes room for one too many."""
    kept = sessions.Sessions()
    caller = Caller(Role.OPS, "eva")
    first = kept.open(caller, 0.0)
    assert kept.find(first, sessions.lifetime_s - 1) is not None
    assert kept.find(first, sessions.lifetime_s) is None

    oldest, *_, newest = [kept.open(caller, 0.0) for _ in range(sessions.sessions_max + 1)]

    assert kept.find(oldest, 1.0) is None
    assert kept.find(newest, 1.0) is not None


def test_counts_of_a_run_are_words() -> None:
    """Seconds with their unit, what is missing by name; a share that is not whole never looks whole."""
    assert shares(0.99999) == "99.99 %"
    assert shares({"a.b": 1.0, "c_d.e": 0.5, "f": 1.0}) == "c_d.e 50 %; 2 types whole"
    assert figures({"silent_s": 66, "skew_s": None, "stuck_orders": 3, "keys": {"0a": "today"}}) == (
        "silent 1.1 min; stuck orders 3; keys: 0a today"
    )
    assert figures({}) == "nothing"


def test_our_own_deliveries_are_not_said_to_be_signed() -> None:
    """What the reconciler or a person appended has an actor instead of a signature."""
    found = {"verdict": "ok", "state": "applied", "conflict": False, "endpoint": "stripe"}
    ours = wording.summary({**found, "origin": "reconciler", "actor": "reconciler:7"})
    theirs = wording.summary({**found, "origin": "psp", "actor": None})

    assert ours == "The reconciler found it at the PSP; it was applied."
    assert theirs == "The PSP sent it; the signature was good; it was applied."
    assert wording.actor("reconciler:7/8") == ("reconcile run", "/console/reconcile/7%2F8")
    assert wording.actor("eva") == ("eva", None)


def test_every_refusal_says_what_to_do() -> None:
    """And in words what was found."""
    refusals = set(filters.VERDICTS) - {"ok"}
    assert wording.REFUSALS.keys() == refusals
    assert wording.VERDICTS.keys() == {"ok", *refusals}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a\x1b[31mb\x07", "a\\u001b[31mb\\u0007"),
        ("x\u202eexe.jpg\u2066", "x\\u202eexe.jpg\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tag\U000e0041", "tag\\u{e0041}"),
        ("line\n\ttab é 漢 🙂", "line\n\ttab é 漢 🙂"),
        ("lone\ud800", "lone\\ud800"),
    ],
)
def test_what_would_act_is_shown(given: str, expected: str) -> None:
    """Characters that steer a terminal or the direction of writing are shown as codes; others stay."""
    assert expected == visible(given)


def test_a_row_is_shown_in_units_and_times() -> None:
    """Minor units in the currency of the row, a PSP's seconds as times; what is neither stays as it is."""
    state = {
        "status": "lost",
        "amount_minor": 1500,
        "reversed_minor": None,
        "amount": "1.500",
        "currency": "kwd",
        "exponent": 3,
        "status_at": 1_795_000_000,
        "current_period_end": 10**17,
        "created_at": moment(1_795_000_000),
    }

    assert dict(row(state)) == {
        "status": "lost",
        "amount": "1.500 KWD",
        "reversed_minor": None,
        "currency": "kwd",
        "status_at": moment(1_795_000_000),
        "current_period_end": 10**17,
        "created_at": moment(1_795_000_000),
    }


def test_a_name_is_broken_at_its_joints_and_marks_nothing_up() -> None:
    """Behind dots and colons; markup in it stays text."""
    assert parted("stripe:invoice.paid") == "stripe:<wbr>invoice.<wbr>paid"
    assert parted("a..b.") == "a..<wbr>b."
    assert parted("<b>x.y\u202e") == "&lt;b&gt;x.<wbr>y\\u202e"
