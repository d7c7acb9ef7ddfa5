"""Reads Hyperswitch's objects for the reconciler and says by which events they would have been told; changes
nothing.

Hyperswitch tells each state of an object once at most, and some never: reading is the only way to learn of
them. Source: https://api-reference.hyperswitch.io and juspay/hyperswitch crates/api_models.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec

from psp.hyperswitch import ids
from psp.hyperswitch.client import HyperswitchApi, HyperswitchCallError, HyperswitchRefusedError
from psp.reads import ListedEvent, Page, ReadError, Sighting, Span

_PAGE_ROWS = 100
"""The most that Hyperswitch lists at once."""
_REFUND_PAGES_MAX = 20
_PATHS = {"payment": "/payments", "refund": "/refunds", "dispute": "/disputes"}
_ID_FIELD = {"payment": "payment_id", "refund": "refund_id", "dispute": "dispute_id"}


class _Object(msgspec.Struct):
    payment_id: str | None = None
    refund_id: str | None = None
    dispute_id: str | None = None
    status: str | None = None
    dispute_status: str | None = None
    merchant_id: str | None = None
    created_at: str | None = None
    metadata: dict[str, object] | None = None


class _List(msgspec.Struct):
    data: list[msgspec.Raw]
    total_count: int | None = None


class _Event(msgspec.Struct):
    event_id: str
    event_type: str
    created: str


class _Events(msgspec.Struct):
    events: list[_Event]
    total_count: int | None = None


class _Request(msgspec.Struct):
    body: str


class _Attempt(msgspec.Struct):
    request: _Request


_T = TypeVar("_T")


class HyperswitchReader:
    """Implements `psp.reads.Reader`."""

    listed: tuple[str, ...] = ("payment", "refund", "dispute")
    mode: str | None = None

    def __init__(self, api: HyperswitchApi) -> None:
        self._api = api
        self._merchant_id: str | None = None

    def kind_of(self, object_id: str) -> str | None:
        """See `psp.reads.Reader`: merchants choose ids here, so they tell nothing."""
        return None

    def tell(self, sighting: Sighting, event_type: str, event_id: str) -> bytes:
        """See `psp.reads.Reader`."""
        at = datetime.fromtimestamp(sighting.asked_at, UTC).isoformat().replace("+00:00", "Z")
        return msgspec.json.encode(
            {
                "merchant_id": _decoded(sighting.body, _Object).merchant_id,
                "event_id": event_id,
                "event_type": event_type,
                "content": {"type": f"{sighting.kind}_details", "object": msgspec.Raw(sighting.body)},
                "timestamp": at,
            }
        )

    async def read(self, kind: str, object_id: str, now: int) -> Sighting | None:
        """See `psp.reads.Reader`. Payments and refunds as the connector behind it knows them now."""
        if kind not in _PATHS:
            return None
        query = "" if kind == "dispute" else "?force_sync=true"
        try:
            body = await self._api.fetch(f"{_PATHS[kind]}/{quote(object_id, safe='')}{query}")
        except HyperswitchRefusedError as error:
            if error.status == 404:
                return None
            raise ReadError(error.kind) from None
        except HyperswitchCallError as error:
            raise ReadError(error.kind) from None
        return _sighting(kind, body, now)

    async def find_refund(self, own_id: str, payment_id: str, now: int) -> Sighting | None:
        """See `psp.reads.Reader`: our id is the refund's own id there; the payment's refunds are looked
        through as well.
        """
        there = own_id if len(own_id) == ids.ID_CHARACTERS else ids.refund_id(UUID(own_id))
        found = await self.read("refund", there, now)
        if found is not None:
            return found
        for body in await self._refunds_of(payment_id):
            refund = _decoded(body, _Object)
            if refund.refund_id == there or (refund.metadata or {}).get("refundId") == own_id:
                return _sighting("refund", body, now)
        return None

    async def parents(self, awaited: str, now: int) -> list[Sighting]:
        """See `psp.reads.Reader`. A payment of ours has an id that is made of what it is for."""
        kind, _, object_id = awaited.partition(":")
        if kind == "refunds":
            return [_sighting("refund", body, now) for body in await self._refunds_of(object_id)]
        if kind == "refund":
            found = await self.read("refund", object_id, now)
            payment_id = _decoded(found.body, _Object).payment_id if found is not None else None
        elif kind in ("order", "subscription"):
            found, payment_id = None, _payment_of(object_id)
        else:
            found, payment_id = None, object_id if kind == "payment" else None
        payment = await self.read("payment", payment_id, now) if payment_id is not None else None
        return [one for one in (payment, found) if one is not None]

    async def _refunds_of(self, payment_id: str) -> list[bytes]:
        found: list[bytes] = []
        for _ in range(_REFUND_PAGES_MAX):
            wanted = {"payment_id": payment_id, "limit": _PAGE_ROWS, "offset": len(found)}
            listed = (await self._search("/refunds/list", wanted)).data
            found += [bytes(raw) for raw in listed]
            if len(listed) < _PAGE_ROWS:
                return found
        raise ReadError("refunds_without_end")

    async def page(self, kind: str, span: Span, now: int) -> Page[Sighting]:
        """See `psp.reads.Reader`. A page begins after so many objects."""
        if kind == "refund":
            begin = int(span.after or 0)
            times = {"start_time": _iso(span.since), "end_time": _iso(span.until)}
            wanted = {"limit": _PAGE_ROWS, "offset": begin, **times}
            data = (await self._search("/refunds/list", wanted)).data
            after = str(begin + len(data))
        elif kind == "payment":
            wanted = {"created.gte": _iso(span.since), "created.lte": _iso(span.until)}
            if span.after is not None:
                wanted["starting_after"] = span.after
            data = _decoded(await self._fetch(_listed("/payments/list", wanted)), _List).data
            after = _decoded(bytes(data[-1]), _Object).payment_id or "" if data else ""
        else:
            until = int(span.after or span.until)  # this list has no pages, so time makes them
            wanted = {"received_time.gte": _iso(span.since), "received_time.lte": _iso(until)}
            data = _decoded(await self._fetch(_listed("/disputes/list", wanted)), list[msgspec.Raw])
            oldest = min((_unix(_decoded(bytes(raw), _Object).created_at or "") for raw in data), default=0)
            if len(data) == _PAGE_ROWS and oldest >= until:
                raise ReadError("disputes_of_one_second")
            after = str(oldest)
        sightings = tuple(_sighting(kind, bytes(raw), now) for raw in data)
        return Page(sightings, after if len(data) == _PAGE_ROWS else None)

    async def events(self, span: Span, undelivered: bool) -> Page[ListedEvent]:
        """See `psp.reads.Reader`. The list holds no bodies. A merchant without any payment has no events."""
        merchant_id = await self._merchant()
        if merchant_id is None:
            return Page((), None)
        begin = int(span.after or 0)
        wanted: dict[str, object] = {
            "created_after": _iso(span.since),
            "created_before": _iso(span.until),
            "limit": _PAGE_ROWS,
            "offset": begin,
        }
        if undelivered:
            wanted["is_delivered"] = False
        try:
            body = await self._api.search(f"/events/{quote(merchant_id, safe='')}", wanted)
        except HyperswitchCallError as error:
            raise ReadError(error.kind) from None
        listed = _decoded(body, _Events).events
        items = tuple(ListedEvent(one.event_id, one.event_type, _unix(one.created), None) for one in listed)
        return Page(items, str(begin + len(items)) if len(items) == _PAGE_ROWS else None)

    async def event_body(self, event: ListedEvent) -> bytes:
        """See `psp.reads.Reader`: the bytes of its first attempt, which every later one sends again."""
        merchant_id = await self._merchant()
        path = f"/events/{quote(merchant_id or '', safe='')}/{quote(event.id, safe='')}/attempts"
        attempts = _decoded(await self._fetch(path), list[_Attempt])
        if not attempts:
            raise ReadError("event_without_attempts")
        return attempts[-1].request.body.encode()

    async def _merchant(self) -> str | None:
        """The merchant whose key this is: every payment names it."""
        if self._merchant_id is None:
            for raw in _decoded(await self._fetch("/payments/list?limit=1"), _List).data:
                self._merchant_id = _decoded(bytes(raw), _Object).merchant_id
        return self._merchant_id

    async def _search(self, path: str, wanted: dict[str, object]) -> _List:
        try:
            return _decoded(await self._api.search(path, wanted), _List)
        except HyperswitchCallError as error:
            raise ReadError(error.kind) from None

    async def _fetch(self, path: str) -> bytes:
        try:
            return await self._api.fetch(path)
        except HyperswitchCallError as error:
            raise ReadError(error.kind) from None


def _payment_of(own_id: str) -> str | None:
    """The id of the payment of an order or subscription of ours; None where its id is none that we make."""
    try:
        return ids.payment_id(UUID(own_id))
    except ValueError:
        return None


def _sighting(kind: str, body: bytes, now: int) -> Sighting:
    read = _decoded(body, _Object)
    object_id = getattr(read, _ID_FIELD[kind])
    if object_id is None:
        raise ReadError("object_without_id")
    if kind == "dispute":
        status = read.dispute_status or ""
        return Sighting(kind, object_id, status, now, body, (status,))
    status = read.status or ""
    return Sighting(kind, object_id, status, now, body, (f"{kind}_{status}",))


def _decoded(body: bytes, shape: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise ReadError(type(error).__name__) from None


def _listed(path: str, wanted: dict[str, Any]) -> str:
    return f"{path}?{urlencode({'limit': _PAGE_ROWS, **wanted})}"


def _iso(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unix(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ReadError("ValueError") from None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())
