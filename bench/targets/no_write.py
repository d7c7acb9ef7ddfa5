"""Our own receiver with the write replaced by nothing: what the write costs. Acknowledges what it never
kept, so it must never be anything but a bench's yardstick.
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop
from aiohttp import web

from bench import bodies
from db.events import Delivery
from ingest.handler import Receiver
from ingest.refusals import RefusalBudget
from ingest.server import ReceiverServer
from ingest.writer import type_settle
from psp import providers
from runtime import limits, settings
from runtime.sender_address import SenderAddress


class Nothing:
    """A writer that has written as soon as it is asked to."""

    def __init__(self) -> None:
        self._written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._written.set_result(None)

    def submit(self, _delivery: Delivery) -> asyncio.Future[None]:
        """Done already."""
        return self._written

    def hand_in(self, _delivery: Delivery, settle: type_settle) -> None:
        """Done already."""
        settle(None)


async def _no_health(_path: str, _method: str) -> web.StreamResponse | None:
    return None


async def _serve(port: int) -> None:
    configuration = settings.load_or_exit()
    receiver = Receiver(
        providers.endpoints(configuration),
        Nothing(),
        RefusalBudget(),
        limits.webhook_bytes_max_default,
        SenderAddress(configuration.trusted_proxies),
        _no_health,
    )
    server = ReceiverServer(receiver)
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await server.close_late_heads()


def main() -> None:
    """Listen on the port of the command line."""
    os.environ.setdefault("STRIPE_WEBHOOK_SECRETS", bodies.SECRET)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
