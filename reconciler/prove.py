"""Proves that the live state is what today's rules make of the log: has the log rebuilt in a scratch
database and compares. Sees the live database in one snapshot and never writes to it.

The rebuild is the worker's own code in a process of its own: the one writer of state stays the one writer,
and what is proved is the code that runs, down to its SQL.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from db import pool, prove
from db.pool import type_connection
from db.prove import Gone, Snapshot
from reconciler.prove_compare import Flags, Found, compare
from reconciler.prove_progress import Progress
from runtime.settings import Settings

_ROOT = Path(__file__).resolve().parent.parent
_line_bytes_max = 2**24
"""One line of the rebuild holds some thousand flags."""
_end_s_max = 10.0


class RebuildError(Exception):
    """The rebuild did not come to its end."""


@dataclass
class Proof:
    """What a run found. `events` were replayed, `waiting` have no outcome yet; `given` counts what is there
    without any event; `gone` are payloads that retention has taken.
    """

    at: datetime
    from_id: int
    gone: Gone
    events: int
    waiting: int
    given: dict[str, int] = field(default_factory=dict)
    tables: list[Found] = field(default_factory=list)

    @property
    def different(self) -> int:
        """Rows that should be equal and are not."""
        return sum(found.different for found in self.tables)

    @property
    def before(self) -> int:
        """Rows that cannot be rebuilt."""
        return sum(found.before for found in self.tables)


async def run(settings: Settings, from_id: int, progress: Progress) -> Proof:
    """Rebuild from this log id on and compare; what retention has taken moves the start.

    Raises RebuildError, db.prove.CannotMakeScratchError, or an error of the database.
    """
    live = await pool.connect(settings.database_url, "sluice_reconciler", "sluice-prove")
    try:
        async with prove.snapshot(live) as snapshot:
            gone = await prove.payloads_gone(live, from_id)
            from_id = max(from_id, gone.last_id + 1)
            events, waiting = await prove.events_to_rebuild(live, from_id)
            proof = Proof(snapshot.at, from_id, gone, events, waiting)
            name = f"sluice_prove_{secrets.token_hex(6)}"
            async with prove.scratch(settings.database_url, name) as dsn:
                scratch = await prove.connect_scratch(dsn)
                try:
                    proof.given = await prove.copy_given(live, scratch)
                    flags = await _rebuilt(name, snapshot, proof, progress)
                    proof.given |= await prove.copy_given_money(live, scratch)
                    flags.accounts_before = await prove.accounts_from_before(live, from_id)
                    proof.tables = await _compared(live, scratch, flags, progress)
                finally:
                    await scratch.close()
    finally:
        await live.close()
        progress.end()
    return proof


async def _rebuilt(name: str, snapshot: Snapshot, proof: Proof, progress: Progress) -> Flags:
    """Let a worker rebuild into this scratch database; returns what it says of order."""
    rebuild = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "workers.rebuild", "--database", name, "--snapshot", snapshot.name),
        *("--from-id", str(proof.from_id), "--at", snapshot.at.isoformat()),
        stdout=PIPE,
        cwd=_ROOT,
        limit=_line_bytes_max,
    )
    assert rebuild.stdout is not None
    flags, over = Flags(proof.from_id), False
    try:
        progress.show("rebuilding", 0, proof.events)
        async for line in rebuild.stdout:
            told = _told(line)
            if told is None:
                sys.stderr.buffer.write(line)
                continue
            for source, key, flag in told.get("keys", ()):
                flags.keys[source, key] = flag
            flags.events.update(dict(told.get("events", ())))
            over = over or "over" in told
            if "done" in told:
                progress.show("rebuilding", told["done"], proof.events, f"{told['done']} events")
        if await rebuild.wait() != 0 or not over:
            raise RebuildError(f"the rebuild ended with status {rebuild.returncode}")
    finally:
        if rebuild.returncode is None:
            rebuild.terminate()
            async with asyncio.timeout(_end_s_max):
                await rebuild.wait()
    return flags


def _told(line: bytes) -> dict[str, Any] | None:
    """What the rebuild says; None for a line of its log."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    told = said.get("rebuilt") if isinstance(said, dict) else None
    return told if isinstance(told, dict) else None


async def _compared(
    live: type_connection, scratch: type_connection, flags: Flags, progress: Progress
) -> list[Found]:
    found = []
    async with scratch.transaction(readonly=True):
        for number, (table, (_, key_columns)) in enumerate(prove.COMPARED.items()):
            progress.show("comparing", number, len(prove.COMPARED), table)
            found.append(
                await compare(
                    table, key_columns, prove.rows_of(live, table), prove.rows_of(scratch, table), flags
                )
            )
    progress.show("comparing", 1, 1)
    return found
