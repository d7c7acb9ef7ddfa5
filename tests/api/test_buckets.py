"""The token bucket as arithmetic: time goes in, seconds to wait come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.buckets import TokenBuckets


def test_burst_then_one_per_second() -> None:
    """Ten at once pass, the eleventh waits a second, and each second brings one more."""
    buckets = TokenBuckets(10, 1.0)

    assert [buckets.take("u", 100.0) for _ in range(10)] == [0.0] * 10
    assert buckets.take("u", 100.0) == pytest.approx(1.0)
    assert buckets.take("u", 100.25) == pytest.approx(0.75)
    assert buckets.take("u", 101.0) == 0.0
    assert buckets.take("u", 101.0) == pytest.approx(1.0)


def test_asking_in_vain_costs_nothing() -> None:
    """Whoever asks while refused does not wait longer for it."""
    buckets = TokenBuckets(1, 1.0)
    buckets.take("u", 0.0)
    for tenth in range(1, 10):
        buckets.take("u", tenth / 10)

    assert buckets.take("u", 1.0) == 0.0


def test_keys_are_apart() -> None:
    """One user's haste is not another's."""
    buckets = TokenBuckets(1, 1.0)
    buckets.take("a", 0.0)

    assert (buckets.take("a", 0.0) > 0, buckets.take("b", 0.0)) == (True, 0.0)


def test_memory_is_bounded_by_recent_users() -> None:
    """A bucket that is full again is forgotten, and nobody gains by that."""
    buckets = TokenBuckets(10, 1.0)
    for number in range(5_000):
        buckets.take(f"user-{number}", number / 100)

    assert len(buckets) <= 1_001


def test_clock_that_stands_still_or_steps_back_gives_nothing() -> None:
    """Tokens come from time that has passed only."""
    buckets = TokenBuckets(1, 1.0)
    buckets.take("u", 10.0)

    assert buckets.take("u", 9.0) > 0


@given(st.lists(st.floats(0, 2), min_size=1, max_size=80))
def test_never_more_than_capacity_and_refill(pauses: list[float]) -> None:
    """However requests are spread, those that pass never exceed the capacity plus what time refilled."""
    buckets = TokenBuckets(10, 1.0)
    now = passed = 0.0
    for pause in pauses:
        now += pause
        passed += buckets.take("u", now) == 0.0

        assert passed <= 10 + now + 1e-6
