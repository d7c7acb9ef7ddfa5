"""Makes something at Stripe once, although a key may have a failure for its answer. Knows no endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from psp.stripe.client import StripeCallError

CLOCKS_DIFFER_S = 300
"""How far Stripe's clock may be behind ours: as much as a signature tolerates."""
KEY_KEPT_S = 20 * 3_600
"""For so long a key surely gets the same answer: Stripe prunes keys that are at least a day old. Source:
https://docs.stripe.com/api/idempotent_requests
"""
_KEYS_MAX = 3
"""Keys tried for one thing: a further one only when Stripe keeps a failure as the answer of the last."""

T = TypeVar("T")


async def made(
    make: Callable[[str], Awaitable[T]],
    find: Callable[[], Awaitable[T | None]],
    idempotency_key: str,
    look_first: bool,
) -> T:
    """What `make` answers under this key, or what `find` finds where nobody knows what `make` has done.

    `look_first`: it was tried before, and so long ago that Stripe may have forgotten the key. Stripe also
    keeps a 5xx as the key's answer, and does not say whether the work was done. Only when it is surely not
    there, another key may make it. Raises what the two raise.
    """
    if look_first and (there := await find()) is not None:
        return there
    for attempt in range(1, _KEYS_MAX + 1):
        try:
            return await make(idempotency_key if attempt == 1 else f"{idempotency_key}:{attempt}")
        except StripeCallError as error:
            if error.status is None or error.status < 500:
                raise
            found = await find()
            if found is not None:
                return found
            if not error.replayed or attempt == _KEYS_MAX:
                raise
    raise AssertionError("the last key returns or raises")
