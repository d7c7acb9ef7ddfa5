"""Verifies the log against its seals and names the first bad row. Reads only, and never claims what it cannot
know: rows that no seal vouches for yet are counted, and an end that was cut off together with its seals is
found only with a head that was kept outside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from db import log_ids, seals
from db.pool import type_connection
from db.seals import StoredSeal
from reconciler.prove_progress import Progress
from reconciler.seal import before_the_first, seal_of

_seals_at_once = 50
"""Seals of one read: 40 bytes a row, so a few megabytes."""
_digest_bytes = 32


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is not as it was sealed: `edited`, `missing`, `inserted`, `seal` or `cut`.

    `log_id` is the bad row; with `cut` and `seal` the last one that is still vouched for (0: none).
    """

    what: str
    log_id: int
    detail: str


@dataclass
class Report:
    """What a verification saw. `gone` rows were taken by retention and are still vouched for by the chain;
    `unsealed` ones lie beyond the last seal.
    """

    fault: Fault | None = None
    seals: int = 0
    rows: int = 0
    gone: int = 0
    unsealed: int = 0
    head: bytes = before_the_first
    last_id: int = 0
    anchor_seen: bool = field(default=False, repr=False)


async def verify(
    connection: type_connection, keep_from: datetime, anchor: bytes | None, progress: Progress
) -> Report:
    """Check every seal and every row; stops at the first fault.

    Rows received before `keep_from` may be missing: retention takes them. `anchor` is the hash of some seal
    that was written down outside this database.
    """
    report = Report()
    newest = await seals.head(connection)
    total = 0 if newest is None else newest.number
    while following := await seals.after(connection, report.seals, _seals_at_once):
        for seal in following:
            report.fault = _seal_fault(report, seal) or await _rows_fault(connection, report, seal, keep_from)
            if report.fault is not None:
                return report
            report.seals, report.head, report.last_id = seal.number, seal.seal, seal.row_ids[-1]
            report.anchor_seen |= seal.seal == anchor
            progress.show("verifying", report.seals, total, f"{report.rows} rows")
    if anchor is not None and not report.anchor_seen:
        detail = f"the anchored head is not in the chain, which ends with seal {report.seals}"
        report.fault = Fault("cut", report.last_id, detail)
        return report
    misplaced = await seals.misplaced(connection)
    if misplaced is not None:
        report.fault = Fault("inserted", misplaced, "its id does not tell the time of its receipt")
    report.unsealed = await seals.unsealed(connection, report.last_id)
    return report


def _seal_fault(report: Report, seal: StoredSeal) -> Fault | None:
    """What is wrong with a seal itself; its rows are not looked at."""
    if seal.number != report.seals + 1:
        return Fault("seal", report.last_id, f"seal {report.seals + 1} is missing")
    if seal.previous != report.head:
        return Fault("seal", report.last_id, f"seal {seal.number} does not follow the one before it")
    if seal.seal != seal_of(seal.number, seal.previous, seal.row_ids, seal.row_digests):
        return Fault("seal", report.last_id, f"seal {seal.number} was changed")
    return None


async def _rows_fault(
    connection: type_connection, report: Report, seal: StoredSeal, keep_from: datetime
) -> Fault | None:
    """The first row between the last seal and this one that is not as it was."""
    # One more than there should be: whatever was put in between shows among them.
    rows = await seals.rows_to_hash(
        connection, report.last_id, seal.row_ids[-1], rows_max=len(seal.row_ids) + 1
    )
    stored, at = seal.row_digests, 0
    for place, row_id in enumerate(seal.row_ids):
        if at < len(rows) and rows[at][0] < row_id:
            return Fault("inserted", rows[at][0], f"seal {seal.number} does not know it")
        if at == len(rows) or rows[at][0] > row_id:
            if log_ids.span_of_id(row_id).received_from >= keep_from:
                return Fault("missing", row_id, f"seal {seal.number} knows it")
            report.gone += 1
            continue
        digest = hashlib.sha256(rows[at][1]).digest()
        if digest != stored[place * _digest_bytes : (place + 1) * _digest_bytes]:
            return Fault("edited", row_id, f"seal {seal.number} knows it with other contents")
        at += 1
        report.rows += 1
    return _beyond(rows[at:], seal)


def _beyond(rows: Sequence[tuple[int, bytes]], seal: StoredSeal) -> Fault | None:
    return Fault("inserted", rows[0][0], f"seal {seal.number} does not know it") if rows else None
