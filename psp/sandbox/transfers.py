"""Passes money on to sellers and takes it back; must never take back more than was passed on.

A transfer out of the balance is not checked against it: the sandbox's merchant has other income.
"""

from __future__ import annotations

from .errors import StripeError, invalid, state, unknown
from .forms import Params
from .records import Charge, Transfer, TransferReversal
from .turn import Turn


def create(turn: Turn, params: Params) -> Transfer:
    """`POST /v1/transfers`; one with a `source_transaction` passes on a charge's money, and no more of it."""
    amount, currency = params.amount("amount"), params.currency("currency")
    destination, group = params.required("destination"), params.text("transfer_group")
    if not destination.startswith("acct_"):
        raise StripeError(
            f"No such destination: '{destination}'", code="resource_missing", param="destination"
        )
    source, metadata = params.text("source_transaction"), params.metadata()
    if source is not None:
        charge = _charge(turn, source, amount, currency)
        group = group or charge.transfer_group or f"group_{charge.payment_intent}"
    transfer = Transfer(
        id=turn.mint.id("tr"),
        created=turn.now_s,
        amount=amount,
        currency=currency,
        destination=destination,
        description=params.text("description"),
        transfer_group=group,
        source_transaction=source,
        metadata=metadata,
        chaos_number=turn.next_number(),
    )
    turn.store.insert(transfer)
    turn.move("transfer", transfer.id, amount, currency)
    turn.emit("transfer.created", transfer)
    return transfer


def _charge(turn: Turn, charge_id: str, amount: int, currency: str) -> Charge:
    """The paid charge whose money is passed on; raises StripeError where it has not that much left."""
    charge = turn.store.get(Charge, charge_id)
    if charge is None:
        raise unknown("charge", charge_id, "source_transaction")
    if charge.status != "succeeded":
        raise state(f"Charge {charge.id} has not been paid.", "charge_not_paid")
    if charge.currency != currency:
        raise invalid("currency", f"must be {charge.currency}, the charge's")
    left = charge.amount - int(turn.store.rows("transferred_of_charge", charge=charge.id)[0]["total"])
    if amount > left:
        raise StripeError(
            f"Transfer amount ({amount}) is greater than what is left of the source charge ({left})",
            param="amount",
            executed=True,
        )
    return charge


def update(turn: Turn, transfer: Transfer, params: Params) -> Transfer:
    """`POST /v1/transfers/{id}`: its metadata and description."""
    before = turn.look(transfer)
    transfer.metadata = params.metadata_onto(transfer.metadata)
    transfer.description = params.text("description") or transfer.description
    turn.store.update(transfer)
    if turn.look(transfer) != before:
        turn.emit_change("transfer.updated", transfer, before)
    return transfer


def reverse(turn: Turn, transfer: Transfer, params: Params) -> TransferReversal:
    """`POST /v1/transfers/{id}/reversals`: what is left of it, or `amount` of that."""
    amount, metadata = params.integer("amount"), params.metadata()
    if amount is not None and amount <= 0:
        raise invalid("amount", "must be at least 1")
    left = transfer.amount - transfer.amount_reversed
    if left == 0:
        raise StripeError(f"Transfer {transfer.id} has already been fully reversed.", executed=True)
    if amount is not None and amount > left:
        raise StripeError(
            f"Reversal amount ({amount}) is greater than unreversed amount on transfer ({left})",
            param="amount",
            executed=True,
        )
    before = turn.look(transfer)
    reversal = TransferReversal(
        id=turn.mint.id("trr"),
        created=turn.now_s,
        transfer=transfer.id,
        amount=left if amount is None else amount,
        currency=transfer.currency,
        metadata=metadata,
    )
    turn.store.insert(reversal)
    turn.move("transfer_reversal", reversal.id, reversal.amount, reversal.currency)
    transfer.amount_reversed += reversal.amount
    turn.store.update(transfer)
    turn.emit_change("transfer.reversed", transfer, before, beside=True)
    return reversal
