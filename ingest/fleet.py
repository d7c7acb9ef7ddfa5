"""Several receiver processes on one port: starts them, replaces one that dies, ends them with itself however
it ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile

from prometheus_client import multiprocess

from runtime import ports, process, telemetry
from runtime.settings import EXIT_BAD_SETTINGS, Settings, refuse_to_start

LIFELINE_VARIABLE = "SLUICE_INGEST_LIFELINE"
"""File descriptor of a pipe whose other end only the parent holds: end of file means that the parent is gone.
"""
_RESTART_PAUSE_S = 0.5
_PORT_TRIES = 20
"""Longer than a receiver needs to finish its last requests."""


async def run(settings: Settings, stop: asyncio.Event) -> int:
    """Keep INGEST_PROCESSES receivers alive until `stop`; returns 78 as soon as one refuses its settings."""
    if fault := await _port_fault(settings, stop):
        refuse_to_start([f"INGEST_PORT: {fault}"])
    lifeline, held = os.pipe()
    metrics_dir = tempfile.mkdtemp(prefix="sluice-ingest-metrics-")
    environment = os.environ | {LIFELINE_VARIABLE: str(lifeline), "PROMETHEUS_MULTIPROC_DIR": metrics_dir}
    refused = asyncio.Event()

    async def keep_one() -> None:
        while not stop.is_set():
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ingest",
                env=environment,
                pass_fds=(lifeline,),
                stdin=asyncio.subprocess.DEVNULL,
            )
            ended = asyncio.create_task(child.wait())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not ended.done():
                child.send_signal(signal.SIGTERM)
            code = await ended
            # Its counts stay in the sum; its gauges would stand there for ever as they were when it died.
            multiprocess.mark_process_dead(child.pid, metrics_dir)  # type: ignore[no-untyped-call]  # no types
            if code == EXIT_BAD_SETTINGS:
                refused.set()
                stop.set()
            elif not stop.is_set():
                telemetry.logger().error("receiver_died", code=code)
                await process.pause(stop, _RESTART_PAUSE_S)

    try:
        await asyncio.gather(*(keep_one() for _ in range(settings.ingest_processes)))
    finally:
        os.close(held)
        os.close(lifeline)
        shutil.rmtree(metrics_dir, ignore_errors=True)
    return EXIT_BAD_SETTINGS if refused.is_set() else 0


async def _port_fault(settings: Settings, stop: asyncio.Event) -> str | None:
    """Why the port cannot be had: another fleet would share it and take half of the deliveries.

    Receivers whose parent was killed finish what they have begun, so a taken port is asked for again.
    """
    for _ in range(_PORT_TRIES):
        fault = ports.fault(settings.ingest_host, settings.ingest_port)
        if fault is None or await process.pause(stop, _RESTART_PAUSE_S):
            return None
    return fault


def stop_when_parent_dies(stop: asyncio.Event) -> None:
    """In a child: set `stop` when the lifeline reports end of file."""
    descriptor = int(os.environ[LIFELINE_VARIABLE])
    loop = asyncio.get_running_loop()

    def readable() -> None:
        loop.remove_reader(descriptor)
        stop.set()

    loop.add_reader(descriptor, readable)
