"""Delivers events as signed webhooks with retries and the misfortunes planned for them.

It must never change a body between attempts, and never count an event as delivered without a 2xx.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import aiohttp

from runtime import telemetry

from . import limits, signing
from .chaos import VERDICT_OF_FORGERY, Forgery, Plan
from .records import Event
from .store import Store
from .voice import Voice

Kind: TypeAlias = Literal["genuine", "duplicate", "forged", "conflict", "asked_for"]


@dataclass(slots=True)
class Stats:
    """What this process has sent and what came back; a delivery is one attempt."""

    events: int = 0
    deliveries_sent: int = 0
    acknowledged: int = 0
    retries: int = 0
    failed_attempts: int = 0
    gave_up: int = 0
    dropped: int = 0
    duplicates_sent: int = 0
    forged_sent: int = 0
    forged_accepted: int = 0
    forged_unanswered: int = 0
    conflicting_sent: int = 0
    conflicting_acknowledged: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Job:
    """One letter to be sent. `attempt` counts from 1; forged letters and those that somebody asked for, and
    waits for in `answered`, are never sent twice.
    """

    kind: Kind
    event_id: str
    plan: Plan
    attempt: int = 1
    answered: asyncio.Future[int | None] | None = None


@dataclass(slots=True, frozen=True)
class Patience:
    """How often and how far apart a letter is tried: Stripe's days at the scale of a demo."""

    attempts_max: int = limits.delivery_attempts_max
    first_s: float = limits.backoff_first_s
    max_s: float = limits.backoff_max_s

    def pause_s(self, attempt: int) -> float:
        """Seconds between a failed attempt, counted from 1, and the next."""
        return float(min(self.max_s, self.first_s * 2 ** (attempt - 1)))


class Deliverer:
    """Owns the schedule. `run()` until cancelled; `accept` takes events whose commit is done. `voices` are
    the PSPs that speak, by name; what belongs to a silent one is not sent.
    """

    def __init__(self, store: Store, voices: Mapping[str, Voice], *, now_s: Callable[[], int]) -> None:
        self._store, self._voices, self._now_s = store, voices, now_s
        self._due: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._slots = asyncio.Semaphore(limits.deliveries_in_flight_max)
        self._under_way: set[asyncio.Task[None]] = set()
        self.stats = Stats()

    @property
    def scheduled(self) -> int:
        """Letters that wait or are under way."""
        return len(self._due) + len(self._under_way)

    def accept(self, events: Iterable[tuple[Event, Plan]]) -> None:
        """Schedules what is planned for new events."""
        for event, plan in events:
            self.stats.events += 1
            if plan.forgery is not None:
                self._schedule(plan.forgery_at_s, Job("forged", event.id, plan))
            if plan.dropped:
                self.stats.dropped += 1
                continue
            self._schedule(plan.delay_s, Job("genuine", event.id, plan))
            for at_s in plan.duplicates_at_s:
                self._schedule(at_s, Job("duplicate", event.id, plan))

    def resume(self) -> int:
        """Schedules what an earlier process left undelivered; returns how many events that is."""
        left = [e for e in self._store.many(Event, "events_to_resume") if e.psp in self._voices]
        for event in left:
            self._schedule(0.0, Job("genuine", event.id, Plan(), attempt=1))
        return len(left)

    async def ask_for(self, event_id: str) -> int | None:
        """Sends an event once more, now; returns the status it was answered with, None for no answer."""
        answered: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._schedule(0.0, Job("asked_for", event_id, Plan(), answered=answered))
        return await answered

    async def settled(self, timeout_s: float) -> bool:
        """Waits until nothing is scheduled; False where that takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Sends what is due until cancelled; attempts under way then get a few seconds to end."""
        connector = aiohttp.TCPConnector(limit=limits.deliveries_in_flight_max)
        timeout = aiohttp.ClientTimeout(total=limits.delivery_timeout_s)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            try:
                while True:
                    await self._send_due(session)
            finally:
                if self._under_way:
                    _, late = await asyncio.wait(self._under_way, timeout=limits.shutdown_s)
                    for task in late:
                        task.cancel()
                    await asyncio.gather(*late, return_exceptions=True)

    def _schedule(self, after_s: float, job: Job) -> None:
        heapq.heappush(self._due, (time.monotonic() + after_s, next(self._order), job))
        self._quiet.clear()
        self._changed.set()

    async def _send_due(self, session: aiohttp.ClientSession) -> None:
        """Starts the next letter that is due, or sleeps until one is or the schedule changes."""
        self._changed.clear()
        wait_s = self._due[0][0] - time.monotonic() if self._due else None
        if wait_s is None or wait_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            return
        await self._slots.acquire()
        _, _, job = heapq.heappop(self._due)
        task = asyncio.create_task(self._send(session, job))
        self._under_way.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._slots.release()
        if not task.cancelled() and (fault := task.exception()) is not None:
            telemetry.logger().error("delivery_failed_inside", error=type(fault).__name__)
        if not self.scheduled:
            self._quiet.set()

    async def _send(self, session: aiohttp.ClientSession, job: Job) -> None:
        found = self._store.many(Event, "letter", id=job.event_id)
        if not found:
            return
        event = found[0]
        voice = self._voices[event.psp]
        letter = self._letter(event, voice, job)
        self._count(job)
        if job.kind in {"genuine", "asked_for"}:
            self._store.run("count_attempt", id=event.id)
        status: int | None = None
        try:
            async with session.post(
                voice.url, data=letter.body, headers=voice.headers(letter), allow_redirects=False
            ) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = None
        finally:
            if job.answered is not None and not job.answered.done():
                job.answered.set_result(status)
        self.stats.answers[str(status or "none")] = self.stats.answers.get(str(status or "none"), 0) + 1
        self._note(event, voice, job, status)

    def _letter(self, event: Event, voice: Voice, job: Job) -> signing.Letter:
        """The bytes and a signature of this very moment: a retry repeats the bytes, never the time."""
        now_s = self._now_s()
        if job.kind == "forged" and job.plan.forgery is not None:
            return voice.forged(event.body, now_s, job.plan.forgery, job.plan.clock_skew_s)
        if job.kind == "conflict":
            body = voice.dearer(event.body)
            self._store.run("note_conflict", id=event.id, sha256=hashlib.sha256(body).hexdigest())
            return voice.genuine(body, now_s)
        return voice.genuine(event.body, now_s)

    def _count(self, job: Job) -> None:
        self.stats.deliveries_sent += 1
        if job.attempt > 1:
            self.stats.retries += 1
            return
        match job.kind:
            case "duplicate":
                self.stats.duplicates_sent += 1
            case "forged":
                self.stats.forged_sent += 1
            case "conflict":
                self.stats.conflicting_sent += 1
            case "genuine" | "asked_for":
                pass

    def _note(self, event: Event, voice: Voice, job: Job, status: int | None) -> None:
        """Books an answer, and schedules what follows from it."""
        taken = status is not None and 200 <= status < 300
        if job.kind == "forged":
            self._note_forged(job.plan.forgery, status, taken=taken)
        elif not taken:
            self.stats.failed_attempts += 1
            if job.kind != "asked_for":
                self._again(event, voice, job)
        elif job.kind == "conflict":
            self.stats.conflicting_acknowledged += 1
            self._store.run("acknowledge_conflict", id=event.id)
        else:
            self.stats.acknowledged += 1
            self._store.run("acknowledge", id=event.id, now=self._now_s())
            if job.kind == "genuine" and job.plan.conflict_after_s is not None:
                self._schedule(job.plan.conflict_after_s, Job("conflict", event.id, job.plan))

    def _note_forged(self, forgery: Forgery | None, status: int | None, *, taken: bool) -> None:
        if taken:
            self.stats.forged_accepted += 1
        elif status == 400 and forgery is not None:
            verdict = VERDICT_OF_FORGERY[forgery]
            self.stats.refused[verdict] = self.stats.refused.get(verdict, 0) + 1
        else:
            self.stats.forged_unanswered += 1

    def _again(self, event: Event, voice: Voice, job: Job) -> None:
        if job.attempt < voice.pauses.attempts_max:
            again = Job(job.kind, job.event_id, job.plan, job.attempt + 1)
            self._schedule(voice.pauses.pause_s(job.attempt), again)
            return
        self.stats.gave_up += 1
        if job.kind == "genuine":
            self._store.run("give_up", id=event.id)
        telemetry.logger().warning("delivery_given_up", event_id=event.id, attempts=job.attempt)
