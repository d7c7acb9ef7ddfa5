"""Rows of what is for sale: plans and products. Decides nothing."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import asyncpg

from db.pool import type_connection
from db.queries import Queries

CATALOGUE = Queries("catalogue.sql")


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan; amounts in minor units, 0: free. `trial_days` 0: no trial."""

    id: str
    name: str
    amount_minor: int
    currency: str
    trial_days: int
    active: bool


@dataclass(frozen=True, slots=True)
class Product:
    """A product; amounts in minor units. `seller_id` None: the house sells."""

    id: str
    seller_id: str | None
    amount_minor: int
    currency: str
    seller_amount_minor: int
    licences: list[str]
    active: bool


async def put_plan(connection: type_connection, plan: Plan) -> Plan | None:
    """Put a plan as it shall be; None where we know no such currency."""
    return _plan(await connection.fetchrow(CATALOGUE.put_plan, *astuple(plan)))


async def list_plans(connection: type_connection) -> list[Plan]:
    """All plans by id."""
    return [Plan(*row) for row in await connection.fetch(CATALOGUE.list_plans)]


async def read_plan(connection: type_connection, plan_id: str) -> Plan | None:
    """A plan that may be subscribed to."""
    return _plan(await connection.fetchrow(CATALOGUE.read_plan, plan_id))


async def put_product(connection: type_connection, product: Product) -> Product | None:
    """Put a product as it shall be; None where we know no such currency."""
    return _product(await connection.fetchrow(CATALOGUE.put_product, *astuple(product)))


async def list_products(connection: type_connection) -> list[Product]:
    """All products by id."""
    return [Product(*row) for row in await connection.fetch(CATALOGUE.list_products)]


async def read_product(connection: type_connection, product_id: str) -> Product | None:
    """A product that may be ordered."""
    return _product(await connection.fetchrow(CATALOGUE.read_product, product_id))


async def has_currency(connection: type_connection, currency: str) -> bool:
    """Whether we keep books in this currency."""
    return bool(await connection.fetchval(CATALOGUE.has_unit, currency))


def _plan(row: asyncpg.Record | None) -> Plan | None:
    return None if row is None else Plan(*row)


def _product(row: asyncpg.Record | None) -> Product | None:
    return None if row is None else Product(*row)
