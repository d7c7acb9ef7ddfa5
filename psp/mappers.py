"""The registry of what each provider's events mean; apart from `psp.providers`, because the receiver may not
know it.
"""

from __future__ import annotations

from typing import Protocol

from billing.facts import Fact
from psp.standardwebhooks import mapping as standardwebhooks_mapping
from psp.stripe import mapping as stripe_mapping


class Mapper(Protocol):
    """What a worker needs of a provider."""

    def to_fact(self, body: bytes, mode: str | None) -> Fact:
        """The fact in a verified body; a fact of its own kind when the body cannot be used. Never raises."""
        ...

    def same_event(self, first: bytes, second: bytes) -> bool:
        """Whether two bodies that came under one event id tell the same."""
        ...


MAPPERS: dict[str, Mapper] = {
    "stripe": stripe_mapping,
    "standardwebhooks": standardwebhooks_mapping,
}


def of_source(source: str) -> Mapper | None:
    """The mapper of a delivery's source, which is `provider` or `provider:account`."""
    return MAPPERS.get(source.partition(":")[0])
