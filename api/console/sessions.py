"""Who is logged in to the console: opaque tokens, kept as digests; never holds an ops token itself.

A restart logs everybody out, and so does taking a token out of OPS_TOKENS, which needs one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from api.auth import Caller

COOKIE = "sluice_session"
lifetime_s = 8 * 3600.0
"""A working day; then the token has to be shown again."""
sessions_max = 1_000
"""More than a team has browsers; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has shown an ops token; `csrf` must come with every command of theirs."""

    caller: Caller
    csrf: str
    ends_at: float


class Sessions:
    """All sessions of this process. Times are seconds of any clock that runs forward."""

    def __init__(self) -> None:
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def open(self, caller: Caller, now_s: float) -> str:
        """Begin a session; returns the cookie's value, which is kept nowhere."""
        token = secrets.token_urlsafe(32)
        self._open[_digest(token)] = Session(caller, secrets.token_urlsafe(32), now_s + lifetime_s)
        while len(self._open) > sessions_max:
            self._open.popitem(last=False)
        return token

    def find(self, token: str, now_s: float) -> Session | None:
        """The session of a cookie's value, unless it has ended."""
        session = self._open.get(_digest(token))
        if session is not None and session.ends_at <= now_s:
            del self._open[_digest(token)]
            return None
        return session

    def close(self, token: str) -> None:
        """End a session, if it is one."""
        self._open.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
