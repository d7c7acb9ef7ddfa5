"""Reads a request's body as raw bytes under a cap and a deadline; says how the reading ended and judges
nothing.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aiohttp import web

from runtime import limits

WHOLE = "whole"
OVERSIZE = "oversize"
LATE = "read_timeout"
BROKEN = "truncated"


class Body(NamedTuple):
    """What arrived: `ending` is one of this module's four words; unless WHOLE, `received` is only a
    beginning.
    """

    ending: str
    received: bytes


async def read(request: web.BaseRequest, bytes_max: int) -> Body:
    """The raw body of `request`, at most `bytes_max` bytes of it and not longer than the body deadline."""
    content = request.content
    if content.is_eof() and content.exception() is None:  # already here: no timer, no await
        received = content.read_nowait()
        return Body(WHOLE if len(received) <= bytes_max else OVERSIZE, received)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_deadline_s):
            while not content.at_eof():
                chunk = await content.readany()
                chunks.append(chunk)
                size += len(chunk)
                if size > bytes_max:
                    return Body(OVERSIZE, b"".join(chunks))
    except TimeoutError:
        return Body(LATE, b"".join(chunks))
    except (ConnectionError, web.PayloadAccessError, web.RequestPayloadError):
        return Body(BROKEN, b"".join(chunks))
    return Body(WHOLE, b"".join(chunks))
