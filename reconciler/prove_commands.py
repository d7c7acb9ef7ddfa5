"""`python -m reconciler prove`: says whether the live state is what today's rules make of the log. Wires
and words only.

Run from a working tree with changed rules it tells what a deploy would have made of every event so far.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections import Counter
from datetime import UTC, datetime

from db import log_ids
from db.pool import REFUSED, WORLD_IS_BUSY
from db.prove import CannotMakeScratchError
from reconciler import prove
from reconciler.prove import Proof, RebuildError
from reconciler.prove_compare import Difference
from reconciler.prove_progress import Progress
from runtime.settings import Settings

EQUAL, DIFFERENT, CANNOT_SAY = 0, 1, 2
"""Exit statuses."""

_GIVEN = {
    "account": "accounts that no event opened",
    "checkout_session": "checkout sessions as our API opened them",
    "state_transition": "journal entries of those",
    "ledger_transaction": "movements of money by hand",
}
_NOT_COMPARED = (
    "not compared, because events do not make it, or not alike twice: ids and times of our own clock, notes,"
    " alerts, conflicts, how calls to a PSP ended, idempotency keys, credentials and cards"
)
_outcomes_shown_max = 20


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Make the subcommand."""
    proving = commands.add_parser(
        "prove",
        help="rebuild all state from the log with this code's rules and compare it with the live state",
    )
    proving.add_argument(
        "--since",
        type=_time,
        metavar="TIME",
        help="replay the log from here on (ISO 8601, UTC unless told), leaving out what is older",
    )


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


async def run(settings: Settings, since: datetime | None, stop: asyncio.Event) -> int:
    """Prove and say what was found; returns the exit status."""
    from_id = 0 if since is None else log_ids.span_of_time(since, None, None).id_from
    proving = asyncio.create_task(prove.run(settings, from_id, Progress(sys.stderr)))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({proving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not proving.done():
        proving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await proving
        return _cannot_say("stopped")
    try:
        proof = proving.result()
    except CannotMakeScratchError:
        return _cannot_say("the login of DATABASE_URL may not make a scratch database (CREATEDB)")
    except RebuildError as error:
        return _cannot_say(str(error))
    except (*WORLD_IS_BUSY, REFUSED) as error:
        return _cannot_say(f"the database: {type(error).__name__}")
    sys.stdout.write("\n".join(said(proof)) + "\n")
    if proof.different:
        return DIFFERENT
    return CANNOT_SAY if proof.gone.events else EQUAL


def _cannot_say(why: str) -> int:
    sys.stderr.write(f"cannot say: {why}\n")
    return CANNOT_SAY


def said(proof: Proof) -> list[str]:
    """The answer in lines: what was replayed, what was given, a table, and the verdict."""
    lines = [f"replayed {proof.events} events of the log up to {proof.at.isoformat(timespec='seconds')}"]
    if proof.waiting:
        lines.append(f"{proof.waiting} events wait for their outcome and have changed nothing yet")
    if proof.gone.events:
        lines.append(
            f"retention has taken the payloads of {proof.gone.events} events;"
            f" replayed from log id {proof.from_id} on"
        )
    given = [f"{count} {_GIVEN[table]}" for table, count in proof.given.items() if count and table in _GIVEN]
    given += [f"{found.by_hand} events resolved by operators" for found in proof.tables if found.by_hand]
    lines.append("given, not from the log: " + ("; ".join(given) or "nothing"))
    lines.append(_NOT_COMPARED)
    lines.append(f"{'table':<22}{'rows':>10}{'different':>11}{'by order':>10}{'from before':>13}")
    lines += [
        f"{found.table:<22}{found.rows:>10}{found.different:>11}{found.ordered:>10}{found.before:>13}"
        for found in proof.tables
    ]
    outcomes: Counter[tuple[str, str]] = sum((found.outcomes for found in proof.tables), Counter())
    lines += [
        f"outcome {live} -> {rebuilt}: {count} events"
        for (live, rebuilt), count in outcomes.most_common(_outcomes_shown_max)
    ]
    lines += [_difference(found.first) for found in proof.tables if found.first is not None]
    if not proof.different:
        lines.append("equal: the live state is what these rules make of the log")
        if proof.before:
            lines.append(f"{proof.before} rows have a history from before and cannot be rebuilt")
        if proof.gone.events:
            from_here = log_ids.span_of_id(proof.gone.last_id).received_until.isoformat()
            lines.append(f"cannot say more; --since {from_here} leaves out what cannot be rebuilt")
    return lines


def _difference(first: Difference) -> str:
    where = "" if first.column is None else f" column {first.column}:"
    values = f"live {first.live}, rebuilt {first.rebuilt}"
    return f"first difference: table {first.table} key {first.key}{where} {values}"
