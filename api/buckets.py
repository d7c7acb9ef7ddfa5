"""Token buckets in memory, one per key: how often a customer may ask. Time is an argument; nothing waits."""

from __future__ import annotations

from collections import OrderedDict


class TokenBuckets:
    """Buckets of `capacity` tokens that refill at `refill_per_s`; a bucket that is full again is forgotten.

    Memory is bounded by the keys of the last `capacity / refill_per_s` seconds.
    """

    def __init__(self, capacity: int, refill_per_s: float) -> None:
        assert capacity >= 1
        assert refill_per_s > 0
        self._capacity = capacity
        self._refill_per_s = refill_per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float) -> float:
        """Take a token at `now_s` (any clock that runs forward): 0.0, or the seconds until there is one."""
        self._forget_full(now_s)
        tokens, at = self._buckets.get(key, (float(self._capacity), now_s))
        tokens = min(self._capacity, tokens + max(0.0, now_s - at) * self._refill_per_s)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self._refill_per_s
        self._buckets[key] = (tokens if wait_s else tokens - 1, now_s)
        self._buckets.move_to_end(key)
        return wait_s

    def __len__(self) -> int:
        return len(self._buckets)

    def _forget_full(self, now_s: float) -> None:
        full_after_s = self._capacity / self._refill_per_s
        while self._buckets:
            key, (_, at) = next(iter(self._buckets.items()))
            if now_s - at < full_after_s:
                return
            del self._buckets[key]
