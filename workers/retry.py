"""When a failed event is tried again: pure, from the number of attempts alone. The delay itself lives in
Postgres.
"""

from __future__ import annotations

from runtime import limits


def backoff_s(attempts: int) -> float:
    """Seconds until the next try after `attempts` tries (1 or more): doubling, capped."""
    return float(min(limits.backoff_max_s, limits.backoff_first_s * 2 ** (attempts - 1)))


def is_last(attempts: int) -> bool:
    """Whether the attempt with this number was the last one."""
    return attempts >= limits.attempts_max
