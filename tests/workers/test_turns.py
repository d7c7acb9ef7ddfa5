"""A batch that thinks for long lets the others go on."""

from __future__ import annotations

import asyncio

from workers.turns import in_turns, type_steps


def thought(name: str, steps: int, diary: list[str]) -> type_steps[str]:
    """A computation of so many steps that keeps a diary."""
    for _ in range(steps):
        diary.append(name)
        yield
    return f"{name} is done"


async def test_two_long_computations_go_on_side_by_side() -> None:
    """Neither waits for the end of the other, and each has its own result."""
    diary: list[str] = []
    first, second = await asyncio.gather(
        in_turns(thought("first", 3, diary)), in_turns(thought("second", 3, diary))
    )

    assert (first, second) == ("first is done", "second is done")
    assert diary == ["first", "second"] * 3


async def test_a_computation_without_a_pause_has_its_result() -> None:
    """A batch of few has no step to wait at."""
    assert await in_turns(thought("it", 0, [])) == "it is done"
