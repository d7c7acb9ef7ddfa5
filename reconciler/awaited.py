"""Events that came before what they are about and have waited for too long: what they wait for is asked for
at the PSP and told through the log, which wakes them. Touches no event itself; one whose parent the PSP has
not either is quarantined and alarmed when its wait ends.
"""

from __future__ import annotations

from db.findings import Finding
from db.reconcile import Candidate
from psp.reads import PARENT_CALLS
from reconciler import repair
from reconciler.compare import MISSED
from reconciler.run import Asked, Run
from runtime import clock, limits

PHASE = "awaited_parents"
AFTER_S = 300.0
"""Events of one payment are sent within seconds of each other, and tried again after minutes; never longer
than the interval.
"""


async def settle(run: Run, asked: Asked, candidate: Candidate) -> None:
    """Tell of whatever explains one awaited key. Raises ReadError; what was appended before stays."""
    for _ in range(PARENT_CALLS):
        await asked.turn()
    sightings = await asked.reader.parents(candidate.read_id, clock.now_unix_s())
    waited = f"events have waited for {candidate.read_id} for {candidate.waited_s / 60:.0f} min"
    if not sightings:
        async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
            finding = Finding(asked.source, MISSED, candidate.read_id, f"{waited}; the PSP has none", False)
            await repair.record(connection, run, PHASE, [finding])
    for sighting in sightings:  # one by one: what the first has paid for, the next may give back
        await repair.settle(run, asked, PHASE, [sighting], f"; {waited}")
