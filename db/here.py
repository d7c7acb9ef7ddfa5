"""What we have of the objects that a PSP speaks of, and what to look for: values only, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

type_row = Mapping[str, Any]
"""A row by column; which columns, `sql/queries/reconcile.sql` says."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Ids by which to look for what we have; each in the PSP's words unless it says ours."""

    payments: Sequence[str] = ()
    payables: Sequence[str] = ()
    """Our orders' and subscriptions' own ids."""
    checkouts: Sequence[str] = ()
    refunds: Sequence[str] = ()
    disputes: Sequence[str] = ()
    subscriptions: Sequence[str] = ()
    invoices: Sequence[str] = ()
    transfers: Sequence[str] = ()


@dataclass(slots=True)
class Here:
    """What we have, by id; purchases and payables also by their payment."""

    payables: dict[str, type_row] = field(default_factory=dict)
    payables_by_payment: dict[str, type_row] = field(default_factory=dict)
    purchases: dict[str, type_row] = field(default_factory=dict)
    purchases_by_payment: dict[str, type_row] = field(default_factory=dict)
    refunds: dict[str, type_row] = field(default_factory=dict)
    """By our id and by the PSP's."""
    disputes: dict[str, type_row] = field(default_factory=dict)
    subscriptions: dict[str, type_row] = field(default_factory=dict)
    invoices: dict[str, type_row] = field(default_factory=dict)
    transfers: dict[str, type_row] = field(default_factory=dict)
    paid: dict[tuple[str, str], type_row] = field(default_factory=dict)
    """Payments that have paid for something, as (payment, id); and our orders, as (order, id)."""
