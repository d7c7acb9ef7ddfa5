"""`python -m api`: audit, ops and customers' endpoints on API_HOST:API_PORT."""

from __future__ import annotations

import sys

from api import app
from runtime import process, settings


def main() -> int:
    """Run the API to its end; returns the exit code."""
    configuration = settings.load_or_exit()
    return process.run("api", lambda stop: app.serve(configuration, stop))


if __name__ == "__main__":
    sys.exit(main())
