"""Reads the audit log as the superuser, to hold what the receiver stored against what was sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import asyncpg


@dataclass(frozen=True)
class LogRows:
    """Look-ups in one database's log and inbox."""

    connection: asyncpg.Connection

    async def of_request(self, request_id: str) -> list[asyncpg.Record]:
        """All log rows of one sender, oldest first."""
        return await self.connection.fetch(
            "SELECT *, host(source_ip) AS address FROM webhook_log WHERE request_id = $1 "
            "ORDER BY id, batch_ordinal",
            request_id,
        )

    async def verdicts(self, request_id: str) -> list[str]:
        """The verdicts of one sender's rows, oldest first."""
        return [row["verdict"] for row in await self.of_request(request_id)]

    async def requests_of(self, address: str) -> dict[str, int]:
        """How many deliveries of one address the log accounts for, rows and aggregates together, by
        verdict."""
        rows = await self.connection.fetch(
            "SELECT verdict, sum(requests)::bigint AS requests FROM webhook_log "
            "WHERE source_ip = $1::text::inet GROUP BY 1",
            address,
        )
        return {row["verdict"]: row["requests"] for row in rows}

    async def rows_of(self, address: str) -> list[asyncpg.Record]:
        """All log rows of one address."""
        return await self.connection.fetch(
            "SELECT * FROM webhook_log WHERE source_ip = $1::text::inet", address
        )

    async def event(self, source: str, event_id: str) -> asyncpg.Record | None:
        """The inbox row of an event."""
        return await self.connection.fetchrow(
            "SELECT * FROM webhook_event WHERE source = $1 AND event_id = $2", source, event_id
        )


def kept_headers(row: asyncpg.Record) -> dict[str, Any]:
    """The allow-listed headers that a row kept, by lower-case name."""
    return {name.lower(): value for name, value in json.loads(row["headers"])}
