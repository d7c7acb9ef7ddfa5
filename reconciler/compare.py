"""Compares what a PSP says of an object with what we have of it. Pure: no I/O, no clock, and no second
opinion on what an event means, because it is given the fact that the mapping has read.

A difference is news that the object's next event would bring; what our rules would call nothing new is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from msgspec.structs import asdict

from billing.facts import (
    DisputeReported,
    Fact,
    InvoiceReported,
    NotForUs,
    PaymentReported,
    RefundReported,
    SubscriptionReported,
    TopUpEnded,
    TopUpPaid,
    TransferReported,
    Unusable,
)
from billing.order_states import PAID, PAYMENT_LADDER
from billing.purchase_states import CHECKOUT_SESSION, DISPUTE, REFUND
from billing.terms import OrderTerms, Terms
from billing.units import shown
from db.here import Here, Wanted, type_row

MISSING, STALE, MISMATCH = "missing_event", "stale", "amount_mismatch"
DELETED, EXTRA, MISSED = "deleted_at_psp", "extra_local", "missed_apply"
_ENDED = frozenset({"failed", "canceled"})
"""A refund that has ended so has moved nothing, here and there."""
FOR_A_PERSON = frozenset({MISMATCH, DELETED, EXTRA})
"""No event can mend these: money or an object is on one side only, or not the same on both."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The PSP's object is not what we have: `kind` as the CHECK of `reconcile_finding` lists, `version` of
    our row (0: none), and what differs in words without payload.
    """

    kind: str
    detail: str
    version: int = 0


_FAMILIES = {
    "checkout": ("checkouts",),
    "payment": ("payments",),
    "order": ("payables",),
    "subscription": ("payables", "subscriptions"),
    "invoice": ("invoices",),
    "refund": ("refunds",),
    "transfer": ("transfers",),
}
"""Where to look for what a key of `billing.keys` names."""


def wanted(facts: Iterable[Fact]) -> Wanted:
    """What to look for here before these facts can be compared."""
    found: dict[str, set[str]] = {field.name: set() for field in fields(Wanted)}
    for fact in facts:
        for key in fact.keys:
            kind, _, object_id = key.partition(":")
            for family in _FAMILIES[kind]:
                found[family].add(object_id)
        if isinstance(fact, RefundReported):
            found["refunds"].update(filter(None, (fact.id, fact.own_id)))
        elif isinstance(fact, DisputeReported):
            found["disputes"].add(fact.id)
    return Wanted(**{name: sorted(ids) for name, ids in found.items()})


def compare(fact: Fact, here: Here, asked_at: int, told_before: bool = False) -> Difference | None:
    """What the fact would change here; None when nothing. `asked_at` is when the PSP was asked, unix seconds:
    what we have that is as new is left alone. `told_before`: the log holds an event about the object.
    """
    match fact:
        case PaymentReported():
            return _payment(fact, here)
        case TopUpPaid():
            return _top_up(fact, here)
        case TopUpEnded():
            known = here.purchases.get(fact.id)
            if known is None or not CHECKOUT_SESSION.rules(known["status"], fact.status):
                return None
            return _stale("checkout", known, known["status"], fact.status)
        case RefundReported():
            return _refund(fact, here)
        case DisputeReported():
            return _dispute(fact, here, asked_at)
        case SubscriptionReported():
            return _subscription(fact, here, asked_at)
        case InvoiceReported():
            return _invoice(fact, here, asked_at)
        case TransferReported():
            return _transfer(fact, here)
        case Unusable():
            # It will end in quarantine, where a person sees it; once is enough.
            return None if told_before else Difference(MISSING, f"unusable: {fact.reason}")
        case NotForUs() | _:
            return None


def pays(fact: Fact) -> list[tuple[str, str]]:
    """What will have been paid once the fact is applied, as keys of `Here.paid`: refunds, disputes and
    transfers are compared only where there was something to give back.
    """
    match fact:
        case TopUpPaid() if fact.payment_id is not None:
            return [("payment", fact.payment_id)]
        case PaymentReported() if fact.status in PAID:
            claimed = [] if fact.claim is None else [("order", fact.claim.partition(":")[2])]
            return [("payment", fact.id), *claimed]
        case InvoiceReported() if fact.values.status == "paid" and fact.payment_id is not None:
            return [("payment", fact.payment_id)]
        case _:
            return []


def _stale(what: str, known: Mapping[str, Any], here: object, there: object) -> Difference:
    return Difference(STALE, f"{what} is {here} here, {there} at the PSP", known["version"])


def _payment(fact: PaymentReported, here: Here) -> Difference | None:
    claimed = fact.claim.partition(":")[2] if fact.claim is not None else ""
    known = here.payables_by_payment.get(fact.id) or here.payables.get(claimed)
    if known is None:
        if fact.terms is None:
            return None  # nobody has agreed to anything: it would only wait
        return Difference(MISSING, f"payment of {_named(fact.terms)} is {fact.status} at the PSP")
    agreed = (known["amount_minor"], known["currency"])
    paid = (fact.paid_minor, fact.currency)
    if fact.status == "succeeded" and None not in paid and paid != agreed:
        return Difference(MISMATCH, f"asked for {agreed[0]} {agreed[1]}, paid {paid[0]} {paid[1]}")
    if known["payment_id"] not in (None, fact.id):
        # Another payment of the same agreement counts once it has brought money that is still wanted.
        if fact.status != "succeeded" or known["payment_status"] in ("succeeded", "reversed"):
            return None
        return _stale("payment", known, known["payment_status"], fact.status)
    climbs = PAYMENT_LADDER.index(fact.status) > PAYMENT_LADDER.index(known["payment_status"])
    if climbs or known["payment_id"] is None:
        return _stale("payment", known, known["payment_status"], fact.status)
    return None


def _named(terms: Terms) -> str:
    return f"{'order' if isinstance(terms, OrderTerms) else 'subscription'} {terms.id}"


def _top_up(fact: TopUpPaid, here: Here) -> Difference | None:
    known = here.purchases.get(fact.id)
    if known is None:
        if fact.payment_id is not None and fact.payment_id in here.purchases_by_payment:
            return None  # credited by its other name: one crediting path per payment
        return Difference(MISSING, f"top-up of {fact.credits} credits is paid at the PSP")
    if known["status"] != "paid":
        return _stale("checkout", known, known["status"], "paid")
    return None


def _refund(fact: RefundReported, here: Here) -> Difference | None:
    known = _known_refund(fact, here)
    if known is None:
        if ("payment", fact.payment_id or "") not in here.paid:
            return None  # of a payment that is not ours, or that is itself still to be told
        return Difference(
            MISSING, f"refund of {shown(fact.amount_minor, fact.currency)} is {fact.status} at the PSP"
        )
    there = (fact.amount_minor, fact.currency)
    if None not in there and there != (known["amount_minor"], known["currency"]):
        return Difference(
            MISMATCH,
            f"refund is {shown(known['amount_minor'], known['currency'])} here, {shown(*there)} at the PSP",
            known["version"],
        )
    if known["status"] != fact.status and REFUND.rules(known["status"], fact.status):
        return _stale("refund", known, known["status"], fact.status)
    ended = known["status"] in _ENDED and fact.status in _ENDED
    if known["psp_id"] is None and known["id"] != fact.id and not ended:
        return Difference(STALE, "the PSP's id of the refund is not known here", known["version"])
    return None


def _known_refund(fact: RefundReported, here: Here) -> type_row | None:
    """As our rules know it: by the PSP's id, or else one of ours that the PSP has yet to name."""
    known = here.refunds.get(fact.id)
    ours = here.refunds.get(fact.own_id or "")
    return known if known is not None or ours is None or ours["psp_id"] is not None else ours


def _dispute(fact: DisputeReported, here: Here, asked_at: int) -> Difference | None:
    known = here.disputes.get(fact.id)
    if known is None:
        if ("payment", fact.payment_id) not in here.paid:
            return None
        return Difference(
            MISSING, f"dispute of {shown(fact.amount_minor, fact.currency)} is {fact.status} at the PSP"
        )
    if (known["amount_minor"], known["currency"]) != (fact.amount_minor, fact.currency):
        return Difference(
            MISMATCH,
            f"dispute is {shown(known['amount_minor'], known['currency'])} here, "
            f"{shown(fact.amount_minor, fact.currency)} at the PSP",
            known["version"],
        )
    if _funds_moved(fact, known, asked_at):
        return Difference(STALE, f"its funds were {fact.funds} at the PSP", known["version"])
    later = (asked_at, DISPUTE.states.index(fact.status)) > (
        known["status_at"],
        DISPUTE.states.index(known["status"]),
    )
    return (
        _stale("dispute", known, known["status"], fact.status)
        if later and known["status"] != fact.status
        else None
    )


def _funds_moved(fact: DisputeReported, known: type_row, asked_at: int) -> bool:
    """Whether the PSP has moved a dispute's money since we last heard of it; of one second it is no news that
    the money was taken: see `billing.reversal`.
    """
    if fact.funds == "reinstated":
        return not known["funds_reinstated"] and asked_at >= known["funds_at"]
    gone = known["funds_withdrawn"] and not known["funds_reinstated"]
    return fact.funds == "withdrawn" and not gone and asked_at > known["funds_at"]


def _subscription(fact: SubscriptionReported, here: Here, asked_at: int) -> Difference | None:
    known = here.subscriptions.get(fact.id)
    if known is None:
        return Difference(MISSING, f"subscription is {fact.values.status} at the PSP")
    if known["deleted"] or known["psp_second"] >= asked_at:
        return None
    there = asdict(fact.values)
    differ = sorted(name for name, value in there.items() if known[name] != value)
    if differ or known["ambiguous"] or fact.kind == "deleted":
        return Difference(
            STALE, f"subscription differs in {', '.join(differ) or 'nothing any more'}", known["version"]
        )
    return None


def _invoice(fact: InvoiceReported, here: Here, asked_at: int) -> Difference | None:
    known = here.invoices.get(fact.id)
    if known is None:
        return Difference(MISSING, f"invoice is {fact.values.status} at the PSP")
    if known["psp_second"] >= asked_at:
        return None
    there = asdict(fact.values)
    differ = sorted(name for name, value in there.items() if known[name] != value)
    if fact.payment_id is not None and known["payment_id"] is None:
        differ.append("payment_id")
    if differ or known["ambiguous"]:
        return Difference(
            STALE, f"invoice differs in {', '.join(differ) or 'nothing any more'}", known["version"]
        )
    return None


def _transfer(fact: TransferReported, here: Here) -> Difference | None:
    known = here.transfers.get(fact.id)
    if known is None:
        if ("order", fact.order_id or "") not in here.paid:
            return None
        return Difference(MISSING, f"transfer of {shown(fact.amount_minor, fact.currency)} to the seller")
    if (known["amount_minor"], known["currency"]) != (fact.amount_minor, fact.currency):
        return Difference(
            MISMATCH,
            f"transfer is {shown(known['amount_minor'], known['currency'])} here, "
            f"{shown(fact.amount_minor, fact.currency)} at the PSP",
            known["version"],
        )
    if fact.reversed_minor > known["reversed_minor"]:
        parts = (shown(minor, fact.currency) for minor in (known["reversed_minor"], fact.reversed_minor))
        return _stale("reversed part", known, *parts)
    return None


@dataclass(frozen=True, slots=True)
class Money:
    """What one object moved, by the PSP and by our books: `what` is topup, refund or dispute; minor units, or
    credits for a top-up.
    """

    what: str
    unit: str
    id: str
    there: int
    here: int


def money(fact: Fact, here: Here) -> Money | None:
    """What an object has moved on both sides; None when it has moved nothing of ours at the PSP."""
    match fact:
        case TopUpPaid():
            known = here.purchases.get(fact.id)
            if known is None and fact.payment_id is not None:
                known = here.purchases_by_payment.get(fact.payment_id)
            return Money("topup", "credit", fact.id, fact.credits, known["posted"] or 0 if known else 0)
        case RefundReported() if ("payment", fact.payment_id or "") in here.paid:
            known = _known_refund(fact, here)
            there = fact.amount_minor or 0 if fact.status == "succeeded" else 0
            ours = known["amount_minor"] if known and known["status"] == "succeeded" else 0
            return Money("refund", fact.currency or "", fact.id, there, ours)
        case DisputeReported() if fact.funds is not None and ("payment", fact.payment_id) in here.paid:
            known = here.disputes.get(fact.id)
            gone = known is not None and known["funds_withdrawn"] and not known["funds_reinstated"]
            there = fact.amount_minor if fact.funds == "withdrawn" else 0
            return Money(
                "dispute", fact.currency, fact.id, there, known["amount_minor"] if known and gone else 0
            )
        case _:
            return None
