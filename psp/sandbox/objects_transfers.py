"""Renders transfers and their reversals as Stripe's newest version shows them; it must never change one."""

from __future__ import annotations

from typing import Any

from .records import Movement, Transfer, TransferReversal

Shape = dict[str, Any]


def transfer(record: Transfer, movements: list[Movement], reversals: list[Shape]) -> Shape:
    """A transfer with its reversals, newest first."""
    return {
        "id": record.id,
        "object": "transfer",
        "amount": record.amount,
        "amount_reversed": record.amount_reversed,
        "balance_transaction": next((m.id for m in movements if m.kind == "transfer"), None),
        "created": record.created,
        "currency": record.currency,
        "description": record.description,
        "destination": record.destination,
        "destination_payment": f"py_{record.id[3:]}",
        "livemode": False,
        "metadata": record.metadata,
        "reversals": {
            "object": "list",
            "data": reversals,
            "has_more": False,
            "total_count": len(reversals),
            "url": f"/v1/transfers/{record.id}/reversals",
        },
        "reversed": record.amount_reversed == record.amount,
        "source_transaction": record.source_transaction,
        "source_type": "card",
        "transfer_group": record.transfer_group,
    }


def reversal(record: TransferReversal, movements: list[Movement]) -> Shape:
    """Money that came back from a connected account."""
    return {
        "id": record.id,
        "object": "transfer_reversal",
        "amount": record.amount,
        "balance_transaction": next((m.id for m in movements if m.kind == "transfer_reversal"), None),
        "created": record.created,
        "currency": record.currency,
        "destination_payment_refund": f"pyr_{record.id[4:]}",
        "metadata": record.metadata,
        "source_refund": None,
        "transfer": record.transfer,
    }
