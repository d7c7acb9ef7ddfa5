"""The naive receiver and its worker, well tuned: one insert and one arq job per request, one transaction
per job. What people write first; compared with, never used.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from aiohttp import web
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Worker, func

from bench import bodies
from db import pool
from db.pool import type_pool
from db.queries import Queries
from runtime import clock

NAIVE = Queries(str(Path(__file__).parents[1] / "sql" / "naive.sql"))
_QUEUE = "naive"
_CONNECTIONS = 16
"""Postgres connections: more gain nothing on the machines this was tuned on."""


class _Event(msgspec.Struct):
    id: str
    type: str


_decode = msgspec.json.Decoder(_Event).decode


def _signed(body: bytes, header: str) -> bool:
    parts = dict(part.split("=", 1) for part in header.split(","))
    digest = hmac.new(bodies.SECRET.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return abs(clock.now_unix_s() - int(parts["t"])) <= 300 and hmac.compare_digest(digest, parts["v1"])


class _Receiver:
    def __init__(self, connections: type_pool, queue: ArqRedis) -> None:
        self._connections = connections
        self._queue = queue

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not _signed(body, request.headers.get("Stripe-Signature", "")):
            return web.json_response({"error": "Invalid signature"}, status=400)
        event = _decode(body)
        async with self._connections.acquire() as connection:
            request_id = request.headers.get("X-Request-Id")
            row_id = await connection.fetchval(
                NAIVE.insert_event, event.id, event.type, body.decode(), request_id
            )
        if row_id is not None:
            await self._queue.enqueue_job("process", row_id, _queue_name=_QUEUE)
        return web.Response(body=b'{"received":true}', content_type="application/json")


async def _receive(port: int) -> None:
    connections = await pool.create_pool(os.environ["DATABASE_URL"], "postgres", "naive", _CONNECTIONS)
    queue = await create_pool(RedisSettings.from_dsn(os.environ["REDIS_URL"]))
    app = web.Application()
    app.router.add_post("/webhooks/stripe", _Receiver(connections, queue).answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


async def _process(ctx: dict[Any, Any], row_id: int) -> None:
    async with ctx["connections"].acquire() as connection, connection.transaction():
        payload = await connection.fetchval(NAIVE.read_event, row_id)
        if payload is None:
            return
        subject = msgspec.json.decode(payload)["data"]["object"]
        metadata = subject.get("metadata") or {}
        if metadata.get("purpose") == "credits_topup":
            await connection.execute(
                NAIVE.credit, subject["id"], metadata["accountId"], int(metadata["credits"])
            )
        await connection.execute(NAIVE.mark_processed, row_id)


async def _work() -> None:
    connections = await pool.create_pool(os.environ["DATABASE_URL"], "postgres", "naive", _CONNECTIONS)
    worker = Worker(
        [func(_process, name="process", max_tries=5)],
        redis_settings=RedisSettings.from_dsn(os.environ["REDIS_URL"]),
        queue_name=_QUEUE,
        poll_delay=0.01,
        keep_result=0,
        max_jobs=_CONNECTIONS,
        log_results=False,
        handle_signals=False,
        ctx={"connections": connections},
    )
    await worker.async_run()


def main() -> None:
    """`receive PORT` or `work`."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_receive(int(sys.argv[2])) if sys.argv[1] == "receive" else _work())


if __name__ == "__main__":
    main()
