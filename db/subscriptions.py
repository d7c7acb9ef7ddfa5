"""Rows of the subscription family: mirrored subscriptions and their invoices. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from billing.ordering import Version
from billing.subscription import Invoice, Subscription
from db import columns
from db.pool import type_connection
from db.queries import SUBSCRIPTIONS

_VERSIONS = msgspec.json.Decoder(tuple[Version, ...])


async def lock(
    connection: type_connection, names: dict[str, list[str]]
) -> tuple[list[Subscription], list[Invoice]]:
    """Lock and load what these keys name (ids by kind of key), of any source, in one fixed order; with each
    subscription the invoices that may decide its state, without their refunds and disputes.
    """
    subscriptions: list[Subscription] = []
    if ids := names.get("subscription"):
        rows = await columns.fetch(connection, SUBSCRIPTIONS.lock_subscriptions, ids)
        subscriptions = [
            Subscription(row["source"], row["id"], row["status"], _read(row["versions"]), row["version"])
            for row in rows
        ]
    invoice_ids = set(names.get("invoice", ()))
    for subscription in subscriptions:
        latest = {version.values["latest_invoice_id"] for version in subscription.versions}
        invoice_ids |= {str(invoice_id) for invoice_id in latest if invoice_id is not None}
    invoices: list[Invoice] = []
    payment_ids = names.get("payment", [])
    if invoice_ids or payment_ids:
        rows = await columns.fetch(connection, SUBSCRIPTIONS.lock_invoices, sorted(invoice_ids), payment_ids)
        invoices = [Invoice(**{**dict(row), "versions": _read(row["versions"])}) for row in rows]
    return subscriptions, invoices


async def write_subscriptions(
    connection: type_connection, changed: Sequence[Subscription], known: set[tuple[str, str]]
) -> None:
    """Write changed subscriptions, before their invoices; `known` are those that were loaded, by source and
    id.
    """
    for query, members in (
        (SUBSCRIPTIONS.insert_subscriptions, [s for s in changed if (s.source, s.id) not in known]),
        (SUBSCRIPTIONS.update_subscriptions, [s for s in changed if (s.source, s.id) in known]),
    ):
        if members:
            await columns.execute(
                connection, query, *_columns([_subscription_row(member) for member in members])
            )


async def write_invoices(
    connection: type_connection, changed: Sequence[Invoice], known: set[tuple[str, str]]
) -> None:
    """Write changed invoices; `known` are those that were loaded, by source and id."""
    for query, members in (
        (SUBSCRIPTIONS.insert_invoices, [i for i in changed if (i.source, i.id) not in known]),
        (SUBSCRIPTIONS.update_invoices, [i for i in changed if (i.source, i.id) in known]),
    ):
        if members:
            await columns.execute(connection, query, *_columns([_invoice_row(member) for member in members]))


def _subscription_row(subscription: Subscription) -> tuple[columns.type_value, ...]:
    order, values = subscription.order, subscription.values
    return (
        subscription.source,
        subscription.id,
        subscription.status,
        values.status,
        values.customer_id,
        values.account_id,
        values.price_id,
        values.cancel_at_period_end,
        values.current_period_start,
        values.current_period_end,
        values.trial_end,
        values.canceled_at,
        values.ended_at,
        values.latest_invoice_id,
        order.latest.second,
        _written(subscription.versions),
        subscription.deleted,
        order.ambiguous,
        subscription.version,
    )


def _invoice_row(invoice: Invoice) -> tuple[columns.type_value, ...]:
    order, values = invoice.order, invoice.values
    return (
        invoice.source,
        invoice.id,
        invoice.subscription_id,
        invoice.currency,
        invoice.payment_id,
        values.status,
        values.amount_due_minor,
        values.amount_paid_minor,
        values.attempt_count,
        values.paid_at,
        order.latest.second,
        _written(invoice.versions),
        order.ambiguous,
        invoice.version,
    )


def _columns(rows: Sequence[tuple[columns.type_value, ...]]) -> list[list[columns.type_value]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _written(versions: Sequence[Version]) -> str:
    return msgspec.json.encode(versions).decode()


def _read(versions: str) -> tuple[Version, ...]:
    return _VERSIONS.decode(versions)
