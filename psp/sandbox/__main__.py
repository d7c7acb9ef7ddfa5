"""Starts the sandbox: `python -m psp.sandbox`. It only wires."""

from __future__ import annotations

import asyncio
import os
import sys

from runtime import clock, process
from runtime.settings import EXIT_BAD_SETTINGS, SettingsError

from .app import serve
from .desk import Desk
from .settings import from_environment


def main() -> int:
    """Serves until SIGTERM or SIGINT; exits 78 with one line per fault where the settings are not usable."""
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        for fault in error.faults:
            sys.stderr.write(f"sandbox: {fault}\n")
        return EXIT_BAD_SETTINGS

    async def body(stop: asyncio.Event) -> None:
        await serve(Desk(settings, now_s=clock.now_unix_s), stop)

    return process.run("sandbox", body)


if __name__ == "__main__":
    sys.exit(main())
