"""Applies `sql/schema` forward, then roles and views; `python -m db.migrate` is the Procfile's release line.

No process runs DDL at start: that is how a deploy queues behind a long lock and dams every query.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

import asyncpg

from db.queries import SQL_DIR
from runtime import limits, settings

_ADVISORY_LOCK = 7_825_515
"""One migration at a time per database; any constant that nothing else uses."""

_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationChangedError(Exception):
    """A migration file differs from what was applied to this database."""


async def migrate(dsn: str, schema_dir: Path = SQL_DIR / "schema") -> int:
    """Bring the database to today's schema; safe to run from several processes at once.

    Returns the number of migrations applied. Raises MigrationChangedError when an applied file was edited.
    """
    connection = await asyncpg.connect(dsn)
    try:
        # Polled, not waited for: a waiter's snapshot would deadlock with CREATE INDEX CONCURRENTLY.
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _ADVISORY_LOCK):
            await asyncio.sleep(0.05)
        await connection.execute(f"SET lock_timeout = {limits.lock_timeout_ms * 5}")
        await connection.execute(_HISTORY)
        applied = await _apply_new(connection, schema_dir)
        for repeatable in ("roles.sql", "views.sql"):
            async with connection.transaction():
                await connection.execute((SQL_DIR / repeatable).read_text(encoding="utf-8"))
        return applied
    finally:
        await connection.close()


async def _apply_new(connection: asyncpg.Connection, schema_dir: Path) -> int:
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations")
    have = {row["version"]: row["checksum"] for row in rows}
    applied = 0
    for file in sorted(schema_dir.glob("[0-9]*.sql")):
        text = file.read_text(encoding="utf-8")
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if file.name in have:
            if have[file.name] != checksum:
                raise MigrationChangedError(
                    f"{file.name} was changed after it was applied; add a new migration instead"
                )
            continue
        async with connection.transaction():
            await connection.execute(text)
            await connection.execute(
                "INSERT INTO schema_migrations (version, checksum) VALUES ($1, $2)", file.name, checksum
            )
        applied += 1
    return applied


def main() -> None:
    """Migrate the database of DATABASE_URL; exit 78 when a setting is wrong, 1 and a line when it failed."""
    configuration = settings.load_or_exit()
    try:
        applied = asyncio.run(migrate(configuration.database_url))
    except (MigrationChangedError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        sys.exit(f"nothing migrated: {type(error).__name__}: {error}")
    sys.stdout.write(f"migrations applied: {applied}\n")


if __name__ == "__main__":
    main()
