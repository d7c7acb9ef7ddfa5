"""The scripted day's backfills against small receivers written to the adapter: that the race tells who loses
it, and that what cannot be measured is not scored.
"""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import test_utils, web

from bench import bad_day
from bench.conformance import Adapter, NotMeasurableError, play
from bench.psp import Psp
from tests.support.ports import free_port
from tests.support.processes import Processes

BACKFILLS = {"backfill of what was missed": "right", "backfill race": "right"}


class LastWriteWins:
    """Keeps the status that it heard of last, from a webhook or from the PSP."""

    name = "last write wins"

    def __init__(self, psp: Psp) -> None:
        self.psp = psp
        self.statuses: dict[str, str] = {}
        app = web.Application()
        app.router.add_post("/", self._take)
        self.server = test_utils.TestServer(app)

    @property
    def url(self) -> str:
        """See Adapter."""
        return str(self.server.make_url("/"))

    async def _take(self, request: web.Request) -> web.Response:
        told = (await request.json())["data"]["object"]
        self.statuses[told["id"]] = told["status"]
        return web.Response()

    async def kill_and_start(self) -> None:
        """Nothing here dies."""

    async def settled(self) -> None:
        """It applies before it answers."""

    async def status_of(self, subscription_id: str) -> str | None:
        """See Adapter."""
        return self.statuses.get(subscription_id)

    async def read(self, subscription_id: str) -> str:
        """The status that the PSP answers with."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{self.psp.url}/v1/subscriptions/{subscription_id}") as response,
        ):
            return str((await response.json())["status"])

    async def backfill(self, subscription_id: str) -> None:
        """The PSP's word is written when it arrives."""
        self.statuses[subscription_id] = await self.read(subscription_id)


class AsOldAsItsQuestion(LastWriteWins):
    """Knows that an answer is as old as its question."""

    name = "as old as its question"

    async def backfill(self, subscription_id: str) -> None:
        """Written only if nothing came since it was asked for."""
        before = self.statuses.get(subscription_id)
        there = await self.read(subscription_id)
        if self.statuses.get(subscription_id) == before:
            self.statuses[subscription_id] = there


class WithoutBackfill(LastWriteWins):
    """Has no way to ask the PSP."""

    name = "without backfill"

    async def backfill(self, subscription_id: str) -> None:
        """See Adapter."""
        raise NotMeasurableError("has no backfill")


class NeverAsks(LastWriteWins):
    """Says that it has backfilled, and has not."""

    name = "never asks"

    async def backfill(self, subscription_id: str) -> None:
        """Nothing."""


@pytest.fixture
async def psp(processes: Processes) -> Psp:
    """The stub PSP, as the bench runs it."""
    stub = Psp(free_port())
    await processes.start_ready(
        "-m", "bench.peers.psp_stub", str(stub.port), url=f"{stub.url}/calls", environment={}
    )
    return stub


@pytest.mark.parametrize(
    ("receiver", "said", "score"),
    [
        (AsOldAsItsQuestion, BACKFILLS, "2/2"),
        (LastWriteWins, BACKFILLS | {"backfill race": "is active, not past_due"}, "1/2"),
        (WithoutBackfill, dict.fromkeys(BACKFILLS, "not measurable: has no backfill"), "0/0"),
        (
            NeverAsks,
            dict.fromkeys(
                BACKFILLS, "not measurable: its backfill does not ask the PSP for the subscription"
            ),
            "0/0",
        ),
    ],
)
async def test_card_says_who_loses_the_race(
    psp: Psp, receiver: type[LastWriteWins], said: dict[str, str], score: str
) -> None:
    """A stale answer that arrives late is right only where the newer webhook's state stays."""
    adapter = receiver(psp)
    checked: Adapter = adapter
    async with adapter.server:
        scenarios = [scenario for scenario in bad_day.script("race") if scenario.backfill is not None]
        card = await play(checked, scenarios)

    assert (said, score) == ({what: card.cell(what) for what in BACKFILLS}, card.score)
