"""`/ops/plans` and `/ops/products`: operators say what is for sale and for how much. Sells nothing itself."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from api import auth, bodies, errors
from api.answers import json_answer
from api.errors import Detail
from api.world import WORLD, access
from db import catalogue, reads
from db.catalogue import Plan, Product
from psp.envelope import storable

AMOUNT_MINOR_MAX = 99_999_999
"""Eight digits: what Stripe charges at once. Source: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts"""
TRIAL_DAYS_MAX = 730
"""Two years, as at Stripe."""
_LICENCES_MAX = 100
_NAME_CHARACTERS_MAX = 255

type_id = Annotated[str, msgspec.Meta(min_length=1, max_length=_NAME_CHARACTERS_MAX)]
type_currency = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{3}\Z")]
type_licences = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=_NAME_CHARACTERS_MAX)]],
    msgspec.Meta(max_length=_LICENCES_MAX),
]
type_amount = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MINOR_MAX)]


class PutPlan(msgspec.Struct, forbid_unknown_fields=True):
    """A plan as it shall be: minor units of an ISO 4217 currency in lower case; an amount of 0 is free."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=_NAME_CHARACTERS_MAX)]
    amount_minor: type_amount
    currency: type_currency
    trial_days: Annotated[int, msgspec.Meta(ge=0, le=TRIAL_DAYS_MAX)] = 0
    active: bool = True


class PutProduct(msgspec.Struct, forbid_unknown_fields=True):
    """A product as it shall be; without a seller the house sells it and keeps the whole amount."""

    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MINOR_MAX)]
    currency: type_currency
    seller_id: Annotated[str, msgspec.Meta(max_length=auth.ACCOUNT_ID_BYTES_MAX)] | None = None
    seller_amount_minor: type_amount = 0
    licences: type_licences = []
    active: bool = True


class PlanAnswer(msgspec.Struct):
    """A plan as it is."""

    id: str
    name: str
    amount_minor: int
    currency: str
    trial_days: int
    active: bool


class ProductAnswer(msgspec.Struct):
    """A product as it is."""

    id: str
    seller_id: str | None
    amount_minor: int
    currency: str
    seller_amount_minor: int
    licences: list[str]
    active: bool


class PlansAnswer(msgspec.Struct):
    """All plans by id."""

    items: list[PlanAnswer]


class ProductsAnswer(msgspec.Struct):
    """All products by id."""

    items: list[ProductAnswer]


def check_plan(request: web.Request) -> None:
    """What the type cannot say. Raises ApiError 400."""
    asked = bodies.of(request, PutPlan)
    if storable(asked.name) is None:
        raise errors.invalid_body(Detail("name", "must be printable text", "invalid"))
    if asked.trial_days > 0 and asked.amount_minor == 0:
        raise errors.invalid_body(Detail("trial_days", "must be 0 where the plan is free", "invalid"))


def check_product(request: web.Request) -> None:
    """What the type cannot say. Raises ApiError 400."""
    asked = bodies.of(request, PutProduct)
    check_sale(asked.amount_minor, asked.seller_id, asked.seller_amount_minor, asked.licences)


def check_sale(
    amount_minor: int, seller_id: str | None, seller_amount_minor: int, licences: list[str]
) -> None:
    """What must hold of everything that is sold. Raises ApiError 400."""
    if seller_id is not None and auth.account_id(seller_id) is None:
        raise errors.invalid_body(Detail("seller_id", "is no account id", "invalid"))
    if seller_amount_minor > (0 if seller_id is None else amount_minor):
        raise errors.invalid_body(Detail("seller_amount_minor", "is more than there is to give", "invalid"))
    # The workers write licences as a list with commas between them.
    if len(set(licences)) < len(licences) or any(
        storable(name) is None or "," in name or name != name.strip() for name in licences
    ):
        raise errors.invalid_body(Detail("licences", "must be different names without commas", "invalid"))


async def put_plan(request: web.Request) -> web.Response:
    """Put a plan in, or change what it costs from now on."""
    asked = bodies.of(request, PutPlan)
    plan = Plan(
        path_id(request), asked.name, asked.amount_minor, asked.currency, asked.trial_days, asked.active
    )
    async with request.app[WORLD].connection() as connection:
        await reads.log_access(connection, access(request, "put_plan", f"plan:{plan.id}"))
        found = await catalogue.put_plan(connection, plan)
    if found is None:
        raise unknown_currency()
    return json_answer(_plan(found))


async def list_plans(request: web.Request) -> web.Response:
    """All plans, whether they may be subscribed to or not."""
    async with request.app[WORLD].connection() as connection:
        found = await catalogue.list_plans(connection)
    return json_answer(PlansAnswer([_plan(plan) for plan in found]))


async def put_product(request: web.Request) -> web.Response:
    """Put a product in, or change what it costs from now on."""
    asked = bodies.of(request, PutProduct)
    product = Product(
        path_id(request),
        asked.seller_id,
        asked.amount_minor,
        asked.currency,
        asked.seller_amount_minor,
        asked.licences,
        asked.active,
    )
    async with request.app[WORLD].connection() as connection:
        await reads.log_access(connection, access(request, "put_product", f"product:{product.id}"))
        found = await catalogue.put_product(connection, product)
    if found is None:
        raise unknown_currency()
    return json_answer(_product(found))


async def list_products(request: web.Request) -> web.Response:
    """All products, whether they may be ordered or not."""
    async with request.app[WORLD].connection() as connection:
        found = await catalogue.list_products(connection)
    return json_answer(ProductsAnswer([_product(product) for product in found]))


def unknown_currency() -> errors.ApiError:
    """400: we keep no books in it."""
    return errors.invalid_body(Detail("currency", "is no currency that we know", "unknown"))


def path_id(request: web.Request) -> str:
    """The id in the path, for something that is put there. Raises ApiError 400."""
    found = storable(request.match_info["id"])
    if found is None or found != found.strip() or len(found.encode()) > _NAME_CHARACTERS_MAX:
        raise errors.invalid([Detail("id", "must be 1 to 255 printable characters", "invalid")])
    return found


def _plan(plan: Plan) -> PlanAnswer:
    return PlanAnswer(plan.id, plan.name, plan.amount_minor, plan.currency, plan.trial_days, plan.active)


def _product(product: Product) -> ProductAnswer:
    return ProductAnswer(
        product.id,
        product.seller_id,
        product.amount_minor,
        product.currency,
        product.seller_amount_minor,
        product.licences,
        product.active,
    )
