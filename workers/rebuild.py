"""`python -m workers.rebuild`: applies the log to a scratch database, in the order of its ids, with the
worker's own code. Started by `python -m reconciler prove`, which compares; must never write to the live
database or call a PSP.

Time is the log's: a parked event has waited too long when the log has gone on for so long. Answers are JSON
lines on standard output that begin with `{"rebuilt":`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from billing.commands import (
    CheckoutOpened,
    CheckoutRequested,
    CreditsSpent,
    OrderPlaced,
    PlanSubscribed,
    SpendReversed,
)
from billing.keys import invoice_key
from billing.plan import PlanSubscription
from billing.reversal import REFUND_DETAILS_WAIT_S
from db import events, pool, prove
from db.events import ClaimedEvent
from db.pool import REFUSED, WORLD_IS_BUSY, type_connection
from db.prove import LoggedEvent
from psp import providers
from psp.reading import Expected
from psp.sluice.commands import SOURCE
from runtime import limits, process, settings
from workers import apply
from workers.outcomes import Batch, Item
from workers.rebuild_order import Groups

_ATTEMPT = limits.attempts_max
"""The attempt that a rebuild makes is the last one: pure code fails again in the same way."""
_span_max = timedelta(seconds=REFUND_DETAILS_WAIT_S)
"""What is applied at once must not lie further apart than the shortest wait."""
_flags_at_once = 5_000
"""Flags of one line."""

_BUILDS_ON_NOTHING = (
    OrderPlaced | PlanSubscribed | CheckoutRequested | CheckoutOpened | CreditsSpent | SpendReversed
)
"""Commands that mean the same whatever has been applied before them."""

type_key = tuple[str, str]
"""Source and event id."""


class Rebuild:
    """One replay of a log into a scratch database."""

    def __init__(
        self, live: type_connection, scratch: type_connection, expected: Mapping[str, Expected]
    ) -> None:
        """`live` is in the snapshot; `expected` tells what each endpoint is for."""
        self._live = live
        self._scratch = scratch
        self._expected = expected
        self._deadlines: dict[type_key, datetime] = {}
        self._told: dict[int, datetime | None] = {}
        self._waits_on: dict[type_key, datetime] = {}
        self.groups = Groups()
        self.done = 0

    async def take(self, rows: Sequence[LoggedEvent]) -> None:
        """Apply the next deliveries of the log."""
        rest = list(rows)
        while rest:
            await self._expire(rest[0].delivered_at)
            if rest[0].delivery_id != rest[0].log_id:
                replayed = rest.pop(0)
                await events.reopen(self._scratch, [(replayed.source, replayed.event_id)])
                await self._drain(replayed.delivered_at)
                continue
            count = self._prefix(rest)
            await self._apply_new(rest[:count])
            await self._drain(rest[count - 1].delivered_at)
            self.done += count
            rest = rest[count:]

    async def finish(self, at: datetime) -> None:
        """Let the time pass from the log's end to the snapshot."""
        await self._expire(at)

    def _prefix(self, rows: Sequence[LoggedEvent]) -> int:
        """How many of these come before any wait is over, also one that begins here, and before a replay."""
        until = rows[0].delivered_at + _span_max
        if self._deadlines:
            until = min(until, *self._deadlines.values())
        for count, row in enumerate(rows):
            if row.delivery_id != row.log_id or row.delivered_at > until or self._builds_on_state(row):
                return max(count, 1)
        return len(rows)

    def _builds_on_state(self, row: LoggedEvent) -> bool:
        """Whether this is what we did because of a state: all before it had been applied by then, so it must
        not be decided in one batch with an event that waits there.
        """
        if row.source != SOURCE:
            return False
        fact = apply.read(_claimed(row), self._expected).fact
        return not isinstance(fact, _BUILDS_ON_NOTHING)

    async def _expire(self, at: datetime) -> None:
        """End the waits that were over before `at`, the earliest first."""
        while over := sorted((due, key) for key, due in self._deadlines.items() if due < at):
            due = over[0][0]
            keys = [key for other, key in over if other == due]
            for key in keys:
                del self._deadlines[key]
            await prove.expire(self._scratch, keys)
            await self._drain(due)

    async def _drain(self, at: datetime) -> None:
        """Apply whatever was woken, until nothing is."""
        if self._deadlines:
            await events.wake_parked_arrived(self._scratch)
        while woken := await prove.claim_woken(self._scratch, _ATTEMPT):
            bodies = await prove.bodies_again(self._live, [(due.log_id, due.received_at) for due in woken])
            claimed = [ClaimedEvent(*due, *bodies.get(due.log_id, (None, None))) for due in woken]
            await self._apply(claimed, parked_at=at)

    async def _apply_new(self, rows: Sequence[LoggedEvent]) -> None:
        await prove.put_events(self._scratch, rows, _ATTEMPT)
        for row in rows:
            if row.state == "parked":  # it still waits: the live inbox knows until when
                self._waits_on[row.source, row.event_id] = row.next_attempt_at
            self._told[row.log_id] = row.applied_at
        claimed = [_claimed(row) for row in rows]
        await self._apply(claimed, parked_at=None)

    async def _apply(self, claimed: Sequence[ClaimedEvent], parked_at: datetime | None) -> None:
        """Apply these; those that wait do so from `parked_at` on, or from their own receipt."""
        items = [Item(event, apply.read(event, self._expected)) for event in claimed]
        for item in items:
            if item.event.log_id in self._told:
                applied_at = self._told.pop(item.event.log_id)
                self.groups.saw(item.event.log_id, item.cause.source, item.fact.keys, applied_at)
        await self._apply_items(items, parked_at)

    async def _apply_items(self, items: Sequence[Item], parked_at: datetime | None) -> None:
        try:
            batch = await apply.apply_at_once(self._scratch, items)
        except WORLD_IS_BUSY:
            raise
        except REFUSED:
            if len(items) == 1:
                await apply.apply_batch(self._scratch, [items[0].event], self._expected)
                return
            middle = len(items) // 2
            await self._apply_items(items[:middle], parked_at)
            await self._apply_items(items[middle:], parked_at)
            return
        self._learn(items, batch, parked_at)

    def _learn(self, items: Sequence[Item], batch: Batch, parked_at: datetime | None) -> None:
        """Note what belongs together, what had to wait, and until when."""
        for subject in batch.subjects.values():
            # The invoice of a subscription that we run ourselves has its id, and no event of its own.
            own = (invoice_key(subject.id),) if isinstance(subject, PlanSubscription) else ()
            self.groups.tie(subject.source, (*subject.keys, *own))
        places = {(item.event.source, item.event.event_id): place for place, item in enumerate(items)}
        furthest = -1
        for mark in batch.marks:
            key = (mark.source, mark.event_id)
            event, place = items[places[key]].event, places[key]
            furthest = max(furthest, place)
            if mark.state == "parked":
                waits = timedelta(seconds=mark.delay_s or 0)
                self._deadlines[key] = self._waits_on.get(key, (parked_at or event.received_at) + waits)
            else:
                self._deadlines.pop(key, None)
            if mark.state == "parked" or place < furthest:
                self.groups.waited(event.log_id)


def _claimed(row: LoggedEvent) -> ClaimedEvent:
    return ClaimedEvent(
        row.source,
        row.event_id,
        row.log_id,
        row.received_at,
        _ATTEMPT,
        row.psp_created,
        None,
        row.endpoint,
        row.body,
    )


def _tell(**values: object) -> None:
    sys.stdout.write(json.dumps({"rebuilt": values}) + "\n")
    sys.stdout.flush()


async def rebuild(arguments: argparse.Namespace, configuration: settings.Settings) -> int:
    """Replay into the scratch database that is named, and tell how far it is and what is flagged."""
    try:
        expected = {
            path: Expected(endpoint.mode, endpoint.account)
            for path, endpoint in providers.endpoints(configuration).items()
        }
    except providers.EndpointError as error:
        settings.refuse_to_start([str(error)])
    url = configuration.database_url
    # The live database is only read, as a role that may read everything and could not write state.
    live = await pool.connect(url, "sluice_reconciler", "sluice-rebuild")
    scratch = await prove.connect_scratch(prove.beside(url, arguments.database))
    try:
        async with prove.joined(live, arguments.snapshot):
            replay = Rebuild(live, scratch, expected)
            for source, key in await prove.keys_from_before(live, arguments.from_id):
                replay.groups.from_before(source, key)
            async for rows in prove.log(live, arguments.from_id, limits.claim_batch_rows_max):
                await replay.take(rows)
                _tell(done=replay.done)
            await replay.finish(datetime.fromisoformat(arguments.at))
    finally:
        await scratch.close()
        await live.close()
    keys, flagged = replay.groups.flagged_keys(), replay.groups.flagged_events()
    for start in range(0, len(keys), _flags_at_once):
        _tell(keys=keys[start : start + _flags_at_once])
    for start in range(0, len(flagged), _flags_at_once):
        _tell(events=flagged[start : start + _flags_at_once])
    _tell(done=replay.done, over=True)
    return 0


def main() -> int:
    """Rebuild once; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers.rebuild")
    parser.add_argument("--database", required=True, help="the scratch database, on the live one's server")
    parser.add_argument("--snapshot", required=True, help="the view of the live database to join")
    parser.add_argument("--from-id", type=int, required=True, help="the first log id to replay")
    parser.add_argument("--at", required=True, help="when the snapshot was taken")
    arguments = parser.parse_args()
    configuration = settings.load_or_exit()

    async def until_stopped(stop: asyncio.Event) -> int:
        work = asyncio.create_task(rebuild(arguments, configuration))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        work.cancel()
        (ended,) = await asyncio.gather(work, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended
        return ended if isinstance(ended, int) else 1

    return process.run("rebuild", until_stopped)


if __name__ == "__main__":
    sys.exit(main())
