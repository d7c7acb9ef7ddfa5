"""`GET /api/card/wallet`: what puts the caller's card into a phone's wallet. Never keeps or logs the secret.

The order of the questions is the contract's: credential, customer at the processor, card; then the
processor's own record must agree before it is asked for a secret.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from api import errors
from api.answers import json_answer
from api.errors import ApiError
from api.world import CALLER, REQUEST_ID, WORLD, access
from db import cards, reads
from psp.panda.client import PandaApi, PandaFailedError, PandaNotFoundError, WalletPass
from runtime import telemetry

SCOPE = "card:provisioning"
"""What a bearer token must be good for."""
_PROVISIONABLE = frozenset(("active", "locked"))
"""The processor's words for a card that may go into a wallet: in use, or frozen by its holder."""


class Wallet(msgspec.Struct):
    """The card at the processor, and its time-based secret."""

    cardId: str  # noqa: N815 - contract
    cardSecret: str  # noqa: N815 - contract


async def show(request: web.Request) -> web.Response:
    """The caller's first card that is active or frozen."""
    world = request.app[WORLD]
    async with world.connection() as connection:
        holder = await cards.read_holder(connection, request[CALLER].name)
        if holder is None:
            raise _says(500, "no credential")
        if holder.panda_id is None:
            raise _says(403, "no panda")
        if holder.card_id is None:
            raise _says(404, "no card")
        # On record before the secret exists, so that no secret leaves without a record.
        await reads.log_access(connection, access(request, "read_card_secret", f"card:{holder.card_id}"))
    if world.panda is None:
        raise ApiError(503, "PROVIDER_NOT_CONFIGURED", "No card processor is configured")
    try:
        found = await _wallet_pass(world.panda, holder.card_id, holder.panda_id)
    except PandaNotFoundError:
        raise _says(404, "no card") from None
    except PandaFailedError as error:
        telemetry.logger().error(
            "panda_call_failed", request_id=request[REQUEST_ID], kind=error.kind, status=error.status
        )
        raise errors.of_status(500) from None
    return json_answer(Wallet(found.card_id, found.secret))


async def _wallet_pass(panda: PandaApi, card_id: str, panda_id: str) -> WalletPass:
    record = await panda.card(card_id)
    if record.user_id != panda_id:
        raise _says(403, "no panda")
    if record.status not in _PROVISIONABLE:
        raise _says(404, "no card")
    return await panda.wallet_pass(card_id)


def _says(status: int, word: str) -> ApiError:
    """The wallet's clients compare these words, as code and as message."""
    return ApiError(status, word, word)
