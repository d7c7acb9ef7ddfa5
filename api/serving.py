"""Listens: aiohttp's server, its refusals in our shape. Must never echo bytes of a request it cannot read."""

from __future__ import annotations

import asyncio

from aiohttp import web

from api import answers, errors
from api.guard import request_id_of
from runtime import limits, telemetry

SHUTDOWN_S = 10.0
"""Running requests get this long at a stop; the longest query is cut off after as long."""


class ApiProtocol(web.RequestHandler):
    """One connection; what the HTTP parser refuses is answered as JSON like everything else."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that reached no handler; the texts given are left out: they echo it."""
        request_id = request_id_of(())
        if status >= 500:
            telemetry.logger().error("protocol_failed", request_id=request_id, exc_info=exc)
        answer = answers.refusal(errors.of_status(status), request_id)
        answers.complete(answer, request_id)
        answer.force_close()
        return answer


class Listener:
    """An application on a port, from `start` to `stop`."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which is a free one for port 0. Raises OSError when the port is taken."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        manager = self._runner.server
        assert manager is not None

        def connection() -> ApiProtocol:
            return ApiProtocol(
                manager,
                loop=loop,
                auto_decompress=False,
                keepalive_timeout=limits.keepalive_idle_s,
                lingering_time=limits.lingering_s,
            )

        self._server = await loop.create_server(connection, host, port, backlog=256)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take no new connections, let running requests finish, then release what the application holds."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
