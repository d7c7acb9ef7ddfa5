"""`GET /api/v1/cards/{id}/wallet_payload`: a simulated card for developers; never there in production."""

from __future__ import annotations

import hashlib
import secrets
from uuid import UUID

import msgspec
from aiohttp import web

from api import errors
from api.answers import json_answer
from api.auth import Role
from api.balances import owns
from api.world import CALLER, WORLD
from db import cards

_TOKEN_GOOD_FOR_S = 300
"""Each answer brings a new token, and only its hash is kept: a wallet asks again."""
_INSTRUCTIONS = (
    "Simulated payload for development: no wallet and no card network will take it. "
    "The provisioning token is void after five minutes, or when another one is asked for."
)


class WalletPayload(msgspec.Struct):
    """What a wallet would be given, if the card were real."""

    card_id: str
    cardholder_name: str
    last4: str
    exp_month: int
    exp_year: int
    provisioning_token: str
    wallet_instructions: str


async def wallet_payload(request: web.Request) -> web.Response:
    """A card of the caller, or any card for ops, with a fresh token."""
    card_id, caller = _uuid(request.match_info["id"]), request[CALLER]
    if card_id is None:
        raise errors.not_found("Card not found")
    token = f"sim-token-{secrets.token_hex(16)}"
    async with request.app[WORLD].connection() as connection:
        card = await cards.read_virtual_card(connection, card_id)
        # Another's card and no card look the same.
        if card is None or not (owns(caller, card.account_id) or caller.role is Role.OPS):
            raise errors.not_found("Card not found")
        await cards.keep_token(
            connection, card.id, hashlib.sha256(token.encode()).digest(), _TOKEN_GOOD_FOR_S
        )
    return json_answer(
        WalletPayload(
            card_id=str(card.id),
            cardholder_name=card.cardholder_name,
            last4=card.last4,
            exp_month=card.exp_month,
            exp_year=card.exp_year,
            provisioning_token=token,
            wallet_instructions=_INSTRUCTIONS,
        )
    )


def _uuid(text: str) -> UUID | None:
    """The id in its usual spelling; others of the same number name no card."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None
