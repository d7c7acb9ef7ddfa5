"""Rows of cards: whose card goes into a wallet, and the simulated ones of a developer's stack. No secret is
ever in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from uuid import UUID

import asyncpg

from db.pool import type_connection
from db.queries import Queries

CARDS = Queries("cards.sql")


@dataclass(frozen=True, slots=True)
class Holder:
    """A customer's credential with the first card that can go into a wallet; None where there is none."""

    panda_id: str | None
    card_id: str | None


class TakenError(Exception):
    """Another credential has this account, or this customer of the card processor."""


class UnknownCredentialError(Exception):
    """There is no such credential."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A customer as known to the card processor."""

    id: str
    account_id: str
    panda_id: str | None


@dataclass(frozen=True, slots=True)
class Card:
    """A card of a credential; `id` is the processor's."""

    id: str
    credential_id: str
    status: str
    last_four: str | None


@dataclass(frozen=True, slots=True)
class VirtualCard:
    """A simulated card."""

    id: UUID
    account_id: str
    cardholder_name: str
    last4: str
    exp_month: int
    exp_year: int


@dataclass(frozen=True, slots=True)
class SeedCard:
    """An account to be there with this much money (minor units of `unit`) and this card."""

    account_id: str
    unit: str
    amount_minor: int
    cardholder_name: str
    last4: str
    exp_month: int
    exp_year: int


async def read_holder(connection: type_connection, account_id: str) -> Holder | None:
    """The customer's credential and card; None where the customer has no credential."""
    credential = await connection.fetchrow(CARDS.read_credential_of_account, account_id)
    if credential is None:
        return None
    return Holder(credential["panda_id"], await connection.fetchval(CARDS.read_usable_card, credential["id"]))


async def put_credential(connection: type_connection, credential: Credential) -> None:
    """Put a credential as it shall be. Raises TakenError, and then nothing has changed."""
    try:
        await connection.execute(CARDS.put_credential, *astuple(credential))
    except asyncpg.UniqueViolationError:
        raise TakenError from None


async def read_credential(connection: type_connection, credential_id: str) -> Credential | None:
    """A credential by its own id."""
    row = await connection.fetchrow(CARDS.read_credential, credential_id)
    return None if row is None else Credential(*row)


async def put_card(connection: type_connection, card: Card) -> None:
    """Put a card as it shall be. Raises UnknownCredentialError."""
    try:
        await connection.execute(CARDS.put_card, *astuple(card))
    except asyncpg.ForeignKeyViolationError:
        raise UnknownCredentialError from None


async def list_cards(connection: type_connection, credential_id: str) -> list[Card]:
    """The cards of a credential, the oldest first."""
    return [Card(*row) for row in await connection.fetch(CARDS.list_cards, credential_id)]


async def read_virtual_card(connection: type_connection, card_id: UUID) -> VirtualCard | None:
    """A simulated card that is active."""
    row = await connection.fetchrow(CARDS.read_virtual_card, card_id)
    return None if row is None else VirtualCard(*row)


async def keep_token(
    connection: type_connection, card_id: UUID, token_sha256: bytes, good_for_s: float
) -> None:
    """Keep the hash of a token that is handed out now; the one before it is void."""
    await connection.execute(CARDS.keep_token, card_id, token_sha256, good_for_s)


async def seed(connection: type_connection, seeds: Sequence[SeedCard]) -> list[tuple[UUID, str]]:
    """Make these accounts, their money and cards where they are not there yet; ids and last digits, in order.

    One transaction: of any number of runs at once, each finds the whole or makes it.
    """
    made = []
    async with connection.transaction():
        for each in seeds:
            await connection.execute(CARDS.seed_account, each.account_id)
            await connection.execute(CARDS.seed_balance, each.account_id, each.unit, each.amount_minor)
            row = await connection.fetchrow(
                CARDS.seed_card,
                each.account_id,
                each.cardholder_name,
                each.last4,
                each.exp_month,
                each.exp_year,
            )
            assert row is not None, "the statement inserts or updates"
            made.append((row["id"], row["last4"]))
    return made
