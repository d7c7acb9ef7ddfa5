"""The life of a process: one event loop, SIGTERM and SIGINT end it in order, loops are `run()` around
`run_once`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from runtime import telemetry, tracing

type_main = Callable[[asyncio.Event], Coroutine[Any, Any, int | None]]
"""What a process runs: it gets the event that says "stop", and may return an exit code."""


def run(process: str, main: type_main, raises: tuple[type[Exception], ...] = ()) -> int:
    """Run `main` until it returns; SIGTERM and SIGINT set its stop event. Returns the exit code: 1 for a
    fault that nobody has caught, which is told by type and place like any other. Those of `raises` the caller
    tells itself.
    """
    telemetry.configure(process)
    tracing.start(process, instance())

    async def body() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await main(stop) or 0

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(body())
    except raises:
        raise
    except Exception as error:  # noqa: BLE001 - Python's own last words would show the text of the exception
        telemetry.logger().error("process_failed", exc_info=error)
        return 1
    finally:
        tracing.stop()


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `seconds` or until the process is to stop; True when it is to stop."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


async def every(
    seconds: float, stop: asyncio.Event, what: str, run_once: Callable[[], Awaitable[object]]
) -> None:
    """Call `run_once` now and every `seconds` until stopped; an error is logged and the next turn comes all
    the same.
    """
    while not stop.is_set():
        try:
            await run_once()
        except Exception as error:  # noqa: BLE001 - the loop is the last resort: it must outlive every fault of a turn
            telemetry.logger().error("turn_failed", loop=what, exc_info=error)
        await pause(stop, seconds)


def instance() -> str:
    """This process's name in heartbeats: host and pid."""
    return f"{socket.gethostname()}:{os.getpid()}"
