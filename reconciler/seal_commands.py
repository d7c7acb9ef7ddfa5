"""`python -m reconciler verify-log` and `seal-head`: is the log as it was written, and what would prove it
later. Wires and words only; what is true is found in `seal_check`.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import timedelta

from db import operations, pool, seals
from reconciler.prove_progress import Progress
from reconciler.seal_check import Fault, Report, verify
from runtime import clock, settings

WHOLE, BAD, CANNOT_SAY = 0, 1, 2
"""Exit statuses."""

_WORDS = {
    "edited": "log row {} was edited",
    "missing": "log row {} was deleted",
    "inserted": "log row {} was put in",
    "seal": "the seals after log row {} are not what they were",
    "cut": "rows after log row {} were cut off, and their seals with them",
}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Make the two subcommands."""
    check = commands.add_parser("verify-log", help="hold the log against its seals, name the first bad row")
    check.add_argument("--anchor", metavar="HEX", help="a head that `seal-head` has printed before")
    commands.add_parser("seal-head", help="print the newest seal, to be kept outside this database")


async def head(configuration: settings.Settings) -> int:
    """Print hash, number and last log id of the newest seal; 2 when there is none."""
    connection = await pool.connect(configuration.database_url, "sluice_reconciler", "sluice-verify")
    try:
        newest = await seals.head(connection)
    finally:
        await connection.close()
    if newest is None:
        sys.stderr.write("nothing is sealed yet\n")
        return CANNOT_SAY
    sys.stdout.write(f"{newest.seal.hex()} {newest.number} {newest.last_id}\n")
    return WHOLE


async def check(configuration: settings.Settings, anchor_hex: str | None) -> int:
    """Verify, say what was found, and raise an alert for what is bad; returns the exit status."""
    try:
        anchor = None if anchor_hex is None else bytes.fromhex(anchor_hex)
    except ValueError:
        sys.stderr.write("an anchor is the hex that seal-head prints\n")
        return CANNOT_SAY
    keep_from = (clock.now() - timedelta(days=configuration.webhook_log_retention_days)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    progress = Progress(sys.stderr)
    connection = await pool.connect(configuration.database_url, "sluice_reconciler", "sluice-verify")
    try:
        began = time.monotonic()
        report = await verify(connection, keep_from, anchor, progress)
        seconds = time.monotonic() - began
        progress.end()
        if report.fault is not None:
            fault = report.fault
            await operations.raise_alerts(connection, [("log_tampered", f"log:{fault.log_id}", fault.detail)])
    finally:
        await connection.close()
    sys.stdout.write(_said(report, seconds))
    return WHOLE if report.fault is None else BAD


def _said(report: Report, seconds: float) -> str:
    speed = f"{report.rows / max(seconds, 0.001):,.0f} rows/s"
    counts = f"{report.rows} rows under {report.seals} seals ({speed})"
    if report.gone:
        counts += f"; {report.gone} payloads gone by retention, chain intact"
    if report.fault is not None:
        return f"{_sentence(report.fault)}: {report.fault.detail}\nwhole before that: {counts}\n"
    beyond = f"; {report.unsealed} rows are too young for a seal" if report.unsealed else ""
    return f"the log is whole: {counts}{beyond}\nhead {report.head.hex()} {report.seals} {report.last_id}\n"


def _sentence(fault: Fault) -> str:
    return _WORDS[fault.what].format(fault.log_id)
