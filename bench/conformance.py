"""Bench `conformance`: the scripted bad day against any receiver, and a score card of answers and final
states.

To score another receiver, write an Adapter for it: where it listens, how its processes are killed and
started, when
it has settled, and what it says of a subscription. Fairness: a peer's own settings, and only events that
it supports.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp

from bench import bad_day, bodies, inbox
from bench.bad_day import Delivery, Scenario
from bench.figures import Result, Table
from bench.installed_peers import NotInstalledError
from bench.measured import Plan
from bench.peers_beside import Receiver, start_djstripe, start_sluice, start_supabase
from bench.rig import Rig, RigError, Running
from db.queries import Queries
from runtime import clock

VERDICTS = Queries(str(Path(__file__).parent / "sql" / "conformance.sql"))
_ANSWER_S = 10.0


class Adapter(Protocol):
    """What the script needs of a receiver."""

    name: str

    @property
    def url(self) -> str:
        """Where deliveries are posted."""

    async def told(self, truth: dict[str, object]) -> None:
        """The PSP's own view has changed to this object: for receivers that read it back."""

    async def kill_and_start(self) -> None:
        """SIGKILL for every process of the receiver at once, then a normal start."""

    async def settled(self) -> None:
        """Return when whatever was acknowledged has had its effect."""

    async def status_of(self, subscription_id: str) -> str | None:
        """What the receiver says of this subscription; None: it knows none."""


@dataclass
class OnRig:
    """An adapter over processes of a Rig and one query."""

    name: str
    rig: Rig
    dsn: str
    running: list[Running]
    path: str
    query: str
    settle: Callable[[], Awaitable[None]] | None = None
    psp_port: int | None = None

    @property
    def url(self) -> str:
        """Where deliveries go."""
        return f"http://127.0.0.1:{self.running[0].port}{self.path}"

    async def told(self, truth: dict[str, object]) -> None:
        """Only a receiver that asks its PSP has one."""
        if self.psp_port is not None:
            async with (
                aiohttp.ClientSession() as client,
                client.post(f"http://127.0.0.1:{self.psp_port}/truth", json=truth) as response,
            ):
                response.raise_for_status()

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


@dataclass
class Card:
    """What a receiver scored: by scenario, None for right and a text for what was wrong."""

    name: str
    findings: dict[str, str | None] = field(default_factory=dict)

    @property
    def score(self) -> str:
        """Right ones of all."""
        right = sum(finding is None for finding in self.findings.values())
        return f"{right}/{len(self.findings)}"


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
    scenarios = list(cards[0].findings)
    rows = [(what, *(card.findings[what] or "right" for card in cards)) for what in scenarios]
    rows.append(("score", *(card.score for card in cards)))
    return Result(
        "conformance",
        {},
        {card.name: {"score": card.score, "findings": card.findings} for card in cards},
        [Table("conformance: one bad day", ("scenario", *(card.name for card in cards)), rows)],
        missing,
    )


async def play(adapter: Adapter, scenarios: list[Scenario]) -> Card:
    """Deliver the whole day to a receiver and judge it."""
    card = Card(adapter.name)
    for scenario in scenarios:
        wrong = []
        number = scenario.subscription.removeprefix("sub_day")
        for truth in (bad_day.subscription(number, scenario.status or ""), *scenario.others):
            await adapter.told(truth)
        for delivery in scenario.deliveries:
            answer = await _deliver(adapter.url, delivery)
            if not _is_right(answer, delivery.answer):
                wrong.append(f"answered {answer}, not {delivery.answer}")
            if delivery.kill_after:
                await adapter.kill_and_start()
        await adapter.settled()
        status = await adapter.status_of(scenario.subscription)
        if status != scenario.status:
            wrong.append(f"is {status}, not {scenario.status}")
        card.findings[scenario.name] = "; ".join(wrong) or None
    return card


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

    return OnRig(
        "sluice", rig, receiver.dsn, [receiver.running, worker], receiver.path, VERDICTS.of_sluice, settle
    )


async def _supabase(rig: Rig) -> OnRig:
    return _synchronous(rig, await start_supabase(rig), VERDICTS.of_supabase)


async def _djstripe(rig: Rig) -> OnRig:
    return _synchronous(rig, await start_djstripe(rig), VERDICTS.of_djstripe)


def _synchronous(rig: Rig, receiver: Receiver, query: str) -> OnRig:
    return OnRig(
        receiver.name, rig, receiver.dsn, [receiver.running], receiver.path, query, psp_port=receiver.psp_port
    )
