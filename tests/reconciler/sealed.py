"""A log of made-up deliveries that lies in the past, sealed and ready to be tampered with."""

from __future__ import annotations

from datetime import datetime

import asyncpg

from db import pool
from reconciler.seal import Sealer

FILL = """
INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, event_id, event_type, object_id, body,
                         body_bytes, body_sha256, headers, source_ip, user_agent, request_id, batch_ordinal)
SELECT ((extract(epoch FROM at) * 1000)::bigint << 20) | n, at, 'stripe', 'stripe', 'bad_sig', 'evt_' || n,
       'refund.created', 're_' || n, body, length(body), sha256(body), '[]', '127.0.0.1', 'Stripe/1.0',
       'r' || n, (n % 500)::smallint
FROM generate_series(1, $1::integer) n,
     LATERAL (SELECT date_trunc('milliseconds', $2::timestamptz) + n * interval '7 milliseconds' AS at) t,
     LATERAL (SELECT convert_to(repeat('{"id":"evt_' || n || '"}', 1 + $3::integer / 16), 'UTF8') AS body) b
"""
"""Forgeries, because those need no event beside them."""


async def fill(connection: asyncpg.Connection, rows: int, since: datetime, body_bytes: int = 160) -> None:
    """Put rows into the log, 7 ms apart."""
    await connection.execute(FILL, rows, since, body_bytes)


async def seal_everything(dsn: str, rows_max: int = 50) -> None:
    """Seal the whole log as the reconciler does, in seals of `rows_max` rows."""
    connections = await pool.create_pool(dsn, "sluice_reconciler", "test-sealer", size_max=1)
    await Sealer(connections, rows_max).run_once(after_s=-60)
    await connections.close()
