"""Mints ids that look like Stripe's and never repeat; must never draw from the chaos seed."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
account_chars = 10
"""Characters of the account that its ids carry, as Stripe's do: ids of two sandboxes differ visibly."""
random_chars = 13
"""Random characters of one id: 77 bits, so that no two runs ever meet."""
session_chars = 58
request_chars = 14

_LEADING = {"pi": "3", "ch": "3", "re": "3", "txn": "3"}
"""Stripe's ids of one payment share a leading 3; others have a 1."""


def random_text(chars: int) -> str:
    """Random letters and digits from the operating system."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(chars))


class Mint:
    """Makes ids for one sandbox account."""

    def __init__(self, account: str) -> None:
        self.account = account

    def id(self, prefix: str) -> str:
        """`pi_3…`, `evt_1…` and so on: prefix, family digit, random, the account's own characters, random."""
        body = random_text(random_chars)
        return f"{prefix}_{_LEADING.get(prefix, '1')}{body[:5]}{self.account}{body[5:]}"

    @staticmethod
    def session() -> str:
        """`cs_test_…`, long as Stripe's are: a session id opens a payment page."""
        return f"cs_test_a1{random_text(session_chars - 2)}"

    @staticmethod
    def request() -> str:
        """`req_…` of one API request."""
        return f"req_{random_text(request_chars)}"
