"""A PSP as far as the wire goes: delivers out of order and more than once, sends again until 2xx, and
keeps a journal.

The journal is the sender's own evidence: nothing of what the receiver stored goes into it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
import stripe

from tests.faults.stories import Stories
from tests.support.poll import until

POSTERS = 6
"""Deliveries under way at once: enough to keep every process busy, few enough for two shared cores."""
PACE_S = 0.01
"""Pause of a poster between deliveries: some 400 a second in all, so that a long fault is no endless load."""
RETRY_S = 0.05
"""Pause after a delivery that was not acknowledged; a PSP's are longer, and prove less in a minute."""
SHUFFLED = 150
"""Deliveries to choose the next from: how far the order may be from the true one."""
answer_s_max = 10.0
"""A PSP gives up waiting after this long."""
acknowledged_s_max = 60.0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One delivery that was answered 2xx."""

    request_id: str
    event_id: str
    sha256: bytes


@dataclass
class Journal:
    """What the sender knows: every 2xx, and how often it saw which answer (`None`: no answer at all)."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    answers: Counter[int | None] = field(default_factory=Counter)


class Sender:
    """Tells stories to a receiver: `start`, let faults happen, `finish`."""

    def __init__(self, port: int, secret: str, stories: Stories) -> None:
        self.journal = Journal()
        self.stories = stories
        self._url = f"http://127.0.0.1:{port}/webhooks/stripe"
        self._secret = secret
        self._waiting: list[bytes] = []
        self._under_way = 0
        self._telling = True
        self._posters: list[asyncio.Task[None]] = []

    async def start(self, warm: int = 100) -> None:
        """Begin to deliver, and return when the load is under way."""
        self._posters = [asyncio.create_task(self._keep_posting()) for _ in range(POSTERS)]
        await self.reaches(len(self.journal.acknowledged) + warm)

    async def reaches(self, acknowledged: int) -> None:
        """Wait until so many deliveries have been acknowledged."""
        await until(
            lambda: len(self.journal.acknowledged) >= acknowledged or self._failure() is not None,
            acknowledged_s_max,
            f"{acknowledged} acknowledged deliveries; answers so far: {self.journal.answers}",
        )

    async def finish(self) -> None:
        """Tell no more stories, deliver what is left, and return when every delivery has been
        acknowledged."""
        self._telling = False
        done = asyncio.gather(*self._posters)
        try:
            async with asyncio.timeout(acknowledged_s_max):
                await done
        except TimeoutError:
            raise AssertionError(
                f"{len(self._waiting)} deliveries were never acknowledged; answers: {self.journal.answers}"
            ) from None

    async def abort(self) -> None:
        """Stop at once, whatever is left."""
        for poster in self._posters:
            poster.cancel()
        await asyncio.gather(*self._posters, return_exceptions=True)

    def _failure(self) -> BaseException | None:
        return next((p.exception() for p in self._posters if p.done() and not p.cancelled()), None)

    def _next(self) -> bytes | None:
        while self._telling and len(self._waiting) < SHUFFLED:
            self._waiting += self.stories.next()
        if not self._waiting:
            return None
        place = self.stories.random.randrange(len(self._waiting))
        self._waiting[place], self._waiting[-1] = self._waiting[-1], self._waiting[place]
        return self._waiting.pop()

    async def _keep_posting(self) -> None:
        timeout = aiohttp.ClientTimeout(total=answer_s_max)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            while self._telling or self._waiting or self._under_way:
                body = self._next()
                if body is None:  # somebody else's delivery may still fail and come back
                    await asyncio.sleep(PACE_S)
                    continue
                self._under_way += 1
                try:
                    acknowledged = await self._post(client, body)
                finally:
                    self._under_way -= 1
                if not acknowledged:
                    self._waiting.append(body)
                await asyncio.sleep(PACE_S if acknowledged else RETRY_S)

    async def _post(self, client: aiohttp.ClientSession, body: bytes) -> bool:
        request_id = secrets.token_hex(12)
        headers = {
            "Stripe-Signature": stripe.WebhookSignature.generate_signature_header(
                body.decode(), self._secret, timestamp=int(time.time())
            ),
            "X-Request-Id": request_id,
            "Content-Type": "application/json",
        }
        status: int | None = None
        try:
            async with client.post(self._url, data=body, headers=headers) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        self.journal.answers[status] += 1
        if status is None or not 200 <= status < 300:
            return False
        self.journal.acknowledged.append(
            Acknowledged(request_id, json.loads(body)["id"], hashlib.sha256(body).digest())
        )
        return True
