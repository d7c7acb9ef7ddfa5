"""Does what the outbox holds: claim, call the PSP, write down how it ended as an event in the log. Workers do
whatever is due; the API does at once what a customer waits for, under the same claims.

Never holds a connection or a transaction while it calls, and never writes state: the appended event does.
A process killed between call and commit leaves the effect to the workers, who call with the same key.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from db import events, operations, outbox, traces
from db.outbox import ClaimedEffect
from db.pool import type_pool
from db.traces import Called
from outbox.breaker import Breaker
from outbox.settling import Settlement, settle
from psp.calls import Caller, Done, Outcome, Transient
from runtime import clock, limits, telemetry, tracing


class Effects:
    """The outbox of one PSP; one per process and source, `run_once` never runs twice at a time."""

    def __init__(
        self, connections: type_pool, source: str, caller: Caller, wake: Callable[[], None], process: str
    ) -> None:
        """`wake` is called when the log has news; `process` names who does it there."""
        self._connections = connections
        self.source = source
        self.caller = caller
        self._wake = wake
        self._actor = f"{process}:effects"
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
                claimed = await outbox.claim_due(connection, self.source, allowed, limits.effect_lease_s)
            if not claimed:
                break
            _, written = await self._do(claimed, now or clock.now())
            counts += written
        counts = +counts
        if counts:
            telemetry.logger().info("effects", source=self.source, **counts)
        return counts

    async def at_once(self, key: str) -> Outcome | None:
        """Do the call of this key now, and tell how it ended; None where it has ended, is not due yet, or
        somebody else is at it, and where the PSP is left alone: then the workers see to it.

        Raises an error of WORLD_IS_BUSY as `run_once` does.
        """
        now = clock.now()
        if not self._breaker.calls_allowed(now):
            return None
        async with self._connections.acquire(timeout=limits.pool_acquire_s) as connection:
            claimed = await outbox.claim_one(connection, self.source, key, limits.effect_lease_s)
        if not claimed:
            return None
        (outcome,), written = await self._do(claimed, now)
        return None if written["claim_lost"] else outcome

    async def _do(self, claimed: Sequence[ClaimedEffect], at: datetime) -> tuple[list[Outcome], Counter[str]]:
        """Make these calls at once and write down how they ended; that, and how many ended how."""
        began_ns = clock.now_unix_ns()
        ended = await asyncio.gather(*(self._call(effect, at) for effect in claimed))
        outcomes = [outcome for outcome, _ in ended]
        for outcome in outcomes:
            self._breaker.heard(outcome, at)
        calls = list(zip(claimed, outcomes, strict=True))
        written = await self._write(settle(calls, int(at.timestamp()), self._actor))
        await self._tell(claimed, ended, began_ns)
        return outcomes, written

    async def _call(self, effect: ClaimedEffect, now: datetime) -> tuple[Outcome, int]:
        """How the call ended, and when."""
        outcome = await self._outcome(effect, now)
        return outcome, clock.now_unix_ns()

    async def _outcome(self, effect: ClaimedEffect, now: datetime) -> Outcome:
        async def taken(made_ids: Sequence[str]) -> set[str]:
            async with self._connections.acquire(timeout=limits.pool_acquire_s) as connection:
                return await outbox.taken(connection, self.source, effect.call.kind, made_ids)

        if effect.attempts > limits.effect_attempts_max:
            return Transient("its work ended the worker each time", unwell=False)
        try:
            async with asyncio.timeout(limits.effect_call_s):
                return await self.caller.do(effect.call, effect.attempts, int(now.timestamp()), taken)
        except TimeoutError:
            return Transient("TimeoutError", unwell=True)
        except Exception as error:  # noqa: BLE001 - a call at fault must not cost its neighbours anything
            telemetry.logger().error("call_at_fault", effect=effect.id, exc_info=error)
            return Transient(type(error).__name__, unwell=False)

    async def _write(self, settlement: Settlement) -> Counter[str]:
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
            self._wake()
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
