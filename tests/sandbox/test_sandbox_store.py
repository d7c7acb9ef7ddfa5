"""The books on disk: those of the first edition are brought up to date without losing a row."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from psp.sandbox import store
from psp.sandbox.records import Movement, Transfer
from psp.sandbox.store import Store

SQL = Path(store.__file__).parent / "sql"
COLUMNS = "id, created, kind, source, amount, currency, payer, payee"


def test_books_of_the_first_edition_are_brought_up_to_date(tmp_path: Path) -> None:
    """What they hold stays in its place, then they take what the first edition refused, twice opened."""
    path = tmp_path / "sandbox.sqlite3"
    with sqlite3.connect(path) as old:
        old.executescript((SQL / "schema.sql").read_text())
        old.execute(
            f"INSERT INTO movement ({COLUMNS}) VALUES "
            "('txn_1', 7, 'charge', 'ch_1', 289, 'usd', 'customers', 'merchant')"
        )
    old.close()
    for number in range(2):
        books = Store(path)
        movement = Movement(
            id=f"txn_tr{number}",
            created=8,
            kind="transfer",
            source=f"tr_{number}",
            amount=100,
            currency="usd",
            payer="merchant",
            payee="sellers",
        )
        transfer = Transfer(
            id=f"tr_{number}",
            created=8,
            amount=100,
            currency="usd",
            destination="acct_1",
            metadata={},
            chaos_number=0,
        )
        books.insert(movement)
        books.insert(transfer)
        totals = {row["kind"]: row["total"] for row in books.rows("movement_totals")}
        kept = books.many(Movement, "list_movement", source="ch_1")
        books.close()

        assert totals == {"charge": 289, "transfer": 100 * (number + 1)}
        assert [(each.id, each.created, each.amount) for each in kept] == [("txn_1", 7, 289)]
