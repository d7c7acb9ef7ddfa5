"""Whose address a request came from: the peer's, or what a trusted proxy says of it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from aiohttp import web
from multidict import MultiMapping

type_network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WITH_PORT = re.compile(r"\[([^\]]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")
"""Some proxies name the sender's port too; IPv6 then stands in brackets."""


class SenderAddress:
    """Reads the sender's address; `X-Forwarded-For` counts only as far as its hops are trusted."""

    def __init__(self, trusted: Sequence[type_network]) -> None:
        self._trusted = tuple(trusted)

    def of(self, request: web.BaseRequest) -> str | None:
        """An IP address in text, or None when the connection is gone."""
        return self.at(request.protocol.peername, request.headers)

    def at(self, peer: object, headers: MultiMapping[str]) -> str | None:
        """The same for a head that came from `peer`, an address as a transport tells it."""
        address = _plain(str(peer[0])) if isinstance(peer, tuple) else None
        if not self._trusted or address is None or not self._is_trusted(address):
            return address
        hops = [hop.strip() for value in headers.getall("X-Forwarded-For", ()) for hop in value.split(",")]
        for hop in reversed(hops):  # the nearest hop is the last; the first untrusted one is the sender
            try:
                address = _hop(hop)
            except ValueError:
                return address
            if not self._is_trusted(address):
                return address
        return address

    def _is_trusted(self, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self._trusted)


def _hop(text: str) -> str:
    """The address that a proxy names. Raises ValueError when it is none."""
    with_port = _WITH_PORT.fullmatch(text)
    bare = text if with_port is None else with_port[1] or with_port[2]
    return _plain(str(ipaddress.ip_address(bare)))


def _plain(address: str) -> str:
    """Postgres does not know the scope id of a link-local address, and networks of IPv4 hold no address that
    is written as IPv6.
    """
    address = address.partition("%")[0]
    if address.startswith("::ffff:"):
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
        return address if mapped is None else str(mapped)
    return address
