"""What the reconciler asks of a PSP, in words that every provider shares: values and a protocol, no I/O.

Reading only: nothing here makes or changes anything at a PSP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

KINDS = ("checkout_session", "payment", "subscription", "invoice", "refund", "dispute", "transfer")
"""Objects that can be read, in the order in which one explains the next."""

ASKED_KINDS = frozenset({*KINDS, "order"})
"""Objects that somebody may name: an order is read by its payment."""

PARENT_CALLS = 4
"""Calls for which room is made before a key's parents are looked for: a payment, and what lists it."""


class ReadError(Exception):
    """The PSP gave no usable answer; `kind` is a type or code, never the PSP's text: safe to log."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object as the PSP shows it: its id and status there, and its exact JSON.

    `event_types` are the events that would have told of it as it is now, in their order; none when there is
    nothing to tell. `asked_at` is when the request began (unix seconds): what was read is at least as new.
    """

    kind: str
    id: str
    status: str
    asked_at: int
    body: bytes
    event_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """An event as the PSP lists it: id, type, creation time (unix seconds). `body` is None where the list
    does not hold it; see `Reader.event_body`.
    """

    id: str
    type: str
    created: int
    body: bytes | None


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list, newest first; `after` is where the next part begins, None at the end."""

    items: tuple[Item, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class Span:
    """What of a list is wanted: created from `since` to `until`, both included, in unix seconds; `after` as
    of a Page.
    """

    since: int
    until: int
    after: str | None = None


class Reader(Protocol):
    """What the reconciler needs of a provider. Every method that asks raises ReadError."""

    mode: str | None
    """`live` or `test` where the key tells, else None."""
    listed: tuple[str, ...]
    """Those of KINDS that this provider lists."""

    def kind_of(self, object_id: str) -> str | None:
        """What kind of object has such an id; None where ids do not tell."""
        ...

    def tell(self, sighting: Sighting, event_type: str, event_id: str) -> bytes:
        """The event of one of `sighting.event_types`, as the PSP would have sent it when it was asked."""
        ...

    async def read(self, kind: str, object_id: str, now: int) -> Sighting | None:
        """One object by the PSP's id; None when the PSP has none of that id."""
        ...

    async def find_refund(self, own_id: str, payment_id: str, now: int) -> Sighting | None:
        """The refund of a payment that we asked for under our own id; None when there surely is none: an
        incomplete answer is a ReadError.
        """
        ...

    async def parents(self, awaited: str, now: int) -> list[Sighting]:
        """What may explain the key (of `billing.keys`) that an event waits for: all that the PSP has, each
        before what it explains. It takes up to PARENT_CALLS calls.
        """
        ...

    async def page(self, kind: str, span: Span, now: int) -> Page[Sighting]:
        """One part of all objects of a kind."""
        ...

    async def events(self, span: Span, undelivered: bool) -> Page[ListedEvent]:
        """One part of all events, or of those only that no endpoint has acknowledged."""
        ...

    async def event_body(self, event: ListedEvent) -> bytes:
        """The body of a listed event, as it was or would have been sent."""
        ...
