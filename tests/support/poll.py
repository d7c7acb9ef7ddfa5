"""The one way for a test to wait: ask again and again until a deadline; must never be a plain sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

poll_s = 0.02
"""Pause between two questions: short against everything a test waits for, long against the cost of asking."""

T = TypeVar("T")


@overload
async def until(predicate: Callable[[], Awaitable[T]], seconds: float, what: str) -> T: ...
@overload
async def until(predicate: Callable[[], T], seconds: float, what: str) -> T: ...
async def until(predicate: Callable[[], Any], seconds: float, what: str) -> Any:
    """Ask `predicate` (plain or async) until its answer is true, and return that answer.

    Raises AssertionError naming `what` and the last answer when `seconds` have passed.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = predicate()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what} (last answer: {answer!r})")
        await asyncio.sleep(poll_s)
