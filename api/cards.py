"""`/ops/credentials` and `/ops/cards`: operators say whose card is whose at the card processor. Never holds a
secret: the wallet fetches that anew each time.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from api import auth, bodies, catalogue, errors
from api.answers import json_answer
from api.errors import ApiError, Detail
from api.world import WORLD, access
from db import cards, reads
from db.cards import Card, Credential, TakenError, UnknownCredentialError
from psp.envelope import storable


class PutCredential(msgspec.Struct, forbid_unknown_fields=True):
    """A customer as known to the card processor; without a `panda_id` not admitted there."""

    account_id: Annotated[str, msgspec.Meta(min_length=1, max_length=auth.ACCOUNT_ID_BYTES_MAX)]
    panda_id: catalogue.type_id | None = None


class PutCard(msgspec.Struct, forbid_unknown_fields=True):
    """A card as it shall be; its id is the processor's. The oldest that is not DELETED is the wallet's."""

    credential_id: catalogue.type_id
    status: Literal["ACTIVE", "FROZEN", "DELETED"] = "ACTIVE"
    last_four: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}\Z")] | None = None


class CardAnswer(msgspec.Struct):
    """A card as it is."""

    id: str
    credential_id: str
    status: str
    last_four: str | None


class CredentialAnswer(msgspec.Struct):
    """A credential with its cards, the oldest first."""

    id: str
    account_id: str
    panda_id: str | None
    cards: list[CardAnswer]


def check_credential(request: web.Request) -> None:
    """What the type cannot say. Raises ApiError 400."""
    asked = bodies.of(request, PutCredential)
    if auth.account_id(asked.account_id) is None:
        raise errors.invalid_body(Detail("account_id", "is no account id", "invalid"))
    if asked.panda_id is not None and storable(asked.panda_id) is None:
        raise errors.invalid_body(Detail("panda_id", "must be printable text", "invalid"))


async def put_credential(request: web.Request) -> web.Response:
    """Put a customer's credential in, or say what it is from now on."""
    asked = bodies.of(request, PutCredential)
    credential = Credential(catalogue.path_id(request), asked.account_id, asked.panda_id)
    async with request.app[WORLD].connection() as connection:
        await reads.log_access(connection, access(request, "put_credential", f"credential:{credential.id}"))
        try:
            await cards.put_credential(connection, credential)
        except TakenError:
            raise ApiError(409, "TAKEN", "Another credential has this account or this customer") from None
        listed = await cards.list_cards(connection, credential.id)
    return json_answer(_credential(credential, listed))


async def show_credential(request: web.Request) -> web.Response:
    """A credential with its cards."""
    async with request.app[WORLD].connection() as connection:
        found = await cards.read_credential(connection, catalogue.path_id(request))
        if found is None:
            raise errors.not_found("No such credential")
        listed = await cards.list_cards(connection, found.id)
    return json_answer(_credential(found, listed))


async def put_card(request: web.Request) -> web.Response:
    """Put a card in, or say what it is from now on."""
    asked = bodies.of(request, PutCard)
    card = Card(catalogue.path_id(request), asked.credential_id, asked.status, asked.last_four)
    async with request.app[WORLD].connection() as connection:
        await reads.log_access(connection, access(request, "put_card", f"card:{card.id}"))
        try:
            await cards.put_card(connection, card)
        except UnknownCredentialError:
            raise errors.invalid_body(Detail("credential_id", "is no credential", "unknown")) from None
    return json_answer(_card(card))


def _credential(credential: Credential, listed: list[Card]) -> CredentialAnswer:
    return CredentialAnswer(
        credential.id, credential.account_id, credential.panda_id, [_card(card) for card in listed]
    )


def _card(card: Card) -> CardAnswer:
    return CardAnswer(card.id, card.credential_id, card.status, card.last_four)
