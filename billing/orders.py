"""Decides what hangs on an order: its state, licences, the seller's money and transfers. Pure.

Everything is a function of what is known of payment, refunds, disputes and transfers; so any order of arrival
ends alike.
"""

from __future__ import annotations

from msgspec.structs import replace

from billing.commands import RefundRequested, ReversalEnded
from billing.decision import (
    PLATFORM_FEES,
    PSP_CLEARING,
    Decision,
    Movement,
    PspCall,
    Settled,
    Transition,
    ignored,
    move,
    parked,
    quarantined,
    superseded,
    unknown_currency,
)
from billing.facts import Cause, TransferReported
from billing.keys import order_key, payment_key, transfer_key
from billing.order import Order, Transfer
from billing.order_states import LICENCE, ORDER, TRANSFER
from billing.purchase_states import REFUND, walk
from billing.refunds import Refund, refund_keys
from billing.subject import Book
from billing.units import is_currency

ORDER_WAIT_S = 3 * 86_400.0
"""How long a transfer waits for its order: as long as the PSP may send the payment's event again."""


def settle(
    before: Order | None,
    after: Order,
    step: Transition | None = None,
    what: str = "",
    moved_at: int = 0,
    rule: str | None = None,
) -> Settled[Order]:
    """What a change of payment, refunds, disputes or transfers means for the whole order.

    `step` is the journal entry of the refund or dispute (`what`) that changed, `moved_at` as of `Movement`,
    `rule` under which the order itself moves where the table lists several.
    """
    transitions: list[Transition] = []
    movements = [_sale(before, after)]
    if step is not None:
        money_before = {"reversed_minor": after.reversed_minor}
        money_after = {"reversed_minor": after.due_reversed_minor}
        transitions.append(replace(step, money_before=money_before, money_after=money_after))
        movements.append(_reversal(after, step.object_id, what, moved_at))
    after = replace(after, reversed_minor=after.due_reversed_minor)
    after, order_steps = _order_steps(before, after, step, rule)
    after, licence_steps = _licence_steps(after)
    after, transfer_steps, calls = _transfer_steps(after)
    moved = tuple(movement for movement in movements if movement is not None)
    return Settled(after, (*transitions, *order_steps, *licence_steps, *transfer_steps), moved, calls)


def _sale(before: Order | None, after: Order) -> Movement | None:
    """The payment came in, or was voided after it had; heard of only then, the two cancel out and are not
    booked."""
    was, now = (order is not None and order.payment_status == "succeeded" for order in (before, after))
    if was == now:
        return None
    share, amount = after.terms.seller_amount_minor, after.amount_minor
    amounts = {
        **({} if after.terms.seller_id is None else {after.terms.seller_id: share}),
        PLATFORM_FEES: amount - share,
        PSP_CLEARING: -amount,
    }
    if now:
        return move("sale", after.id, after.currency, amounts)
    back = {account_id: -minor for account_id, minor in amounts.items()}
    return move("sale_reversal", after.id, after.currency, back)


def _reversal(after: Order, money_object: str, what: str, moved_at: int) -> Movement | None:
    """What a refund or dispute takes from the seller and the house, or gives back to them."""
    delta = after.due_reversed_minor - after.reversed_minor
    seller = after.seller_share(after.due_reversed_minor) - after.seller_share(after.reversed_minor)
    amounts = {
        **({} if after.terms.seller_id is None else {after.terms.seller_id: -seller}),
        PLATFORM_FEES: seller - delta,
        PSP_CLEARING: delta,
    }
    movement = f"{what}_clawback" if delta > 0 else f"{what}_give_back"
    return move(movement, money_object, after.currency, amounts, moved_at)


def _order_steps(
    before: Order | None, after: Order, step: Transition | None, wanted: str | None
) -> tuple[Order, tuple[Transition, ...]]:
    due = after.due_status
    if before is not None and before.status == due and _payment_of(before) == _payment_of(after):
        return after, ()
    after = replace(after, status=due, version=before.version + 1 if before is not None else 1)
    if after.payment_status == "reversed" and before is not None and before.is_paid:
        wanted = "payment_reversed"
    elif step is not None and step.to_state == "succeeded" and due == "completed":
        wanted = "refunded_in_part"
    money = {"amount_minor": after.amount_minor, "reversed_minor": after.reversed_minor}
    from_state = before.status if before is not None else None
    return after, (walk(ORDER, after.id, after.version, from_state, due, wanted, money_after=money),)


def _payment_of(order: Order) -> tuple[str | None, str]:
    return order.payment_id, order.payment_status


def _licence_steps(after: Order) -> tuple[Order, tuple[Transition, ...]]:
    due = after.due_licence_status
    if due is None or due == after.licence_status or not after.terms.licences:
        return after, ()
    version = after.licence_version + 1
    steps = tuple(
        walk(LICENCE, f"{after.id}:{product}", version, after.licence_status, due)
        for product in after.terms.licences
    )
    return replace(after, licence_status=due, licence_version=version), steps


def _transfer_steps(after: Order) -> tuple[Order, tuple[Transition, ...], tuple[PspCall, ...]]:
    """Sends transfers for their way back once the order is refunded, and calls them off if that fails."""
    transfers: dict[str, Transfer] = dict(after.transfers)
    steps: list[Transition] = []
    calls: list[PspCall] = []
    for transfer in after.transfers.values():
        due = _due_transfer_status(transfer, after)
        if due == transfer.status:
            continue
        changed = replace(transfer, status=due, version=transfer.version + 1)
        transfers[transfer.id] = changed
        steps.append(_transfer_step(transfer, changed))
        if due == "reversal_pending":
            calls.append(_reversal_call(changed))
    return replace(after, transfers=transfers), tuple(steps), tuple(calls)


def _due_transfer_status(transfer: Transfer, order: Order) -> str:
    if transfer.reversed_minor >= transfer.amount_minor:
        return "reversed"
    if transfer.status == "permanently_failed":
        return transfer.status
    return "reversal_pending" if order.wants_transfers_back else "completed"


def _transfer_step(before: Transfer | None, after: Transfer) -> Transition:
    return walk(
        TRANSFER,
        after.id,
        after.version,
        before.status if before is not None else None,
        after.status,
        money_before=None if before is None else {"reversed_minor": before.reversed_minor},
        money_after={"amount_minor": after.amount_minor, "reversed_minor": after.reversed_minor},
    )


def _reversal_call(transfer: Transfer) -> PspCall:
    # Called off and due again, it is another intent: what the first call did, the PSP tells the second.
    return PspCall("reverse_transfer", transfer.id, f"reversal:{transfer.id}:{transfer.version}")


def refund_requested(fact: RefundRequested, book: Book, cause: Cause) -> Decision:
    """Opens a refund of an order and wants it made at the PSP; one at a time, and never more than is left."""
    order = find(book, cause.source, order_key(fact.order_id))
    if order is None or order.payment_id is None:
        return ignored("order_unknown")
    if fact.refund_id in order.refunds:
        return superseded("nothing_new")
    if order.status == "refund_pending":
        return ignored("refund_already_requested")
    left_minor = order.amount_minor - order.due_reversed_minor
    amount_minor = left_minor if fact.amount_minor is None else fact.amount_minor
    if order.status != "completed" or not 0 < amount_minor <= left_minor:
        return ignored("order_not_refundable")
    refund = Refund(fact.refund_id, order.payment_id, amount_minor, order.currency, "pending")
    after = replace(order, refunds={**order.refunds, refund.id: refund})
    settled = settle(order, after, walk(REFUND, refund.id, 1, None, "pending"), "refund")
    call = PspCall(
        "create_refund",
        refund.id,
        refund.id,
        {"payment_id": refund.payment_id, "amount_minor": amount_minor, "currency": refund.currency},
    )
    return applied(settled, (call,))


def transfer_reported(fact: TransferReported, book: Book, cause: Cause, waited: bool) -> Decision:
    """A transfer to an order's seller was made, or some of it has come back."""
    order = find(book, cause.source, *fact.keys)
    if order is None:
        if fact.order_id is None:
            return ignored("not_ours")
        if waited:
            return quarantined("order_never_came", f"order {fact.order_id} is still unknown")
        return parked("order_unknown", order_key(fact.order_id), ORDER_WAIT_S)
    if order.terms.seller_id is None:
        return quarantined("order_without_seller", f"order {order.id} has no seller to transfer to")
    known = order.transfers.get(fact.id)
    if known is None and not is_currency(fact.currency):
        return unknown_currency(fact.currency)
    if known is not None and (known.amount_minor, known.currency) != (fact.amount_minor, fact.currency):
        return quarantined("contradicts_transfer", "amount or currency differ from what is known")
    if known is not None and fact.reversed_minor <= known.reversed_minor:
        return superseded("nothing_new")
    transfer = known or Transfer(fact.id, fact.destination, fact.amount_minor, fact.currency, "completed")
    return _transferred(order, known, replace(transfer, reversed_minor=fact.reversed_minor))


def reversal_ended(fact: ReversalEnded, book: Book, cause: Cause) -> Decision:
    """Our own reversal of a transfer has ended, one way or the other."""
    order = find(book, cause.source, transfer_key(fact.transfer_id))
    if order is None:
        return quarantined("unknown_transfer", "no transfer of ours has this id")
    known = order.transfers[fact.transfer_id]
    if fact.status == "reversed":
        if known.reversed_minor >= known.amount_minor:
            return superseded("nothing_new")
        return _transferred(order, known, replace(known, reversed_minor=known.amount_minor))
    if known.status not in ("reversal_pending", "completed"):
        return superseded("nothing_new")
    return _transferred(order, known, replace(known, status=fact.status))


def _transferred(order: Order, known: Transfer | None, transfer: Transfer) -> Decision:
    """A transfer as it is now, with the money that it moved between the seller and the PSP."""
    seller = order.terms.seller_id
    assert seller is not None
    sent = 0 if known is not None else transfer.amount_minor
    back = transfer.reversed_minor - (known.reversed_minor if known is not None else 0)
    back_object = f"{transfer.id}:{transfer.reversed_minor}"  # parts may come back one by one
    movements = [
        move("transfer", transfer.id, transfer.currency, {seller: -sent, PSP_CLEARING: sent}),
        move("transfer_reversal", back_object, transfer.currency, {seller: back, PSP_CLEARING: -back}),
    ]
    transfer = replace(transfer, status=_due_transfer_status(transfer, order))
    steps: tuple[Transition, ...] = ()
    if known is None or known.status != transfer.status or back > 0:
        transfer = replace(transfer, version=known.version + 1 if known is not None else 1)
        steps = (_transfer_step(known, transfer),)
    due = transfer.status == "reversal_pending" and (known is None or known.status != transfer.status)
    calls = (_reversal_call(transfer),) if due else ()
    after = replace(order, transfers={**order.transfers, transfer.id: transfer})
    moved = tuple(movement for movement in movements if movement is not None)
    return applied(Settled(after, steps, moved, calls))


def applied(settled: Settled[Order], calls: tuple[PspCall, ...] = ()) -> Decision:
    """The decision that writes a settled order and wakes whatever waited for a part of it."""
    order = settled.subject
    payment = () if order.payment_id is None else (payment_key(order.payment_id),)
    return Decision(
        "applied",
        subjects=(order,),
        transitions=settled.transitions,
        movements=settled.movements,
        wakes=(order.terms.key, *payment, *refund_keys(order.refunds)),
        calls=(*settled.calls, *calls),
    )


def find(book: Book, source: str, *keys: str) -> Order | None:
    """The order that one of these keys names."""
    found = (subject for key in keys for subject in book.find(source, key) if isinstance(subject, Order))
    return next(found, None)
