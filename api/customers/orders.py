"""`POST /api/v1/orders`, `GET /api/v1/orders/{id}`: an order with its payment. Buyers never name a price."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from api import auth, bodies, catalogue, errors, intents
from api.amounts import iso_ms
from api.answers import json_answer
from api.auth import Caller, Role
from api.balances import may_read
from api.customers import opening
from api.errors import Detail
from api.idempotency import OPERATION
from api.world import CALLER, WORLD
from billing.commands import OrderPlaced
from billing.terms import OrderTerms
from db import catalogue as rows
from db import shop
from db.pool import type_connection
from db.shop import OrderRow
from psp.envelope import storable

NO_PROVIDER = "No payment provider is configured"
_OWN_PRICE = ("amount_minor", "currency", "seller_id", "seller_amount_minor", "licences")


class PlaceOrder(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a buyer wants: a product. Only whoever may act for others names a buyer, or a price instead."""

    product_id: catalogue.type_id | None = None
    provider: Literal["stripe", "hyperswitch"] | None = None
    buyer_id: Annotated[str, msgspec.Meta(max_length=auth.ACCOUNT_ID_BYTES_MAX)] | None = None
    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=catalogue.AMOUNT_MINOR_MAX)] | None = None
    currency: catalogue.type_currency | None = None
    seller_id: Annotated[str, msgspec.Meta(max_length=auth.ACCOUNT_ID_BYTES_MAX)] | None = None
    seller_amount_minor: Annotated[int, msgspec.Meta(ge=0)] = 0
    licences: catalogue.type_licences = []


class RefundAnswer(msgspec.Struct):
    """A refund of an order."""

    id: str
    status: str
    amount_minor: int


class OrderAnswer(msgspec.Struct):
    """An order as it stands; `reason` is the rule that its last step went by, as its history has it."""

    id: str
    status: str
    reason: str
    provider: str
    payment_id: str | None
    buyer_id: str
    seller_id: str | None
    amount_minor: int
    currency: str
    licences: list[str]
    created_at: str
    completed_at: str | None
    refunds: list[RefundAnswer]


class PlacedOrder(OrderAnswer):
    """The same with what completes its payment."""

    client_secret: str


def check(request: web.Request) -> None:
    """What the type cannot say. Raises ApiError 400."""
    asked = bodies.of(request, PlaceOrder)
    if asked.buyer_id is not None and auth.account_id(asked.buyer_id) is None:
        raise errors.invalid_body(Detail("buyer_id", "is no account id", "invalid"))
    if asked.product_id is None:
        for name in ("amount_minor", "currency"):
            if getattr(asked, name) is None:
                wanted = "product_id" if request[CALLER].role is Role.CUSTOMER else name
                raise errors.invalid_body(Detail(wanted, "is required", "missing"))
        catalogue.check_sale(
            asked.amount_minor or 0, asked.seller_id, asked.seller_amount_minor, asked.licences
        )
        return
    for name in _OWN_PRICE:
        if getattr(asked, name) not in (None, 0, []):
            raise errors.invalid_body(Detail(name, "does not go with product_id", "invalid"))


async def place(request: web.Request) -> web.Response:
    """An order under this operation's id: committed first, with the intent to open its payment; then that."""
    order_id = str(request[OPERATION])
    order = await _read(request, order_id)
    if order is None:
        terms = await _agreed(request, order_id)
        chosen = opening.provider(request, bodies.of(request, PlaceOrder).provider, NO_PROVIDER)
        await intents.say(request, OrderPlaced(chosen.source, None, terms), terms.key, order_id)
        order = await _read(request, order_id)
        assert order is not None, "the workers have applied it"
    effects = opening.provider(request, order.source, NO_PROVIDER)
    opened = await opening.payment(request, effects, order.terms, order.payment_id)
    answer = await _answer(request, order_id)
    told = PlacedOrder(
        **{**msgspec.structs.asdict(answer), "payment_id": opened.id}, client_secret=opened.secret
    )
    return json_answer(told, status=201)


async def show(request: web.Request) -> web.Response:
    """An order, for its buyer and its seller, a gateway's admin and operators."""
    return json_answer(await _answer(request, (await visible(request)).terms.id))


async def visible(request: web.Request) -> OrderRow:
    """The order of the path. Raises ApiError 404: another's order and no order look the same."""
    order_id, caller = storable(request.match_info["id"]), request[CALLER]
    order = None if order_id is None else await _read(request, order_id)
    if order is None or not _concerns(caller, order):
        raise errors.not_found("No such order")
    return order


def _concerns(caller: Caller, order: OrderRow) -> bool:
    return may_read(caller, order.terms.buyer_id) or order.terms.seller_id == caller.name


async def _agreed(request: web.Request, order_id: str) -> OrderTerms:
    """What is ordered, by whom and for how much. Raises ApiError 400, 403 or 404."""
    asked, caller = bodies.of(request, PlaceOrder), request[CALLER]
    buyer_id = _buyer(caller, asked.buyer_id)
    async with request.app[WORLD].connection() as connection:
        if asked.product_id is not None:
            return await _terms_of_product(connection, order_id, buyer_id, asked.product_id)
        if not (caller.admin or caller.role is Role.OPS):
            raise errors.forbidden("Only operators name a price; order a product")
        assert asked.amount_minor is not None, "checked before"
        assert asked.currency is not None, "checked before"
        if not await rows.has_currency(connection, asked.currency):
            raise catalogue.unknown_currency()
    return OrderTerms(
        order_id,
        buyer_id,
        asked.seller_id,
        asked.amount_minor,
        asked.currency,
        asked.seller_amount_minor,
        tuple(asked.licences),
    )


async def _terms_of_product(
    connection: type_connection, order_id: str, buyer_id: str, product_id: str
) -> OrderTerms:
    product = await rows.read_product(connection, product_id)
    if product is None:
        raise errors.not_found("No such product")
    return OrderTerms(
        order_id,
        buyer_id,
        product.seller_id,
        product.amount_minor,
        product.currency,
        product.seller_amount_minor,
        tuple(product.licences),
    )


def _buyer(caller: Caller, named: str | None) -> str:
    if caller.role is Role.OPS:
        if named is None:
            raise errors.invalid_body(Detail("buyer_id", "is required with an ops token", "missing"))
        return named
    if named is None or named == caller.name or caller.admin:
        return named or caller.name
    # Another's account and no account look the same.
    raise errors.not_found("No such account")


async def _read(request: web.Request, order_id: str) -> OrderRow | None:
    async with request.app[WORLD].connection() as connection:
        return await shop.read_order(connection, order_id)


async def _answer(request: web.Request, order_id: str) -> OrderAnswer:
    async with request.app[WORLD].connection() as connection:
        order = await shop.read_order(connection, order_id)
        assert order is not None, "orders are never deleted"
        refunds = await shop.list_refunds(connection, order)
    return OrderAnswer(
        id=order.terms.id,
        status=order.status,
        reason=order.reason,
        provider=order.source,
        payment_id=order.payment_id,
        buyer_id=order.terms.buyer_id,
        seller_id=order.terms.seller_id,
        amount_minor=order.terms.amount_minor,
        currency=order.terms.currency,
        licences=list(order.terms.licences),
        created_at=iso_ms(order.created_at),
        completed_at=None if order.completed_at is None else iso_ms(order.completed_at),
        refunds=[RefundAnswer(each.id, each.status, each.amount_minor) for each in refunds],
    )
