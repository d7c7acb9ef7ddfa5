"""Wires one receiver process: database, writer, doorbell, server, health. Decides nothing about
deliveries.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from aiohttp import web

from db import events, pool, traces
from db.events import Delivery
from db.pool import type_connection
from ingest import fleet, handler, metrics, rows
from ingest.refusals import RefusalBudget
from ingest.server import ReceiverServer, json_answer
from ingest.writer import GroupCommit, NotCommittedError
from psp import providers
from runtime import limits, ports, process, telemetry
from runtime.doorbell import Doorbell
from runtime.sender_address import SenderAddress
from runtime.settings import Settings, refuse_to_start

_ROLE = "sluice_ingest"
_READY_TIMEOUT_S = 1.0
_STARTUP_CHECK_S = 5.0
_HEALTH_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})


class NotDurableError(ConnectionError):
    """This Postgres may lose what it has acknowledged; to the receiver it is as good as absent."""


class ReceiverProcess:
    """One process that listens on the receiver's port."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        try:
            self._endpoints = providers.endpoints(settings)
        except providers.EndpointError as error:
            refuse_to_start([str(error)])
        self._budget = RefusalBudget()
        self._doorbell = Doorbell(settings.redis_url)
        self._late_heads_counted = 0
        self._rings_counted: Counter[str] = Counter()

    async def serve(self, stop: asyncio.Event, share_port: bool) -> int:
        """Listen until `stop`; then finish what runs, commit what waits, and return the exit code."""
        faults = await self._durability_faults_at_start()
        if faults:
            refuse_to_start(faults)
        self._writer = GroupCommit(self._connect, self._committed, self._settings.ingest_processes)
        receiver = handler.Receiver(
            self._endpoints,
            self._writer,
            self._budget,
            self._settings.webhook_max_bytes,
            SenderAddress(self._settings.trusted_proxies),
            self._health,
        )
        runner = await self._listen(receiver, share_port)
        background = [
            asyncio.create_task(self._server.close_late_heads()),
            asyncio.create_task(
                process.every(
                    limits.rejected_aggregate_flush_s, stop, "aggregate_refusals", self._store_counted
                )
            ),
        ]
        telemetry.logger().info(
            "listening",
            port=self._settings.ingest_port,
            endpoints=sorted(self._endpoints),
            instance=process.instance(),
        )
        await stop.wait()
        await runner.cleanup()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await self._store_counted()
        await self._writer.close()
        await self._doorbell.close()
        telemetry.logger().info("stopped")
        return 0

    async def _listen(self, receiver: handler.Receiver, share_port: bool) -> web.ServerRunner:
        """Open the port; a port that cannot be had is a refused setting."""
        self._server = ReceiverServer(receiver)
        runner = web.ServerRunner(
            self._server, shutdown_timeout=limits.commit_deadline_s + limits.body_deadline_s
        )
        await runner.setup()
        site = web.TCPSite(
            runner,
            self._settings.ingest_host,
            self._settings.ingest_port,
            reuse_port=share_port,
            backlog=1024,
        )
        try:
            await site.start()
        except OSError as error:
            telemetry.logger().error("cannot_listen", port=self._settings.ingest_port, exc_info=error)
            refuse_to_start([f"{ports.setting('INGEST', error)}: {error.strerror}"])
        return runner

    async def _durability_faults_at_start(self) -> list[str]:
        """Faults of the server's settings; none when it cannot be asked yet: then every later connection is
        checked.
        """
        try:
            async with asyncio.timeout(_STARTUP_CHECK_S):
                connection = await pool.connect(self._settings.database_url, _ROLE, "sluice-ingest")
        except (*pool.WORLD_IS_BUSY, pool.REFUSED) as error:
            telemetry.logger().warning("database_away", exc_info=error)
            return []
        try:
            return await pool.durability_faults(connection)
        finally:
            await connection.close()

    async def _connect(self) -> type_connection:
        connection = await pool.connect(self._settings.database_url, _ROLE, "sluice-ingest")
        faults = await pool.durability_faults(connection)
        if faults:
            connection.terminate()
            telemetry.logger().error("not_durable", faults=faults)
            raise NotDurableError("; ".join(faults))
        await events.remember_addresses(connection)
        return connection

    def _committed(self, written: list[Delivery], seconds: float) -> None:
        self._doorbell.ring()
        metrics.FLUSH_ROWS.observe(len(written))
        metrics.FLUSH_SECONDS.observe(seconds)
        metrics.QUEUE_ROWS.set(self._writer.depth)
        for endpoint, count in Counter(row.endpoint for row in written if row.verdict == "ok").items():
            metrics.DELIVERIES.labels(endpoint, "ok").inc(count)
        traces.received(written, seconds)

    async def _store_counted(self) -> None:
        """Turn the refusals counted beyond the budget into aggregate rows."""
        for outcome, total in self._doorbell.counts.items():
            metrics.RINGS.labels(outcome).inc(total - self._rings_counted[outcome])
        self._rings_counted = Counter(self._doorbell.counts)
        metrics.LATE_HEADS.inc(self._server.late_heads - self._late_heads_counted)
        self._late_heads_counted = self._server.late_heads
        for counted, requests in self._budget.take_counted().items():
            try:
                await self._writer.submit(rows.aggregate_row(counted, requests))
            except NotCommittedError:
                self._budget.give_back({counted: requests})

    async def _health(self, path: str, method: str) -> web.StreamResponse | None:
        if path in _HEALTH_PATHS and method not in ("GET", "HEAD"):
            answer = json_answer(405, b'{"error":"Method not allowed"}', {"Allow": "GET, HEAD"})
            answer.force_close()
            return answer
        if path == "/health/live":
            return json_answer(200, b'{"status":"live"}')
        if path == "/health/ready":
            ready = await self._can_commit()
            return (
                json_answer(200, b'{"status":"ready"}')
                if ready
                else json_answer(503, b'{"status":"not ready"}')
            )
        if path == "/metrics":
            answer = web.Response(body=metrics.exposition(), content_type="text/plain", charset="utf-8")
            answer.headers["Server"] = "sluice"
            return answer
        return None

    async def _can_commit(self) -> bool:
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                connection = await self._connect()
                try:
                    return await pool.can_commit(connection)
                finally:
                    connection.terminate()
        except (*pool.WORLD_IS_BUSY, pool.REFUSED):
            return False


def run_one(settings: Settings, share_port: bool) -> int:
    """Run one receiver process to its end; returns the exit code, 78 when settings are refused."""

    async def main(stop: asyncio.Event) -> int:
        if share_port:
            fleet.stop_when_parent_dies(stop)
        return await ReceiverProcess(settings).serve(stop, share_port)

    return process.run("ingest", main)
