"""Loads the named queries of `sql/queries`; the only bridge from SQL text to Python.

A query is `-- name: some_name`, a comment line that says its purpose, then SQL up to the next name. Names are
unique over all files. A test PREPAREs each one against the real schema and fails on one that nobody uses.
"""

from __future__ import annotations

import re
from pathlib import Path

SQL_DIR = Path(__file__).resolve().parent.parent / "sql"
_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


class Queries:
    """The queries of one file as attributes: `EVENTS.claim_due` is SQL text."""

    def __init__(self, file: str) -> None:
        parts = _NAME.split((SQL_DIR / "queries" / file).read_text(encoding="utf-8"))
        self.by_name: dict[str, str] = {}
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            if name in self.by_name:
                raise ValueError(f"{file} holds two queries named {name}")
            self.by_name[name] = text.strip().rstrip(";")

    def __getattr__(self, name: str) -> str:
        try:
            return self.by_name[name]
        except KeyError:
            raise AttributeError(f"no query named {name}") from None


EVENTS = Queries("events.sql")
CREDITS = Queries("credits.sql")
ORDERS = Queries("orders.sql")
PLANS = Queries("plans.sql")
REVERSALS = Queries("reversals.sql")
LEDGER = Queries("ledger.sql")
SUBSCRIPTIONS = Queries("subscriptions.sql")
OPERATIONS = Queries("operations.sql")
OUTBOX = Queries("outbox.sql")
TRACES = Queries("traces.sql")
CHECKS = Queries("checks.sql")
RECONCILE = Queries("reconcile.sql")
