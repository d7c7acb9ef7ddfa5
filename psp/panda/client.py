"""Calls to Panda, the card processor: a key in a header, ten seconds, typed errors. Must never keep or show
what it answers: some of it opens a card.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Annotated, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

_TIMEOUT_S = 10.0


class PandaNotFoundError(Exception):
    """Panda knows no such card."""


class PandaFailedError(Exception):
    """Panda gave no usable answer; `kind` is a word and `status` a number, both safe to log. Never a body."""

    def __init__(self, kind: str, status: int | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status


@dataclass(frozen=True, slots=True)
class CardRecord:
    """Whose card it is at Panda, and its status in Panda's word."""

    user_id: str
    status: str


@dataclass(frozen=True, slots=True)
class WalletPass:
    """What puts a card into a wallet: the processor's card id, and a secret that is good for a short time."""

    card_id: str = field(repr=False)
    secret: str = field(repr=False)


_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Card(msgspec.Struct):
    userId: _Text  # noqa: N815 - Panda's word
    status: _Text


class _ProcessorDetails(msgspec.Struct):
    processorCardId: _Text  # noqa: N815 - Panda's word
    timeBasedSecret: _Text  # noqa: N815 - Panda's word


_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class PandaApi:
    """An asynchronous client; use as `async with`, inside a running loop."""

    def __init__(self, base_url: str, api_key: str) -> None:
        """Raises ValueError for an empty key."""
        if not api_key:
            raise ValueError("a Panda API key is needed")
        self._base_url = base_url
        self._api_key = api_key
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """The client itself, with connections of its own."""
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            headers={
                "Api-Key": self._api_key,
                "Accept": "application/json",
                "Content-Type": "application/json",
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        if self._http is not None:
            await self._http.close()

    async def card(self, card_id: str) -> CardRecord:
        """A card as Panda has it. Raises PandaNotFoundError and PandaFailedError."""
        found = await self._get(f"/issuing/cards/{quote(card_id, safe='')}", _Card)
        return CardRecord(found.userId, found.status)

    async def wallet_pass(self, card_id: str) -> WalletPass:
        """A fresh secret for a wallet. Raises PandaNotFoundError and PandaFailedError."""
        path = f"/issuing/cards/{quote(card_id, safe='')}/processorDetails"
        found = await self._get(path, _ProcessorDetails)
        return WalletPass(found.processorCardId, found.timeBasedSecret)

    async def _get(self, path: str, shape: type[_Answer]) -> _Answer:
        assert self._http is not None, "used outside of `async with`"
        try:
            # A redirect would carry the key to whoever is named in it.
            async with self._http.get(self._base_url + path, allow_redirects=False) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PandaFailedError(type(error).__name__) from None
        if status == 404:
            raise PandaNotFoundError
        if status != 200:
            raise PandaFailedError("refused" if status < 500 else "failed", status)
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise PandaFailedError("unreadable", status) from None
