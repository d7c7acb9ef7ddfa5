"""Which of Stripe's API versions were read and tested, and the alert for any other; pure, and never a reason
to drop an event.

An event is rendered in the version of its endpoint. What a version moved is read in its old and its new
place; a version that nobody has looked at may have moved something else.
"""

from __future__ import annotations

import functools
import re

from billing.decision import Alert
from psp.strict_json import Fields

OLDEST = "2019-01-01"
"""Before it an invoice has no `status_transitions` and a payment intent other statuses."""
NEWEST = "2026-10-28"
"""The version of the example objects that the golden tests read."""

NAMED = ("acacia", "basil", "clover", "dahlia", "endive")
"""Releases since 2024-09-30, whose changes the mappings know: acacia sends refund.* for every refund, basil
moves periods, parents and payments of invoices.
"""

_VERSION = re.compile(r"(?P<date>\d{4}-\d{2}-\d{2})(?:\.(?P<name>[a-z]{1,20}))?")
_SHOWABLE = re.compile(r"[\w.;:= -]{1,60}", re.ASCII)
"""Betas are written behind the version: `2026-10-28.endive; some_beta=v1`."""


def noticed(event: Fields) -> tuple[Alert, ...]:
    """One alert for an event of a version that was never read, none for any other and for one that tells
    none.
    """
    version = told(event)
    if not version or _known(version):
        return ()
    detail = "an API version that was never read and tested"
    return (Alert("unseen_api_version", f"stripe:{version}", detail),)


def told(event: Fields) -> str:
    """The version of an event, `unreadable` for what is none, empty where it tells none."""
    version = event.raw("api_version")
    if version is None:
        return ""
    return version if isinstance(version, str) and _showable(version) else "unreadable"


@functools.lru_cache(maxsize=64)
def _showable(version: str) -> bool:
    return _SHOWABLE.fullmatch(version) is not None


@functools.lru_cache(maxsize=64)
def _known(version: str) -> bool:
    parsed = _VERSION.fullmatch(version)
    if parsed is None or parsed["name"] not in (None, *NAMED):
        return False
    return OLDEST <= parsed["date"] <= NEWEST
