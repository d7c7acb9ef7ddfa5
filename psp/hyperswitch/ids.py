"""Derives the ids that we give a Hyperswitch object before it is made; pure, and the same for ever.

Hyperswitch wants exactly 30 characters where a UUID has 36: a prefix of four and its 128 bits in base32.
Because the id is ours, a call that was lost on the way can be looked up before it is made again.
"""

from __future__ import annotations

import base64
from uuid import UUID

ID_CHARACTERS = 30
"""Source: the descriptions of `payment_id` and `refund_id` in the OpenAPI of Hyperswitch."""


def payment_id(order: UUID) -> str:
    """The id of the payment of an order or a subscription of ours."""
    return _derived("pay_", order)


def refund_id(refund: UUID) -> str:
    """The id of a refund of ours."""
    return _derived("ref_", refund)


def _derived(prefix: str, own: UUID) -> str:
    derived = prefix + base64.b32encode(own.bytes).decode().rstrip("=").lower()
    assert len(derived) == ID_CHARACTERS, "a UUID has 26 characters in base32"
    return derived
