"""Rows of the order family: orders, their licences and transfers. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from billing.order import Order, Transfer
from billing.terms import OrderTerms
from db import columns
from db.pool import type_connection
from db.queries import ORDERS


async def lock(connection: type_connection, names: dict[str, list[str]]) -> list[Order]:
    """Lock and load the orders that these keys name (ids by kind of key), of any source, in one fixed order,
    with their transfers; without their refunds and disputes.
    """
    ids, payment_ids = list(names.get("order", [])), names.get("payment", [])
    if transfer_ids := names.get("transfer"):
        rows = await connection.fetch(ORDERS.orders_of_transfers, transfer_ids)
        ids += [row["order_id"] for row in rows]
    if not ids and not payment_ids:
        return []
    rows = await columns.fetch(connection, ORDERS.lock_orders, ids, payment_ids)
    if not rows:
        return []
    found = [row["id"] for row in rows]
    licences = {
        (row["source"], row["order_id"]): (row["status"], row["version"])
        for row in await connection.fetch(ORDERS.licences_of_orders, found)
    }
    transfers: dict[tuple[str, str], dict[str, Transfer]] = {}
    for row in await connection.fetch(ORDERS.lock_transfers, found):
        values = dict(row)
        key = (values.pop("source"), values.pop("order_id"))
        transfers.setdefault(key, {})[values["id"]] = Transfer(**values)
    orders = []
    for row in rows:
        values = dict(row)
        terms = OrderTerms(
            id=values.pop("id"),
            buyer_id=values.pop("buyer_id"),
            seller_id=values.pop("seller_id"),
            amount_minor=values.pop("amount_minor"),
            currency=values.pop("currency"),
            seller_amount_minor=values.pop("seller_amount_minor"),
            licences=tuple(values.pop("licences")),
        )
        order = Order(terms=terms, **values)
        status, version = licences.get((order.source, order.id), (None, 0))
        orders.append(
            replace(
                order,
                licence_status=status,
                licence_version=version,
                transfers=transfers.get((order.source, order.id), {}),
            )
        )
    return orders


async def write(
    connection: type_connection, changed: Sequence[Order], known: dict[tuple[str, str], Order]
) -> None:
    """Write changed orders; `known` holds them by source and id as they were loaded."""
    await _write_orders(connection, changed, known)
    await _write_licences(connection, changed, known)
    await _write_transfers(connection, changed, known)


async def _write_orders(
    connection: type_connection, changed: Sequence[Order], known: dict[tuple[str, str], Order]
) -> None:
    new = [order for order in changed if (order.source, order.id) not in known]
    old = [order for order in changed if (order.source, order.id) in known]
    if new:
        await connection.execute(
            ORDERS.insert_orders,
            [order.source for order in new],
            [order.id for order in new],
            [order.terms.buyer_id for order in new],
            [order.terms.seller_id for order in new],
            [order.amount_minor for order in new],
            [order.currency for order in new],
            [order.terms.seller_amount_minor for order in new],
            [",".join(order.terms.licences) for order in new],
            [order.payment_id for order in new],
            [order.payment_status for order in new],
            [order.status for order in new],
            [order.reversed_minor for order in new],
            [order.version for order in new],
        )
    if old:
        await connection.execute(
            ORDERS.update_orders,
            [order.source for order in old],
            [order.id for order in old],
            [order.payment_id for order in old],
            [order.payment_status for order in old],
            [order.status for order in old],
            [order.reversed_minor for order in old],
            [order.version for order in old],
        )


async def _write_licences(
    connection: type_connection, changed: Sequence[Order], known: dict[tuple[str, str], Order]
) -> None:
    licences = [
        (order, product)
        for order in changed
        if order.licence_status is not None
        and order.licence_version != getattr(known.get((order.source, order.id)), "licence_version", 0)
        for product in order.terms.licences
    ]
    if licences:
        await connection.execute(
            ORDERS.put_licences,
            [order.source for order, _ in licences],
            [order.id for order, _ in licences],
            [product for _, product in licences],
            [order.terms.buyer_id for order, _ in licences],
            [order.licence_status for order, _ in licences],
            [order.licence_version for order, _ in licences],
        )


async def _write_transfers(
    connection: type_connection, changed: Sequence[Order], known: dict[tuple[str, str], Order]
) -> None:
    new: list[tuple[Order, Transfer]] = []
    old: list[tuple[Order, Transfer]] = []
    for order in changed:
        was = known.get((order.source, order.id))
        for transfer in order.transfers.values():
            transfer_was = was.transfers.get(transfer.id) if was is not None else None
            if transfer_was != transfer:
                (new if transfer_was is None else old).append((order, transfer))
    if new:
        await connection.execute(
            ORDERS.insert_transfers,
            [order.source for order, _ in new],
            [transfer.id for _, transfer in new],
            [order.id for order, _ in new],
            [transfer.destination for _, transfer in new],
            [transfer.amount_minor for _, transfer in new],
            [transfer.reversed_minor for _, transfer in new],
            [transfer.currency for _, transfer in new],
            [transfer.status for _, transfer in new],
            [transfer.version for _, transfer in new],
        )
    if old:
        await connection.execute(
            ORDERS.update_transfers,
            [order.source for order, _ in old],
            [transfer.id for _, transfer in old],
            [transfer.reversed_minor for _, transfer in old],
            [transfer.status for _, transfer in old],
            [transfer.version for _, transfer in old],
        )
