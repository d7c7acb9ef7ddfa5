"""Whose address counts, over real requests: the peer's, and of what proxies say only what is trusted."""

from __future__ import annotations

import ipaddress

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from runtime.sender_address import SenderAddress

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
INSIDE = ipaddress.ip_network("10.0.0.0/8")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        ((), "203.0.113.9", "127.0.0.1"),
        ((INSIDE,), "203.0.113.9", "127.0.0.1"),
        ((LOOPBACK,), "203.0.113.9", "203.0.113.9"),
        ((LOOPBACK,), "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ((LOOPBACK, INSIDE), "203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ((LOOPBACK,), "203.0.113.9, nonsense", "127.0.0.1"),
        ((LOOPBACK,), "fe80::1%eth0", "fe80::1"),
        ((LOOPBACK,), "", "127.0.0.1"),
        ((LOOPBACK,), "203.0.113.9:5678", "203.0.113.9"),
        ((LOOPBACK,), "[2001:db8::1]:443", "2001:db8::1"),
        ((LOOPBACK,), "[2001:db8::1]", "2001:db8::1"),
        ((LOOPBACK,), "203.0.113.9:http", "127.0.0.1"),
        ((LOOPBACK, INSIDE), "::ffff:203.0.113.9, ::ffff:10.1.2.3", "203.0.113.9"),
    ],
)
async def test_the_last_untrusted_hop_is_the_sender(
    trusted: tuple[ipaddress.IPv4Network, ...], forwarded: str, expected: str
) -> None:
    """What a sender itself puts in front of the proxies' words decides nothing."""
    reader = SenderAddress(trusted)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=reader.of(request))

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client:
        response = await client.get("/", headers={"X-Forwarded-For": forwarded})

        assert await response.text() == expected
