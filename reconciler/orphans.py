"""Refunds that we asked for and whose id at the PSP never came back: found at the PSP, or declared dead when
it surely has none. Never asks for a refund again.

An empty id proves nothing: a crash between the PSP's answer and our commit looks the same as a call that
never arrived. So the outbox is looked at first, then the PSP is asked by our own id and by the payment.
"""

from __future__ import annotations

from billing.commands import RefundCallEnded
from db import events, reconcile
from db.findings import Finding
from db.reconcile import Candidate
from psp.reads import Sighting
from reconciler import repair
from reconciler.compare import DELETED, MISSED, STALE
from reconciler.run import Asked, Run
from runtime import clock, limits, telemetry

PHASE = "orphan_refunds"


async def settle(run: Run, asked: Asked, candidate: Candidate) -> None:
    """Find out what became of one refund. Raises ReadError; then nothing was written."""
    refund_id = candidate.object_id
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection:
        call = await reconcile.refund_call(connection, asked.source, refund_id)
    if call is None or call["call_state"] == "pending" or call["is_known_there"]:
        return  # the outbox is still at it, or somebody was faster
    await asked.turn()
    now = clock.now_unix_s()
    found = await asked.reader.find_refund(refund_id, call["payment_id"], now)
    if found is not None:
        await _accept(run, asked, refund_id, found)
        return
    if call["call_state"] == "done":
        # The PSP gave it an id and now shows none: not our call to make.
        detail = f"refund of payment {call['payment_id']} was accepted by the PSP, which shows none"
        await repair.gone(run, asked, PHASE, refund_id, detail, DELETED)
        return
    await _refuse(run, asked, refund_id, call["payment_id"], now)


async def _accept(run: Run, asked: Asked, refund_id: str, found: Sighting) -> None:
    """The PSP has it: our log hears of its id, and then of its state."""
    said = RefundCallEnded(asked.source, refund_id, found.id)
    detail = f"refund: the PSP has it as {found.id}, {found.status}"
    if await _say(run, asked, said, refund_id, f"rec_accepted_{refund_id}", detail, found.asked_at):
        await repair.settle(run, asked, PHASE, [found])


async def _refuse(run: Run, asked: Asked, refund_id: str, payment_id: str, now: int) -> None:
    """The PSP surely has none, and no call is on its way any more: the order may go on."""
    said = RefundCallEnded(asked.source, refund_id, None)
    detail = f"refund: the PSP has no refund of payment {payment_id} under our id; the call has ended"
    if await _say(run, asked, said, refund_id, f"rec_refused_{refund_id}", detail, now):
        telemetry.logger().error(
            "orphan_refund_ended", source=asked.source, refund_id=refund_id, payment_id=payment_id
        )


async def _say(
    run: Run, asked: Asked, said: RefundCallEnded, refund_id: str, event_id: str, detail: str, now: int
) -> bool:
    """Append a command unless it was said before or the refund has moved on; True when it was appended."""
    async with run.pool.acquire(timeout=limits.pool_acquire_s) as connection, connection.transaction():
        await reconcile.lock_appends(connection)
        call = await reconcile.refund_call(connection, asked.source, refund_id)
        if call is None or call["status"] != "pending" or call["is_known_there"]:
            return False
        known = await reconcile.events_here(connection, "sluice", [event_id])
        repaired = not known and not run.order.dry_run
        if repaired:
            await events.append(connection, [repair.command(run, said, event_id, refund_id, now)])
        finding = Finding(asked.source, MISSED if known else STALE, refund_id, detail, repaired)
        await repair.record(connection, run, PHASE, [finding])
    return repaired
