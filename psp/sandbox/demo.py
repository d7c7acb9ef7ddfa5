"""The demo's customer, `python -m psp.sandbox.demo --events N --seed S`; must never touch anything but HTTP.

Buys, refunds and disputes at the sandbox while that delivers its webhooks the way a bad day does, waits
until both sides are done, and compares their books. Exit status 0 only if they agree and nothing is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import os
import secrets
import sys
import time
from collections.abc import Mapping
from typing import Any

from runtime import limits
from runtime.settings import EXIT_BAD_SETTINGS
from runtime.values import Secret

from .demo_books import PAGE_OF_KIND, Evidence, Verdict, books_lines
from .demo_customers import Customers, account_ids
from .demo_http import DemoError, Http, Place
from .demo_plan import Plan, plan, weights_with
from .demo_progress import Progress
from .demo_story import Tell
from .demo_summary import judge, table

events_per_s_min = 100
"""Pace of a small run: 2,000 events take twenty seconds, which two cores keep up with."""
selling_s_max = 60
"""A larger run sells faster rather than longer than this."""
settle_slice_s = 2.0
"""One wait on the sandbox's side: short enough that the bar keeps moving."""
check_pause_s = 1.0
"""Between two looks at the audit log."""
reconcile_every_s = 10.0
"""How often the reconciler is asked again while something is missing."""
patience_s = 15.0
"""How long faults may stand after every event is handled, before they are believed."""
deadline_base_s = 120
deadline_events_per_s = 20
"""The whole run may take the base and a second more for so many events."""


def place_from(environment: Mapping[str, str]) -> Place:
    """Where everything is; raises DemoError with what is not set."""
    key = environment.get("STRIPE_SECRET_KEY") or environment.get("STRIPE_SK", "")
    entries = (entry.strip().split(":", 2) for entry in environment.get("OPS_TOKENS", "").split(","))
    token = next((entry[2] for entry in entries if len(entry) == 3 and entry[1] == "ops"), "")
    if not key:
        raise DemoError("STRIPE_SECRET_KEY must be set: the demo buys with it")
    if not token:
        raise DemoError("OPS_TOKENS must hold a token of role ops: the demo reads the audit log with it")
    sandbox_url, api_url = _url(environment, "SANDBOX", "8082"), _url(environment, "API", "8081")
    switched = environment.get("HYPERSWITCH_API_KEY", "").strip()
    return Place(sandbox_url, api_url, Secret(key), Secret(token), Secret(switched) if switched else None)


def _url(environment: Mapping[str, str], name: str, default_port: str) -> str:
    """Where a listening process is reached from this machine; a wildcard address is reached over loopback."""
    host = environment.get(f"{name}_HOST") or "127.0.0.1"
    with contextlib.suppress(ValueError):  # a name is reached as it is
        if (address := ipaddress.ip_address(host)).is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
    port = environment.get(f"{name}_PORT", default_port)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def sell(story: Plan, customers: Customers, progress: Progress) -> None:
    """Takes all steps in the plan's order, no faster than the pace."""
    pace = max(events_per_s_min, story.events / selling_s_max)
    began, made = time.monotonic(), 0
    for number, (which, step) in enumerate(story.steps):
        await customers.take(story.stories[which], number, step)
        made += step.events
        progress.show("selling", made, story.events, f"{pace:.0f} events/s")
        ahead_s = began + made / pace - time.monotonic()
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)


async def delivered(http: Http, before: Mapping[str, Any], progress: Progress) -> None:
    """Waits until the sandbox has nothing scheduled."""
    while True:
        answer = await http.control("settle", {"timeout_s": settle_slice_s})
        stats = since(before, answer["stats"])
        sent, left = stats["deliveries_sent"], stats["scheduled"]
        progress.show("delivering", sent, sent + left, f"{stats['retries']} retries")
        if answer["settled"]:
            return


async def handled(http: Http, run: Run, progress: Progress) -> tuple[Evidence, Verdict]:
    """Looks until every event is handled and the books agree, or the faults have stood for a while."""
    asked_at, calm_since = -reconcile_every_s, None
    while True:
        evidence = await run.collect(http)
        verdict = judge(evidence)
        made = len(evidence.journal)
        progress.show(
            "applying", made - min(made, verdict.waiting), made, f"{verdict.missing} to be repaired"
        )
        now = time.monotonic()
        if verdict.good:
            return evidence, verdict
        if verdict.waiting and now - asked_at >= reconcile_every_s:
            await http.reconcile()
            asked_at = now
        if verdict.waiting:
            calm_since = None
        elif calm_since is None:
            calm_since = now
        elif now - calm_since > run.patience_s:
            return evidence, verdict
        run.last = evidence, verdict
        await asyncio.sleep(check_pause_s)


def since(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The counters of this run: what an earlier run of the same sandbox left is taken off."""
    found: dict[str, Any] = {}
    for name, value in after.items():
        if isinstance(value, dict):
            found[name] = {key: count - before[name].get(key, 0) for key, count in value.items()}
        else:
            found[name] = value if name == "scheduled" else value - before[name]
    return found


class Run:
    """What this run began with, and what it has seen last."""

    def __init__(
        self, seed: int, events: int, patience_s: float, weights: Mapping[Tell, int] | None = None
    ) -> None:
        self.patience_s = patience_s
        self.plan = plan(seed, events, weights)
        self.seed = seed
        self.last_row_before: dict[str, Any] | None = None
        self.before: dict[str, Any] = {}
        self.from_seq = 0
        self.customers: Customers | None = None
        self.last: tuple[Evidence, Verdict] | None = None

    async def begin(self, http: Http) -> Customers:
        """Turns the bad day on and remembers where the sandbox stood."""
        self.last_row_before = await http.newest_delivery()
        self.before = await http.look("stats")
        chaos = await http.control("chaos", {"seed": self.seed, "preset": "bad_day"})
        self.from_seq = int(chaos["from_seq"])
        accounts = account_ids(await http.stripe_account(), self.seed, self.plan.accounts)
        self.customers = Customers(http, accounts, secrets.token_hex(6))
        return self.customers

    async def collect(self, http: Http) -> Evidence:
        """Both sides' words. The journal is read first: what it calls acknowledged must be in the log."""
        assert self.customers is not None, "the run has begun"
        journal = await http.journal(self.from_seq)
        deliveries = await http.deliveries(self.last_row_before)
        stats = since(self.before, await http.look("stats"))
        books = await http.books()
        balances = await http.balances(list(books["accounts"]))
        statuses = {kind: await http.statuses(kind, books[page]) for kind, page in PAGE_OF_KIND.items()}
        return Evidence(
            journal,
            stats,
            deliveries,
            books,
            balances,
            self.customers.unbelievable_sessions,
            statuses,
            await http.units(books["sellers"]),
        )


async def demo(place: Place, run: Run, deadline_s: float) -> int:
    """Runs it all; returns the exit status."""
    progress = Progress(sys.stderr)
    async with Http(place) as http:
        try:
            async with asyncio.timeout(deadline_s):
                await http.healthy(time.monotonic() + deadline_s / 2)
                customers = await run.begin(http)
                await sell(run.plan, customers, progress)
                await delivered(http, run.before, progress)
                evidence, verdict = await handled(http, run, progress)
        except TimeoutError:
            progress.end()
            sys.stdout.write(f"demo: not done after {deadline_s:.0f} s, giving up.\n")
            if run.last is not None:
                report(*run.last, run.seed)
            return 1
        finally:
            progress.end()
        status = await http.status()
    report(evidence, verdict, run.seed)
    sys.stdout.write(invariants_line(status))
    return 0 if verdict.good else 1


def report(evidence: Evidence, verdict: Verdict, seed: int) -> None:
    """Prints the summary."""
    provoked = len(evidence.unbelievable_sessions)
    sys.stdout.write(f"\nA bad day at the PSP, seed {seed}\n\n{table(verdict.rows)}\n")
    sys.stdout.write(
        f"  {provoked} sales were unbelievable on purpose: quarantined, and nobody is credited.\n"
    )
    sys.stdout.write("  Forged deliveries beyond 60 a minute share one row of the log.\n\nBooks\n\n")
    sys.stdout.write(books_lines(evidence))
    for fault in verdict.faults:
        sys.stdout.write(f"\nFAULT: {fault}")
    sys.stdout.write("\nThe books agree; nothing is lost.\n" if verdict.good else "\n")
    sys.stdout.flush()


def invariants_line(status: Mapping[str, Any]) -> str:
    """What Sluice's own checks say, in one line."""
    found = status.get("invariants")
    if not isinstance(found, dict):
        return ""
    broken = {name: rows for name, rows in found.items() if rows}
    said = ", ".join(f"{name} {rows}" for name, rows in sorted(broken.items())) if broken else "all hold"
    return f"Sluice's invariants ({len(found)}): {said}\n"


def main() -> int:
    """Reads the command line; exit status 0, 1, or 78 for a place that is not set."""
    parser = argparse.ArgumentParser(prog="python -m psp.sandbox.demo", description="A bad day at the PSP.")
    parser.add_argument("--events", type=int, default=2_000, help="events to cause, about (default 2000)")
    parser.add_argument("--seed", type=int, default=1, help="decides everything random (default 1)")
    parser.add_argument("--deadline", type=float, default=None, help="seconds until the run is given up")
    parser.add_argument("--patience", type=float, default=patience_s, help="seconds faults may stand")
    arguments = parser.parse_args()
    if not 1 <= arguments.events <= limits.demo_events_max:
        parser.error(f"--events must be between 1 and {limits.demo_events_max}")
    deadline_s = arguments.deadline or deadline_base_s + arguments.events / deadline_events_per_s
    try:
        place = place_from(os.environ)
    except DemoError as error:
        sys.stderr.write(f"demo: {error}\n")
        return EXIT_BAD_SETTINGS
    try:
        weights = weights_with(hyperswitch=place.hyperswitch_key is not None)
        run = Run(arguments.seed, arguments.events, arguments.patience, weights)
        return asyncio.run(demo(place, run, deadline_s))
    except DemoError as error:
        sys.stdout.write(f"\ndemo: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
