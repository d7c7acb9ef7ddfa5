"""Does what the outbox holds: claim, call the PSP, write down how it ended as an event in the log.

Never holds a connection or a transaction while it calls, and never writes state: the appended event does.
A worker killed between call and commit leaves the effect to the next one, which calls with the same key.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from billing.decision import PspCall
from db import events, operations, outbox, traces
from db.events import Delivery
from db.outbox import ClaimedEffect, Ending, Postponement
from db.pool import type_pool
from db.traces import Called
from psp.calls import Caller, Done, Outcome, ReadEvent, Refused, Transient, given_up, type_ended
from psp.envelope import Envelope
from psp.providers import RECEIVERS
from psp.sluice import commands
from runtime import clock, limits, telemetry, tracing

ENDPOINT = "outbox"
"""Stands in the log where a delivery names its endpoint."""
_ACTOR = "worker:effects"


class Breaker:
    """Leaves a PSP alone that fails as a whole: open after several failures in a row, then one probe per
    pause.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._open_until: datetime | None = None

    def calls_allowed(self, now: datetime) -> int:
        """How many calls may be under way at `now`."""
        if self._open_until is None:
            return limits.effect_calls_at_once
        return 1 if now >= self._open_until else 0

    def heard(self, outcome: Outcome, now: datetime) -> None:
        """Take note of how a call ended."""
        if isinstance(outcome, Transient) and outcome.unwell:
            self._failures += 1
            if self._failures >= limits.effect_breaker_failures_max:
                self._open_until = now + timedelta(seconds=limits.effect_breaker_pause_s)
        else:
            self._failures = 0
            self._open_until = None


@dataclass
class _Settlement:
    """What one transaction writes about a batch of calls."""

    endings: list[Ending] = field(default_factory=list)
    postponements: list[Postponement] = field(default_factory=list)
    deliveries: list[tuple[int, Delivery]] = field(default_factory=list)
    alerts: list[tuple[int, tuple[str, str, str | None]]] = field(default_factory=list)


class Effects:
    """The outbox of one PSP; one per worker and source, `run_once` never runs twice at a time."""

    def __init__(self, connections: type_pool, source: str, caller: Caller, wake: asyncio.Event) -> None:
        """`wake` tells the drain loop that the log has news."""
        self._connections = connections
        self._source = source
        self._caller = caller
        self._wake = wake
        self._breaker = Breaker()

    async def run_once(self, now: datetime | None = None) -> Counter[str]:
        """Do what is due until nothing is left or the PSP is to be left alone; returns how many calls ended
        how.

        `now` stands for the present throughout. Raises an error of WORLD_IS_BUSY when the database goes away;
        what was claimed then comes again when its lease runs out.
        """
        counts: Counter[str] = Counter()
        while allowed := self._breaker.calls_allowed(now or clock.now()):
            async with self._connections.acquire(timeout=limits.pool_acquire_s) as connection:
                counts["obsolete"] += await outbox.retire(connection)
                claimed = await outbox.claim_due(connection, self._source, allowed, limits.effect_lease_s)
            if not claimed:
                break
            at = now or clock.now()
            began_ns = clock.now_unix_ns()
            ended = await asyncio.gather(*(self._call(effect, at) for effect in claimed))
            outcomes = [outcome for outcome, _ in ended]
            for outcome in outcomes:
                self._breaker.heard(outcome, at)
            settlement = settle(list(zip(claimed, outcomes, strict=True)), int(at.timestamp()))
            counts += await self._write(settlement)
            await self._tell(claimed, ended, began_ns)
        counts = +counts
        if counts:
            telemetry.logger().info("effects", source=self._source, **counts)
        return counts

    async def _call(self, effect: ClaimedEffect, now: datetime) -> tuple[Outcome, int]:
        """How the call ended, and when."""
        outcome = await self._outcome(effect, now)
        return outcome, clock.now_unix_ns()

    async def _outcome(self, effect: ClaimedEffect, now: datetime) -> Outcome:
        if effect.attempts > limits.effect_attempts_max:
            return Transient("its work ended the worker each time", unwell=False)
        try:
            async with asyncio.timeout(limits.effect_call_s):
                return await self._caller.do(effect.call, effect.attempts, int(now.timestamp()))
        except TimeoutError:
            return Transient("TimeoutError", unwell=True)
        except Exception as error:  # noqa: BLE001 - a call at fault must not cost its neighbours anything
            telemetry.logger().error("call_at_fault", effect=effect.id, exc_info=error)
            return Transient(type(error).__name__, unwell=False)

    async def _write(self, settlement: _Settlement) -> Counter[str]:
        async with (
            self._connections.acquire(timeout=limits.pool_acquire_s) as connection,
            connection.transaction(),
        ):
            ours = await outbox.finish(connection, settlement.endings)
            told = [delivery for effect_id, delivery in settlement.deliveries if effect_id in ours]
            if told:
                await events.append(connection, told)
            await operations.raise_alerts(
                connection, [alert for effect_id, alert in settlement.alerts if effect_id in ours]
            )
            await outbox.retry(connection, settlement.postponements)
        if told:
            self._wake.set()
        counts = Counter(ending.state for ending in settlement.endings if ending.id in ours)
        counts["claim_lost"] = len(settlement.endings) - len(ours)
        counts["postponed"] = len(settlement.postponements)
        return +counts

    async def _tell(
        self, claimed: Sequence[ClaimedEffect], ended: Sequence[tuple[Outcome, int]], began_ns: int
    ) -> None:
        if not tracing.on():
            return
        calls = [
            Called(
                effect.id,
                effect.source,
                effect.call.kind,
                effect.attempts,
                type(outcome).__name__.lower(),
                isinstance(outcome, Done),
                began_ns,
                ended_ns,
            )
            for effect, (outcome, ended_ns) in zip(claimed, ended, strict=True)
        ]
        async with self._connections.acquire(timeout=limits.pool_acquire_s) as connection:
            await traces.called(connection, calls)


def settle(ended: Sequence[tuple[ClaimedEffect, Outcome]], now: int) -> _Settlement:
    """What these outcomes ask to be written; pure."""
    settlement = _Settlement()
    for effect, outcome in ended:
        match outcome:
            case Done():
                settlement.endings.append(Ending(effect.id, effect.attempts, "done"))
                _tell(settlement, effect, outcome.ended, outcome.read, now)
            case Refused():
                _fail(settlement, effect, outcome.error, outcome.ended, now)
            case Transient() if effect.attempts >= limits.effect_attempts_max:
                _fail(settlement, effect, outcome.error, given_up(effect.source, effect.call), now)
            case Transient():
                settlement.postponements.append(
                    Postponement(effect.id, effect.attempts, outcome.error, delay_s(effect.attempts, outcome))
                )
    return settlement


def delay_s(attempts: int, outcome: Transient) -> float:
    """Seconds until the next try after `attempts` tries: doubling, capped, and never before the PSP allows
    it.
    """
    backoff_s = min(limits.effect_backoff_max_s, limits.effect_backoff_first_s * 2 ** (attempts - 1))
    return max(float(backoff_s), min(outcome.retry_after_s or 0.0, limits.effect_retry_after_max_s))


def _fail(
    settlement: _Settlement, effect: ClaimedEffect, error: str, ended: type_ended | None, now: int
) -> None:
    call: PspCall = effect.call
    settlement.endings.append(Ending(effect.id, effect.attempts, "failed", error))
    alert = ("effect_failed", f"{effect.source}:{call.kind}:{call.object_id}", error)
    settlement.alerts.append((effect.id, alert))
    _tell(settlement, effect, ended, (), now)


def _tell(
    settlement: _Settlement,
    effect: ClaimedEffect,
    ended: type_ended | None,
    read: Sequence[ReadEvent],
    now: int,
) -> None:
    receiver = RECEIVERS[effect.source.partition(":")[0]]
    told = [(effect.source, receiver.read_envelope(event.body), event.body) for event in read]
    if ended is not None:
        event_id = f"effect_{effect.id}"  # the same, whoever comes to tell it
        body = commands.event_body(ended, event_id, now)
        envelope = Envelope(event_id, commands.event_type(ended), effect.call.object_id, now)
        told.append((commands.SOURCE, envelope, body))
    settlement.deliveries += [
        (
            effect.id,
            events.own_delivery(
                source, ENDPOINT, "reconciler", envelope, body, f"effect:{effect.id}", _ACTOR
            ),
        )
        for source, envelope, body in told
    ]


async def look_for_unconfigured(connections: type_pool, configured: Collection[str]) -> None:
    """Raise an alert about calls that wait for a PSP which nobody here has a key for."""
    async with connections.acquire(timeout=limits.pool_acquire_s) as connection:
        await outbox.retire(connection)
        waiting = await outbox.waiting(connection)
        await operations.raise_alerts(
            connection,
            [
                ("psp_not_configured", f"{source}:{kind}", None)
                for source, kind in waiting
                if source not in configured
            ],
        )
