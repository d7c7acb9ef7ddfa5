"""A TCP forwarder that a test can switch on and off: a database that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib


class Forwarder:
    """Forwards a port of 127.0.0.1 to another while it is on."""

    def __init__(self, port: int, target_host: str, target_port: int) -> None:
        self._port = port
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def on(self) -> None:
        """Listen and forward."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    async def off(self) -> None:
        """Stop listening and cut what is connected."""
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        there, back = await asyncio.open_connection(*self._target)
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            for each in (writer, back):
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()
            self._running.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
