"""`python -m ingest`: the thin receiver. One process, or a parent of INGEST_PROCESSES that share the port."""

from __future__ import annotations

import os
import sys

from ingest import fleet
from runtime import process, settings


def main() -> int:
    """Run the receiver to its end; returns the exit code."""
    configuration = settings.load_or_exit()
    is_child = fleet.LIFELINE_VARIABLE in os.environ
    if configuration.ingest_processes > 1 and not is_child:
        return process.run("ingest", lambda stop: fleet.run(configuration, stop))
    # Imported here because prometheus_client decides at import whether it counts for one process or several.
    from ingest import app  # noqa: PLC0415

    return app.run_one(configuration, share_port=is_child)


if __name__ == "__main__":
    sys.exit(main())
