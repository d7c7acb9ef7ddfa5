"""Rows of the subscriptions that we run ourselves, each with the invoice of its payment. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from billing.plan import PlanSubscription
from billing.terms import PlanTerms
from db import columns
from db.pool import type_connection
from db.queries import PLANS


async def lock(connection: type_connection, names: dict[str, list[str]]) -> list[PlanSubscription]:
    """Lock and load the subscriptions that these keys name (ids by kind of key), of any source, in one fixed
    order; without their refunds and disputes.
    """
    ids, payment_ids = names.get("subscription", []), names.get("payment", [])
    if not ids and not payment_ids:
        return []
    return [
        PlanSubscription(
            source=row["source"],
            terms=PlanTerms(
                row["id"],
                row["account_id"],
                row["plan_id"],
                row["amount_minor"],
                row["currency"],
                row["trial_ends_at"],
            ),
            payment_id=row["payment_id"],
            payment_status=row["payment_status"],
            version=row["version"],
            invoice_version=row["invoice_version"] or 0,
        )
        for row in await columns.fetch(connection, PLANS.lock_plan_subscriptions, ids, payment_ids)
    ]


async def write(
    connection: type_connection, changed: Sequence[PlanSubscription], known: set[tuple[str, str]]
) -> None:
    """Write changed subscriptions and their invoices; `known` are those that were loaded, by source and
    id.
    """
    new = [one for one in changed if (one.source, one.id) not in known]
    old = [one for one in changed if (one.source, one.id) in known]
    if new:
        await connection.execute(
            PLANS.insert_plan_subscriptions,
            [one.source for one in new],
            [one.id for one in new],
            [one.status for one in new],
            [one.terms.account_id for one in new],
            [one.terms.plan_id for one in new],
            [one.amount_minor for one in new],
            [one.currency for one in new],
            [one.terms.trial_ends_at for one in new],
            [one.payment_status for one in new],
            [one.version for one in new],
        )
    if old:
        await connection.execute(
            PLANS.update_plan_subscriptions,
            [one.source for one in old],
            [one.id for one in old],
            [one.status for one in old],
            [one.payment_status for one in old],
            [one.version for one in old],
        )
    if billed := [one for one in changed if one.invoice_status is not None]:
        await connection.execute(
            PLANS.put_plan_invoices,
            [one.source for one in billed],
            [one.id for one in billed],
            [one.payment_id for one in billed],
            [one.invoice_status for one in billed],
            [one.amount_minor for one in billed],
            [one.currency for one in billed],
            [one.invoice_version for one in billed],
        )
