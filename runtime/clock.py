"""The one place that reads wall time, so that every decision elsewhere takes time as an argument."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Current time, timezone-aware UTC."""
    return datetime.now(UTC)


def now_unix_ns() -> int:
    """Current time in nanoseconds since 1970, as traces carry it."""
    return time.time_ns()


def now_unix_s() -> int:
    """Current time in whole seconds since 1970, as signature headers carry it."""
    return int(time.time())
