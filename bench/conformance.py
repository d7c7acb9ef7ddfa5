"""Bench `conformance`: the scripted bad day against any receiver, and a score card of answers and final
states.

To score another receiver, write an Adapter for it: where it listens, how its processes are killed and
started, when it has settled, and what it says of a subscription. Optional is `backfill`, its own way of
reading one subscription at the PSP: what an adapter cannot do is named on the card with the reason, and
counts neither for the receiver nor against it. Fairness: a peer's own settings and operations, and only
events that it supports. The smallest adapters are those of `tests/bench/test_backfill_race.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp

from bench import bad_day, bodies, inbox
from bench.bad_day import Backfill, Delivery, Scenario
from bench.figures import Result, Table
from bench.installed_peers import NotInstalledError
from bench.measured import Plan
from bench.peers_beside import STRIPE_KEY, Receiver, start_djstripe, start_sluice, start_supabase
from bench.psp import Psp, start_psp
from bench.rig import Rig, RigError, Running
from db.queries import Queries
from runtime import clock

VERDICTS = Queries(str(Path(__file__).parent / "sql" / "conformance.sql"))
_ANSWER_S = 10.0
_NOTE = (
    "Backfills, each by the receiver's own means: `python -m reconciler run --object`; `syncSingleEntity`, "
    "its public Stripe client pointed at the stub PSP, for which the engine has no setting; "
    "`Subscription.sync_from_stripe_data(stripe.Subscription.retrieve(id))`. Race: the PSP is asked, a newer "
    "webhook comes and has its effect, then the PSP's older answer arrives. What is not measurable is not "
    "scored."
)
_WHY_CHARACTERS_MAX = 120
"""As much of a failed command's last words as a cell of the card holds."""


class NotMeasurableError(Exception):
    """A receiver has no way to do what a scenario needs; the text says why, for the card."""


class Adapter(Protocol):
    """What the script needs of a receiver."""

    name: str
    psp: Psp
    """The stub that it asks, if it asks at all: `start_psp`."""

    @property
    def url(self) -> str:
        """Where deliveries are posted."""

    async def kill_and_start(self) -> None:
        """SIGKILL for every process of the receiver at once, then a normal start."""

    async def settled(self) -> None:
        """Return when whatever was acknowledged has had its effect."""

    async def status_of(self, subscription_id: str) -> str | None:
        """What the receiver says of this subscription; None: it knows none."""

    async def backfill(self, subscription_id: str) -> None:
        """Read this subscription at the PSP by the receiver's own means, and return when that is over. It
        asks `psp` for `/v1/subscriptions/{id}`; the answer may take seconds.

        Raises NotMeasurableError: there is no such means, or it cannot be pointed at `psp`.
        """


@dataclass
class OnRig:
    """An adapter over processes of a Rig and one query."""

    name: str
    rig: Rig
    dsn: str
    running: list[Running]
    path: str
    query: str
    psp: Psp
    backfill_command: tuple[str, ...]
    """`{}` stands for the id."""
    settle: Callable[[], Awaitable[None]] | None = None

    @property
    def url(self) -> str:
        """Where deliveries go."""
        return f"http://127.0.0.1:{self.running[0].port}{self.path}"

    async def kill_and_start(self) -> None:
        """All of them die before the first is started."""
        for running in self.running:
            self.rig.kill(running)
        self.running = [await self.rig.start_again(running) for running in self.running]

    async def settled(self) -> None:
        """At once, unless there is a worker."""
        if self.settle is not None:
            await self.settle()

    async def status_of(self, subscription_id: str) -> str | None:
        """Asked of its own tables."""
        async with self.rig.connected(self.dsn) as connection:
            status: str | None = await connection.fetchval(self.query, subscription_id)
        return status

    async def backfill(self, subscription_id: str) -> None:
        """A process of its own, with the receiver's settings and the stub for a PSP."""
        try:
            await self.rig.run_to_end(
                f"backfill-{self.name}",
                *(part.format(subscription_id) for part in self.backfill_command),
                environment={
                    **self.running[0].environment,
                    "STRIPE_SECRET_KEY": STRIPE_KEY,
                    "STRIPE_API_BASE": self.psp.url,
                },
            )
        except RigError as error:
            raise NotMeasurableError(" ".join(str(error).split())[-_WHY_CHARACTERS_MAX:]) from error


@dataclass
class Card:
    """What a receiver scored: by scenario, None for right and a text for what was wrong; apart from them what
    could not be measured, and why.
    """

    name: str
    findings: dict[str, str | None] = field(default_factory=dict)
    not_measurable: dict[str, str] = field(default_factory=dict)

    @property
    def score(self) -> str:
        """Right ones of all that were measured."""
        right = sum(finding is None for finding in self.findings.values())
        return f"{right}/{len(self.findings)}"

    def cell(self, scenario: str) -> str:
        """What the table says of a scenario."""
        if scenario in self.not_measurable:
            return f"not measurable: {self.not_measurable[scenario]}"
        return self.findings[scenario] or "right"

    def json(self) -> dict[str, object]:
        """For the report."""
        return {"score": self.score, "findings": self.findings, "not_measurable": self.not_measurable}


async def run(rig: Rig, plan: Plan) -> Result:
    """The score cards of all receivers that can be had here."""
    missing: dict[str, str] = {}
    starts = {"sluice": _sluice, "supabase": _supabase, "dj-stripe": _djstripe}
    cards = []
    for place, (name, start) in enumerate(starts.items()):
        plan.show("conformance", place, len(starts))
        if plan.smoke and name != "sluice":
            missing[name] = "a smoke run installs nothing"
            continue
        try:
            cards.append(await play(await start(rig), bad_day.script(secrets.token_hex(4))))
        except (NotInstalledError, RigError) as error:
            missing[name] = str(error)
        await rig.end_all()
    plan.show("conformance", 1, 1)
    scenarios = [scenario.name for scenario in bad_day.script("")]
    rows = [(what, *(card.cell(what) for card in cards)) for what in scenarios]
    rows.append(("score", *(card.score for card in cards)))
    columns = ("scenario", *(card.name for card in cards))
    return Result(
        "conformance",
        {},
        {card.name: card.json() for card in cards},
        [Table("conformance: one bad day", columns, rows, (_NOTE,))],
        missing,
    )


async def play(adapter: Adapter, scenarios: list[Scenario]) -> Card:
    """Deliver the whole day to a receiver and judge it."""
    card = Card(adapter.name)
    for scenario in scenarios:
        try:
            wrong = await _played(adapter, scenario)
        except NotMeasurableError as error:
            card.not_measurable[scenario.name] = str(error)
            continue
        status = await adapter.status_of(scenario.subscription)
        if status != scenario.status:
            wrong.append(f"is {status}, not {scenario.status}")
        card.findings[scenario.name] = "; ".join(wrong) or None
    return card


async def _played(adapter: Adapter, scenario: Scenario) -> list[str]:
    """The answers that were wrong. Raises NotMeasurableError."""
    wrong = []
    await adapter.psp.told(_shown(scenario, scenario.at_first or scenario.status or ""))
    for other in scenario.others:
        await adapter.psp.told(other)
    for delivery in scenario.deliveries:
        wrong += await _wrong(adapter, delivery)
        if delivery.kill_after:
            await adapter.kill_and_start()
    await adapter.settled()
    if scenario.backfill is not None:
        wrong += await _backfilled(adapter, scenario, scenario.backfill)
        await adapter.settled()
    return wrong


async def _backfilled(adapter: Adapter, scenario: Scenario, backfill: Backfill) -> list[str]:
    """The receiver has asked; then comes what comes meanwhile, and has its effect; then the PSP answers."""
    wrong, asked_for = [], scenario.subscription
    await adapter.psp.told(_shown(scenario, backfill.known))
    await adapter.psp.hold(asked_for)
    over = asyncio.create_task(adapter.backfill(asked_for))
    asked = asyncio.create_task(adapter.psp.asked(asked_for))
    try:
        await asyncio.wait((over, asked), return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            await over  # raises what it ended with, if it failed
        if not (asked.done() and await asked):
            raise NotMeasurableError("its backfill does not ask the PSP for the subscription")
        if backfill.meanwhile is not None:
            wrong = await _overtaken(adapter, scenario, backfill.meanwhile)
    finally:
        asked.cancel()
        await adapter.psp.go(asked_for)
        await asyncio.wait((over,))
    await over
    return wrong


async def _overtaken(adapter: Adapter, scenario: Scenario, meanwhile: Callable[[int], Delivery]) -> list[str]:
    """Something newer than what the backfill waits for, until it has had its effect."""
    await adapter.psp.told(_shown(scenario, scenario.status or ""))
    wrong = await _wrong(adapter, meanwhile(clock.now_unix_s()))
    await adapter.settled()
    status = await adapter.status_of(scenario.subscription)
    return wrong if status == scenario.status else [*wrong, f"is {status} before the PSP answers"]


def _shown(scenario: Scenario, status: str) -> dict[str, object]:
    return bad_day.subscription(scenario.subscription.removeprefix("sub_day"), status)


async def _wrong(adapter: Adapter, delivery: Delivery) -> list[str]:
    answer = await _deliver(adapter.url, delivery)
    return [] if _is_right(answer, delivery.answer) else [f"answered {answer}, not {delivery.answer}"]


async def _deliver(url: str, delivery: Delivery) -> int | None:
    """The status of the answer; None: there was none."""
    at = clock.now_unix_s() + delivery.skew_s
    headers = {
        "Stripe-Signature": bodies.signature(delivery.body, at, delivery.secret),
        "Content-Type": "application/json; charset=utf-8",
    }
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as client,
            client.post(url, data=delivery.body, headers=headers) as response,
        ):
            return response.status
    except (aiohttp.ClientError, TimeoutError):
        return None


def _is_right(status: int | None, wanted: str) -> bool:
    if status is None:
        return False
    taken, refused = 200 <= status < 300, 400 <= status < 500
    return {bad_day.TAKEN: taken, bad_day.REFUSED: refused, bad_day.NOT_BROKEN: taken or refused}[wanted]


async def _sluice(rig: Rig) -> OnRig:
    receiver = await start_sluice(rig)
    worker = await rig.start_worker(receiver.dsn, sweep_interval="1s")

    async def settle() -> None:
        async with rig.connected(receiver.dsn) as connection:
            await inbox.emptied(connection, 60)

    adapter = await _on_rig(rig, receiver, VERDICTS.of_sluice)
    adapter.running.append(worker)
    adapter.settle = settle
    return adapter


async def _supabase(rig: Rig) -> OnRig:
    return await _on_rig(rig, await start_supabase(rig), VERDICTS.of_supabase)


async def _djstripe(rig: Rig) -> OnRig:
    return await _on_rig(rig, await start_djstripe(rig), VERDICTS.of_djstripe)


async def _on_rig(rig: Rig, receiver: Receiver, query: str) -> OnRig:
    return OnRig(
        name=receiver.name,
        rig=rig,
        dsn=receiver.dsn,
        running=[receiver.running],
        path=receiver.path,
        query=query,
        psp=receiver.psp or await start_psp(rig),
        backfill_command=receiver.backfill,
    )
