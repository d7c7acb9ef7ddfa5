"""Loads and writes what events change: the subjects of every family, journal and ledger. Decides nothing.

Loads lock rows in one fixed order. Writes are set-based and all belong into the caller's one transaction; a
row that another worker has inserted meanwhile raises one of `db.pool.LOST_RACE`, and the batch is decided
anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from billing.decision import Movement, PspCall, Transition
from billing.facts import Cause
from billing.order import Order
from billing.plan import PlanSubscription
from billing.purchase import Purchase
from billing.subject import Subject
from billing.subscription import Invoice, Subscription
from db import columns, orders, outbox, plans, purchases, reversals, subscriptions
from db.pool import type_connection
from db.queries import CREDITS, LEDGER

T = TypeVar("T")

_KEY_OF_OWNER = {
    "checkout_session": "checkout",
    "order": "order",
    "subscription_invoice": "invoice",
}
"""By which kind of key an owner of refunds is loaded."""


class Effect(msgspec.Struct, frozen=True):
    """One journal entry, movement of money or call of a PSP with the event that caused it."""

    cause: Cause
    transition: Transition | None = None
    movement: Movement | None = None
    call: PspCall | None = None


async def load(connection: type_connection, keys: Sequence[str]) -> list[Subject]:
    """Lock and load every subject that one of these keys names, of any source: families in one fixed
    order.
    """
    names: dict[str, list[str]] = {}
    for key in sorted(set(keys)):
        kind, _, name = key.partition(":")
        names.setdefault(kind, []).append(name)
    refunded = await reversals.owners_of(connection, names.get("refund", []))
    for owner_kind, kind in _KEY_OF_OWNER.items():
        names.setdefault(kind, []).extend(refunded.get(owner_kind, ()))
    names.setdefault("subscription", []).extend(refunded.get("subscription_invoice", ()))
    bought = await purchases.lock(connection, names)
    ordered = await orders.lock(connection, names)
    planned = await plans.lock(connection, names)
    subscribed, invoiced = await subscriptions.lock(connection, names)
    owners: list[Purchase | Order | PlanSubscription | Invoice] = [*bought, *ordered, *planned, *invoiced]
    held = await reversals.load(connection, [owner.owner for owner in owners])
    whole: list[Subject] = [
        replace(
            owner,
            refunds=held.refunds.get((owner.source, *owner.owner), {}),
            disputes=held.disputes.get((owner.source, *owner.owner), {}),
        )
        for owner in owners
    ]
    return [*whole, *subscribed]


async def write(
    connection: type_connection,
    before: Iterable[Subject],
    after: Iterable[Subject],
    effects: Sequence[Effect],
    causes: dict[str, Cause],
) -> None:
    """Write changed subjects, the calls that are wanted and the journal, everything but the ledger; `causes`
    names for each account the event that may open it.
    """
    known = {(subject.family, subject.source, subject.id): subject for subject in before}
    changed = sorted(
        (subject for subject in after if known.get((subject.family, subject.source, subject.id)) != subject),
        key=lambda subject: (subject.family, subject.source, subject.id),
    )
    loaded = list(known.values())
    opened = await _open_accounts(connection, causes)
    await purchases.write(connection, _of(Purchase, changed), _ids(_of(Purchase, loaded)))
    await orders.write(
        connection, _of(Order, changed), {(old.source, old.id): old for old in _of(Order, loaded)}
    )
    await plans.write(connection, _of(PlanSubscription, changed), _ids(_of(PlanSubscription, loaded)))
    await subscriptions.write_subscriptions(
        connection,
        _of(Subscription, changed),
        _ids(_of(Subscription, loaded)),
    )
    await subscriptions.write_invoices(connection, _of(Invoice, changed), _ids(_of(Invoice, loaded)))
    await reversals.write(connection, _owners(loaded), _owners(changed))
    await outbox.stage(
        connection, [(effect.cause, effect.call) for effect in effects if effect.call is not None]
    )
    await _write_journal(
        connection, [*opened, *(effect for effect in effects if effect.transition is not None)]
    )


def _of(family: type[T], subjects: Iterable[Subject]) -> list[T]:
    return [subject for subject in subjects if isinstance(subject, family)]


def _ids(subjects: Iterable[Subject]) -> set[tuple[str, str]]:
    return {(subject.source, subject.id) for subject in subjects}


def _owners(subjects: Iterable[Subject]) -> list[Purchase | Order | PlanSubscription | Invoice]:
    return [
        subject for subject in subjects if isinstance(subject, Purchase | Order | PlanSubscription | Invoice)
    ]


async def _open_accounts(connection: type_connection, causes: dict[str, Cause]) -> list[Effect]:
    if not causes:
        return []
    rows = await columns.fetch(connection, CREDITS.open_accounts, sorted(causes))
    return [
        Effect(
            causes[row["id"]], Transition("account", row["id"], 1, None, "open", "first_credit", None, None)
        )
        for row in rows
    ]


async def _write_journal(connection: type_connection, effects: list[Effect]) -> None:
    entries = [(effect.cause, effect.transition) for effect in effects if effect.transition is not None]
    if entries:
        await columns.execute(
            connection,
            CREDITS.insert_transitions,
            [t.kind for _, t in entries],
            [c.source for c, _ in entries],
            [t.object_id for _, t in entries],
            [t.seq for _, t in entries],
            [t.from_state for _, t in entries],
            [t.to_state for _, t in entries],
            [t.rule for _, t in entries],
            [c.event_id for c, _ in entries],
            [c.log_id for c, _ in entries],
            [c.psp_created for c, _ in entries],
            [_money(t.money_before) for _, t in entries],
            [_money(t.money_after) for _, t in entries],
        )


def _money(amounts: dict[str, int] | None) -> str | None:
    return None if amounts is None else msgspec.json.encode(amounts).decode()


async def post(connection: type_connection, effects: Sequence[Effect]) -> list[str]:
    """Write the ledger; returns the accounts that are below zero after this batch.

    Belongs at the end of a transaction: every batch moves the house's accounts, so from here to its commit no
    other batch can post.
    """
    moved = [(effect.cause, effect.movement) for effect in effects if effect.movement is not None]
    if not moved:
        return []
    legs = [(ordinal, leg) for ordinal, (_, movement) in enumerate(moved) for leg in movement.legs]
    await columns.execute(
        connection,
        LEDGER.post_movements,
        list(range(len(moved))),
        [cause.source for cause, _ in moved],
        [movement.movement for _, movement in moved],
        [movement.money_object for _, movement in moved],
        [cause.event_id for cause, _ in moved],
        [cause.log_id for cause, _ in moved],
        [None] * len(moved),
        [ordinal for ordinal, _ in legs],
        [leg.account_id for _, leg in legs],
        [leg.unit for _, leg in legs],
        [leg.amount for _, leg in legs],
        [movement.moved_at for _, movement in moved],
    )
    losers = sorted({leg.account_id for _, leg in legs if leg.amount < 0})
    if not losers:
        return []
    return [row["account_id"] for row in await columns.fetch(connection, LEDGER.negative_balances, losers)]
