"""The registry of PSPs that show their events to people on pages with addresses."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from psp.stripe import dashboard as stripe

_PAGES: MappingProxyType[str, Callable[[bytes, str], str | None]] = MappingProxyType(
    {"stripe": stripe.event_url}
)


def event_url(source: str, body: bytes) -> str | None:
    """Where the PSP of this source shows the event with this body; None where there is no such page."""
    provider, _, account = source.partition(":")
    pages = _PAGES.get(provider)
    return None if pages is None else pages(body, account)
