"""A raw HTTP/1.1 client: sends exactly the bytes it is given and reads what comes back; must never repair
either.

Every final answer it reads is held against what all answers of the receiver have in common.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

CANARY = b"canary7"
"""Part of every request that this folder sends (see `Sender`); an answer that contains it echoes its
request."""

answer_s_max = 20.0
"""A receiver that has not answered by then hangs; it is no statement about speed."""


class NoAnswerError(Exception):
    """The connection ended before a whole answer had come; `received` is what came of it."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"connection ended after {received!r}")
        self.received = received


class Answer(NamedTuple):
    """One answer as it came: `head` is everything up to the empty line, `headers` have lower-case names."""

    status: int
    head: bytes
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> Any:
        """The text under "error", or None."""
        return json.loads(self.body).get("error")

    def without_date(self) -> tuple[bytes, bytes]:
        """Head and body without the clock, for comparing answers byte for byte."""
        lines = [line for line in self.head.split(b"\r\n") if not line.lower().startswith(b"date:")]
        return b"\r\n".join(lines), self.body


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Write all of `data`; a receiver that closes meanwhile is no error here, the answer tells."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def answer(self) -> Answer:
        """The next answer, interim ones included. Raises NoAnswerError, and TimeoutError when none comes."""
        answer = _parse(*await self.raw_answer())
        if answer.status >= 200:
            assert_shape(answer)
        return answer

    async def raw_answer(self) -> tuple[bytes, bytes]:
        """Head and body of the next answer, not looked at any further."""
        async with asyncio.timeout(answer_s_max):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
                length = int(_headers(head).get("content-length", "0"))
                return head, await self._reader.readexactly(length)
            except asyncio.IncompleteReadError as error:
                raise NoAnswerError(error.partial) from None
            except ConnectionError:
                raise NoAnswerError(b"") from None

    async def answer_within(self, seconds: float) -> Answer | None:
        """The next answer, or None when none has begun by then."""
        try:
            async with asyncio.timeout(seconds):
                return await self.answer()
        except TimeoutError:
            return None

    async def all_answers(self) -> list[Answer]:
        """Every answer until the other side ends the connection."""
        answers = []
        with contextlib.suppress(NoAnswerError):
            while True:
                answers.append(await self.answer())
        return answers

    async def ended(self, within_s: float) -> bool:
        """Whether the other side ends the connection within this time; bytes that come instead are a
        failure."""
        try:
            async with asyncio.timeout(within_s):
                received = await self._reader.read(1_000)
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        assert received == b"", f"the connection should have ended, but there came {received!r}"
        return True

    def end_sending(self) -> None:
        """Close our half only."""
        self._writer.write_eof()

    async def close(self) -> None:
        """Close the connection in order."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    """A connection to 127.0.0.1 that is closed at the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wire = Wire(reader, writer)
    try:
        yield wire
    finally:
        await wire.close()


async def exchange(port: int, data: bytes) -> Answer:
    """Send `data` on a connection of its own and return the first final answer."""
    async with connected(port) as wire:
        await wire.send(data)
        answer = await wire.answer()
        return answer if answer.status >= 200 else await wire.answer()


def assert_shape(answer: Answer) -> None:
    """What holds of every final answer: JSON with a known body, no banner, nothing of the request in it."""
    decoded = json.loads(answer.body)
    assert isinstance(decoded, dict)
    assert decoded == {"received": True} or set(decoded) <= {"error", "status"}
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["server"] == "sluice"
    whole = answer.head.lower() + answer.body.lower()
    assert CANARY not in whole
    assert b"aiohttp" not in whole
    assert b"python" not in whole


def _parse(head: bytes, body: bytes) -> Answer:
    version, status, _ = head.split(b" ", 2)
    assert version in (b"HTTP/1.1", b"HTTP/1.0")
    return Answer(int(status), head, _headers(head), body)


def _headers(head: bytes) -> dict[str, str]:
    pairs = [line.partition(b":") for line in head.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]]
    return {name.decode().lower(): value.strip().decode() for name, _, value in pairs}
