"""Repairs by appending to the log what the PSP would have sent; writes findings, and never state.

The id of an appended event is made of the object as the PSP shows it and the version of our row that it was
compared with: whoever comes to the same conclusion appends the same event, which is there once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from billing.commands import Command
from billing.facts import Fact
from db import events, findings, operations, reconcile
from db.events import Delivery
from db.findings import Finding
from db.pool import type_connection
from db.reconcile import Waiting
from psp import mappers
from psp.envelope import Envelope
from psp.providers import RECEIVERS
from psp.reading import Expected
from psp.reads import Sighting
from psp.sluice import commands
from reconciler.compare import FOR_A_PERSON, MISSED, Difference, compare, pays, wanted
from reconciler.run import Asked, Run
from runtime import limits, telemetry

ENDPOINT = "reconciler"
"""Stands in the log where a delivery of our own commands names its endpoint."""


@dataclass(frozen=True, slots=True)
class _Told:
    """One thing that a sighting says: the event type that says it and what it means."""

    sighting: Sighting
    event_type: str
    fact: Fact


def facts_of(asked: Asked, sighting: Sighting) -> list[tuple[str, Fact]]:
    """What a sighting means in our words, by the type of event that says so."""
    mapper = mappers.of_source(asked.source)
    assert mapper is not None, f"a source that can be asked can be read: {asked.source}"
    return [
        (event_type, mapper.read(asked.reader.tell(sighting, event_type, "probe"), Expected()).fact)
        for event_type in sighting.event_types
    ]


async def settle(run: Run, asked: Asked, phase: str, sightings: Sequence[Sighting], about: str = "") -> int:
    """Compare sightings with what we have now and append what is news; returns how many events were appended.

    `about` tells in the findings what brought us here.
    """
    told = [
        _Told(sighting, event_type, fact)
        for sighting in sightings
        for event_type, fact in facts_of(asked, sighting)
    ]
    if not told:
        return 0
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection, connection.transaction():
        await reconcile.lock_appends(connection)
        here = await reconcile.look(connection, asked.source, wanted(one.fact for one in told))
        # What this run has just told of will have paid by the time that the rest is applied.
        here.paid.update({(kind, found): {} for source, kind, found in run.told if source == asked.source})
        ids = [one.sighting.id for one in told]
        waiting = await reconcile.open_events_of(connection, asked.source, ids)
        news = [
            (one, difference)
            for one in told
            if (difference := compare(one.fact, here, one.sighting.asked_at, one.sighting.id in waiting))
            and not any(event.under_way for event in waiting.get(one.sighting.id, ()))
        ]
        run.told.update((asked.source, *paid) for one, _ in news for paid in pays(one.fact))
        if not news:
            return 0
        return await _append(connection, run, asked, phase, news, waiting, about)


async def _append(
    connection: type_connection,
    run: Run,
    asked: Asked,
    phase: str,
    news: Sequence[tuple[_Told, Difference]],
    waiting: Mapping[str, Sequence[Waiting]],
    about: str,
) -> int:
    event_ids = [_event_id(one, difference) for one, difference in news]
    known = await reconcile.events_here(connection, asked.source, event_ids)
    found, deliveries = [], []
    for (one, difference), event_id in zip(news, event_ids, strict=True):
        state, in_vain = _waits(asked, one.fact, waiting.get(one.sighting.id, ()))
        kind, detail = difference.kind, f"{one.sighting.kind}: {difference.detail}{about}"
        mends = kind not in FOR_A_PERSON and not in_vain and event_id not in known
        if kind not in FOR_A_PERSON and (state or event_id in known):
            kind, detail = (
                MISSED,
                f"{detail}; an event about it is {state or known[event_id][0]} in the inbox",
            )
        repaired = mends and not run.order.dry_run
        if repaired:
            body = asked.reader.tell(one.sighting, one.event_type, event_id)
            deliveries.append(delivery(run, asked, body, one.sighting.asked_at))
        found.append(Finding(asked.source, kind, one.sighting.id, detail, repaired))
    await record(connection, run, phase, found)
    if deliveries:
        await events.append(connection, deliveries)
    return len(deliveries)


def _waits(asked: Asked, fact: Fact, waiting: Sequence[Waiting]) -> tuple[str, bool]:
    """In which state an event about the object is, and whether another one would be in vain: a worker will
    come to it, or it says the very same and still had no effect.
    """
    if not waiting:
        return "", False
    mapper = mappers.of_source(asked.source)
    assert mapper is not None, f"a source that can be asked can be read: {asked.source}"
    said = any(mapper.read(event.body, Expected()).fact == fact for event in waiting)
    return waiting[-1].state, said or any(event.state == "pending" for event in waiting)


def _event_id(one: _Told, difference: Difference) -> str:
    digest = hashlib.sha256(one.sighting.body).hexdigest()
    said = f"{one.sighting.kind} {one.sighting.id} {one.event_type} {difference.version} {digest}"
    return f"evt_rec_{hashlib.sha256(said.encode()).hexdigest()[:32]}"


async def record(connection: type_connection, run: Run, phase: str, found: Sequence[Finding]) -> None:
    """Put findings on record; those that nobody but a person can mend raise an alert."""
    await findings.add(connection, run.order.id, found)
    for finding in found:
        run.counts[finding.kind] += 1
        run.counts["repaired"] += finding.repaired
        run.repaired[phase] += finding.repaired
        telemetry.logger().info(
            "finding", phase=phase, source=finding.source, what=finding.kind, object_id=finding.object_id,
            detail=finding.detail, repaired=finding.repaired,
        )  # fmt: skip
    if not run.order.dry_run:
        await operations.raise_alerts(
            connection,
            [
                ("psp_differs", f"{finding.source}:{finding.object_id}", finding.detail)
                for finding in found
                if finding.kind in FOR_A_PERSON
            ],
        )


async def gone(run: Run, asked: Asked, phase: str, object_id: str, detail: str, kind: str) -> None:
    """Put on record that the PSP does not know an object that we have; nothing of ours is touched."""
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        await record(connection, run, phase, [Finding(asked.source, kind, object_id, detail, False)])


def delivery(run: Run, asked: Asked, body: bytes, created: int | None = None) -> Delivery:
    """The row of the log for an event of the PSP that this run appends; `created` (unix seconds) is its time,
    None: the one in the body.
    """
    envelope = RECEIVERS[asked.source.partition(":")[0]].read_envelope(body)
    if created is not None:
        envelope = envelope._replace(psp_created=created)
    return _row(run, asked.source, asked.endpoint, envelope, body)


def command(run: Run, said: Command, event_id: str, object_id: str, now: int) -> Delivery:
    """The row of the log for a command of our own that this run says at `now` (unix seconds)."""
    body = commands.event_body(said, event_id, now)
    envelope = Envelope(event_id, commands.event_type(said), object_id, now)
    return _row(run, commands.SOURCE, ENDPOINT, envelope, body)


def _row(run: Run, source: str, endpoint: str, envelope: Envelope, body: bytes) -> Delivery:
    return events.own_delivery(source, endpoint, "reconciler", envelope, body, str(run.order.id), run.actor)
