"""Runs the invariant queries for `GET /ops/status`: one run at a time, and never most of the time.

The queries read whole tables. On a small database every question gets a fresh run; on a large one a run may
take seconds, and a dashboard that asks all the time must not keep the database busy with them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from runtime import clock, telemetry

wait_s_max = 5.0
"""An answer waits this long for a fresh run, then it shows the last one."""
quick_s_max = 0.5
"""After a run that took longer nobody waits for the next: a page must not become slow with the log."""
pause_per_run_s = 9.0
"""Seconds of pause after each second of run: the checks take a tenth of the time at most."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows found per invariant, and when the run that found them ended; None: no run has ended well yet."""

    found: dict[str, int]
    at: datetime | None


class Invariants:
    """Shares one run among all who ask meanwhile."""

    def __init__(self, run: Callable[[], Awaitable[dict[str, int]]]) -> None:
        self._run = run
        self._task: asyncio.Task[None] | None = None
        self._last = Checked({}, None)
        self._took_s = 0.0
        self._rest_until = 0.0

    async def latest(self) -> Checked:
        """A fresh result where one is to be had in time, else the last one."""
        if self._took_s > quick_s_max:
            return self.glance()
        if self._rest_until - time.monotonic() > wait_s_max:
            return self._last
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run_once())
        # Waited for, not awaited: this request may give up, the run belongs to the others too.
        await asyncio.wait({self._task}, timeout=wait_s_max)
        return self._last

    def glance(self) -> Checked:
        """The last result at once; a run that may begin does, for whoever asks later."""
        if self._rest_until <= time.monotonic() and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run_once())
        return self._last

    async def close(self) -> None:
        """End a run that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run_once(self) -> None:
        await asyncio.sleep(max(0.0, self._rest_until - time.monotonic()))
        started = time.monotonic()
        try:
            self._last = Checked(await self._run(), clock.now())
        except Exception as error:  # noqa: BLE001 - whatever it was, the answer shows the last result and its time
            telemetry.logger().warning("invariants_not_checked", exc_info=error)
        ended = time.monotonic()
        self._took_s = ended - started
        self._rest_until = ended + self._took_s * pause_per_run_s
