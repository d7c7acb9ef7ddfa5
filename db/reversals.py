"""Rows of refunds and disputes, whatever their payment has paid for. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from billing.refunds import Dispute, Refund
from db import columns
from db.pool import type_connection
from db.queries import REVERSALS

type_owner = tuple[str, str, str]
"""Source, kind and id of what owns refunds and disputes."""


class Owner(Protocol):
    """A subject that has refunds and disputes."""

    @property
    def source(self) -> str:
        """Whose ids these are."""

    @property
    def owner(self) -> tuple[str, str]:
        """Kind and id under which they are kept."""

    @property
    def refunds(self) -> Mapping[str, Refund]:
        """By id."""

    @property
    def disputes(self) -> Mapping[str, Dispute]:
        """By id."""


class Held(NamedTuple):
    """The refunds and disputes of several owners."""

    refunds: dict[type_owner, dict[str, Refund]]
    disputes: dict[type_owner, dict[str, Dispute]]


async def owners_of(connection: type_connection, refund_ids: Sequence[str]) -> dict[str, list[str]]:
    """Ids, by kind of owner, of whatever these refunds give back."""
    found: dict[str, list[str]] = {}
    if refund_ids:
        for row in await columns.fetch(connection, REVERSALS.owners_of_refunds, list(refund_ids)):
            found.setdefault(row["owner_kind"], []).append(row["owner_id"])
    return found


async def load(connection: type_connection, owners: Sequence[tuple[str, str]]) -> Held:
    """Lock and load all refunds and disputes of these owners (kind, id), which are locked already."""
    held = Held({}, {})
    if not owners:
        return held
    kinds, ids = [kind for kind, _ in owners], [owner_id for _, owner_id in owners]
    for row in await columns.fetch(connection, REVERSALS.lock_refunds, kinds, ids):
        values = dict(row)
        key = (values.pop("source"), values.pop("owner_kind"), values.pop("owner_id"))
        held.refunds.setdefault(key, {})[values["id"]] = Refund(**values)
    for row in await columns.fetch(connection, REVERSALS.lock_disputes, kinds, ids):
        values = dict(row)
        key = (values.pop("source"), values.pop("owner_kind"), values.pop("owner_id"))
        held.disputes.setdefault(key, {})[values["id"]] = Dispute(**values)
    return held


async def write(connection: type_connection, before: Iterable[Owner], after: Sequence[Owner]) -> None:
    """Write the refunds and disputes of changed owners; `before` are the owners as they were loaded."""
    known = {_key(owner): owner for owner in before}
    new_refunds: list[tuple[Owner, Refund]] = []
    old_refunds: list[tuple[Owner, Refund]] = []
    new_disputes: list[tuple[Owner, Dispute]] = []
    old_disputes: list[tuple[Owner, Dispute]] = []
    for owner in after:
        was = known.get(_key(owner))
        for refund in owner.refunds.values():
            refund_was = was.refunds.get(refund.id) if was is not None else None
            if refund_was != refund:
                (new_refunds if refund_was is None else old_refunds).append((owner, refund))
        for dispute in owner.disputes.values():
            dispute_was = was.disputes.get(dispute.id) if was is not None else None
            if dispute_was != dispute:
                (new_disputes if dispute_was is None else old_disputes).append((owner, dispute))
    await _write_refunds(connection, new_refunds, old_refunds)
    await _write_disputes(connection, new_disputes, old_disputes)


def _key(owner: Owner) -> type_owner:
    return (owner.source, *owner.owner)


async def _write_refunds(
    connection: type_connection, new: Sequence[tuple[Owner, Refund]], old: Sequence[tuple[Owner, Refund]]
) -> None:
    if new:
        await columns.execute(
            connection,
            REVERSALS.insert_refunds,
            [owner.source for owner, _ in new],
            [refund.id for _, refund in new],
            [owner.owner[0] for owner, _ in new],
            [owner.owner[1] for owner, _ in new],
            [refund.payment_id for _, refund in new],
            [refund.amount_minor for _, refund in new],
            [refund.currency for _, refund in new],
            [refund.status for _, refund in new],
            [refund.version for _, refund in new],
            [refund.psp_id for _, refund in new],
        )
    if old:
        await columns.execute(
            connection,
            REVERSALS.update_refunds,
            [owner.source for owner, _ in old],
            [refund.id for _, refund in old],
            [refund.status for _, refund in old],
            [refund.version for _, refund in old],
            [refund.psp_id for _, refund in old],
        )


async def _write_disputes(
    connection: type_connection, new: Sequence[tuple[Owner, Dispute]], old: Sequence[tuple[Owner, Dispute]]
) -> None:
    if new:
        await columns.execute(
            connection,
            REVERSALS.insert_disputes,
            [owner.source for owner, _ in new],
            [dispute.id for _, dispute in new],
            [owner.owner[0] for owner, _ in new],
            [owner.owner[1] for owner, _ in new],
            [dispute.payment_id for _, dispute in new],
            [dispute.amount_minor for _, dispute in new],
            [dispute.currency for _, dispute in new],
            [dispute.status for _, dispute in new],
            [dispute.status_at for _, dispute in new],
            [dispute.funds_withdrawn for _, dispute in new],
            [dispute.funds_reinstated for _, dispute in new],
            [dispute.funds_at for _, dispute in new],
            [dispute.version for _, dispute in new],
        )
    if old:
        await columns.execute(
            connection,
            REVERSALS.update_disputes,
            [owner.source for owner, _ in old],
            [dispute.id for _, dispute in old],
            [dispute.status for _, dispute in old],
            [dispute.status_at for _, dispute in old],
            [dispute.funds_withdrawn for _, dispute in old],
            [dispute.funds_reinstated for _, dispute in old],
            [dispute.funds_at for _, dispute in old],
            [dispute.version for _, dispute in old],
        )
