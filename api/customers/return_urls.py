"""Says where a payment page may send its customer back to; pure, and never a page of anybody else's."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

CHARACTERS_MAX = 2_048
"""Longest URL taken: what browsers and proxies agree on."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_THIS_MACHINE = frozenset(("localhost", "127.0.0.1"))
_NOT_IN_URLS = frozenset('\\"<>^`| ')
"""Readers of URLs disagree about these: a backslash is a slash to a browser, and part of a host to others."""


@dataclass(frozen=True, slots=True)
class ReturnUrls:
    """Which URLs are allowed: those of `origins`, or any over https when there are none.

    `this_machine`: also plain http to one's own machine, for development; only where no origins are set.
    """

    origins: frozenset[str]
    this_machine: bool

    def fault(self, url: str) -> str | None:
        """What is wrong with `url`, as a sentence without it; None when it is allowed."""
        parts = _parsed(url)
        if parts is None:
            return "must be an absolute URL"
        if self.origins:
            if origin(parts) in self.origins:
                return None
            return "must be on one of the allowed origins"
        if parts.scheme == "https":
            return None
        if self.this_machine and parts.hostname in _THIS_MACHINE:
            return None
        return "must be an https URL"


def allowed(origins: tuple[str, ...], this_machine: bool) -> ReturnUrls:
    """The rule of these settings."""
    return ReturnUrls(frozenset(origin(urlsplit(each)) for each in origins), this_machine)


def origin(parts: SplitResult) -> str:
    """Scheme, host and port as a browser compares them."""
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORTS.get(parts.scheme)}"


def _parsed(url: str) -> SplitResult | None:
    """The parts of a URL that every reader takes apart alike, else None."""
    if not 0 < len(url) <= CHARACTERS_MAX or not url.isascii() or not url.isprintable():
        return None
    if _NOT_IN_URLS & set(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == 0 or "@" in parts.netloc:
        return None
    return parts
