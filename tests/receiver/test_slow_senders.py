"""B17-B20: connections that hold still or trickle are put out, while honest idle ones stay; all at the
same time."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import http_parser, web_protocol

from ingest.server import ReceiverServer
from runtime import limits
from tests.receiver.deliveries import Sender, event_body
from tests.receiver.running import Receiver
from tests.receiver.wire import Answer

HALF_HEAD = b"POST /webhooks/stripe HTTP/1.1\r\nHost: sluice.test\r\nX-Request-Id: canary7-half"
putting_out_s = 30.0
"""All deadlines of the receiver are far below this; it bounds the test and measures nothing."""


async def trickled_head(receiver: Receiver) -> None:
    """Send half a head byte by byte until the receiver ends the connection."""
    async with receiver.connected() as wire:
        for byte in HALF_HEAD:
            await wire.send(bytes([byte]))
            if await wire.ended(within_s=0.4):
                return
    raise AssertionError("the receiver waited for all of it")


async def held_body(receiver: Receiver, sender: Sender) -> tuple[Answer, bool]:
    """Send one byte of a hundred: the answer to that, and whether the connection ended behind it."""
    async with receiver.connected() as wire:
        await wire.send(sender.head(b"Content-Length: 100") + b"{")
        return await wire.answer(), await wire.ended(within_s=putting_out_s)


async def trickled_body(receiver: Receiver, sender: Sender) -> tuple[Answer, bool]:
    """The same with a byte from time to time, faster than any idle timeout and slower than any body."""
    async with receiver.connected() as wire:
        await wire.send(sender.head(b"Content-Length: 100") + b"{")
        for _ in range(99):
            answer = await wire.answer_within(0.4)
            if answer is not None:
                return answer, await wire.ended(within_s=putting_out_s)
            await wire.send(b" ")
    raise AssertionError("the receiver waited for all of it")


async def ended_without_an_answer(receiver: Receiver, sent: bytes) -> bool:
    async with receiver.connected() as wire:
        await wire.send(sent)
        return await wire.ended(within_s=putting_out_s)


async def half_head_behind_an_answer(receiver: Receiver, sender: Sender) -> bool:
    async with receiver.connected() as wire:
        await wire.send(sender.post(event_body()))
        assert (await wire.answer()).status == 200
        await wire.send(HALF_HEAD)
        return await wire.ended(within_s=putting_out_s)


async def test_slow_senders_are_put_out_and_honest_ones_stay(receiver: Receiver) -> None:
    """B17: a held or trickled body is answered 408 and is a row. B18, B19: half a head, a trickled head
    and silence end without an answer. B20: a connection that was served and then rested all that time
    still serves."""
    held, dripping, behind, idle = (Sender() for _ in range(4))
    async with receiver.connected() as resting:
        await resting.send(idle.post(event_body()))
        assert (await resting.answer()).status == 200

        (held_answer, held_ended), (drip_answer, drip_ended), silent, half, _, after = await asyncio.gather(
            held_body(receiver, held),
            trickled_body(receiver, dripping),
            ended_without_an_answer(receiver, b""),
            ended_without_an_answer(receiver, HALF_HEAD),
            trickled_head(receiver),
            half_head_behind_an_answer(receiver, behind),
        )

        await resting.send(idle.post(event_body()))
        assert (await resting.answer()).status == 200

    assert [held_answer.status, drip_answer.status] == [408, 408]
    assert [held_ended, drip_ended, silent, half, after] == [True] * 5
    for sender in (held, dripping):
        rows = await receiver.rows.of_request(sender.request_id)
        assert [(row["verdict"], row["body_bytes"]) for row in rows] == [("read_timeout", 100)]
        assert rows[0]["body"].startswith(b"{")
    assert await receiver.rows.verdicts(idle.request_id) == ["ok", "ok"]


async def pipeline_without_reading(port: int) -> None:
    """Send requests and read no answer until the connection is ended. Raises ConnectionError then."""
    loop = asyncio.get_running_loop()
    requests = b"GET /health/live HTTP/1.1\r\nHost: sluice.test\r\n\r\n" * 500
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ("127.0.0.1", port))
        async with asyncio.timeout(putting_out_s):
            while True:  # stands still as soon as all buffers are full of answers
                await loop.sock_sendall(deaf, requests)


async def test_a_sender_that_does_not_read_is_put_out(receiver: Receiver) -> None:
    """A sender that pipelines requests and reads none of the answers loses its connection; the next one is
    served."""
    with pytest.raises(ConnectionError):
        await pipeline_without_reading(receiver.port)

    assert (await receiver.answer_to(Sender().post(event_body()))).status == 200


async def test_b20_the_servers_own_deadlines_are_ours() -> None:
    """B20: connections are made with the limits' keep-alive of 75 s and lingering of 1 s, raw bodies, and
    the C parser."""

    async def nobody(_: object) -> object:
        raise AssertionError("no request is sent in this test")

    connection = ReceiverServer(nobody)()  # type: ignore[arg-type]  # never called

    assert (limits.keepalive_idle_s, connection.keepalive_timeout) == (75.0, 75.0)
    assert (limits.lingering_s, connection._lingering_time) == (1.0, 1.0)
    assert http_parser.HttpRequestParserC is web_protocol.HttpRequestParser  # type: ignore[attr-defined]
    assert [int(part) for part in aiohttp.__version__.split(".")[:3]] >= [3, 14, 4]
