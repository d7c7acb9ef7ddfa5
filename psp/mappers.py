"""The registry of what each provider's events mean; apart from `psp.providers`, because the receiver may not
know it.
"""

from __future__ import annotations

from typing import Protocol

from psp.hyperswitch import mapping as hyperswitch_mapping
from psp.reading import Expected, Reading
from psp.sluice import mapping as sluice_mapping
from psp.standardwebhooks import mapping as standardwebhooks_mapping
from psp.stripe import mapping as stripe_mapping


class Mapper(Protocol):
    """What a worker needs of a provider."""

    def read(self, body: bytes, expected: Expected) -> Reading:
        """What a verified body says, through an endpoint that is meant for `expected`; a fact of its own kind
        when it cannot be used. Never raises.
        """
        ...

    def same_event(self, first: bytes, second: bytes) -> bool:
        """Whether two bodies that came under one event id tell the same."""
        ...


MAPPERS: dict[str, Mapper] = {
    "stripe": stripe_mapping,
    "hyperswitch": hyperswitch_mapping,
    "standardwebhooks": standardwebhooks_mapping,
    "sluice": sluice_mapping,
}
"""`sluice` is ourselves: commands that our own processes append to the log, which no receiver takes."""


def of_source(source: str) -> Mapper | None:
    """The mapper of a delivery's source, which is `provider` or `provider:account`."""
    return MAPPERS.get(source.partition(":")[0])
