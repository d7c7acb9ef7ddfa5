"""Shows records to API clients and expands what they ask for; it must never write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from . import objects, objects_billing, objects_transfers
from .errors import StripeError
from .records import (
    Charge,
    CheckoutSession,
    Dispute,
    Event,
    Invoice,
    Movement,
    PaymentIntent,
    Price,
    Record,
    Refund,
    Subscription,
    Transfer,
    TransferReversal,
)
from .store import R, Store
from .versions import api_version, as_of

_EXPANDS: dict[str, type[Record]] = {
    "payment_intent": PaymentIntent,
    "charge": Charge,
    "latest_charge": Charge,
    "latest_invoice": Invoice,
    "subscription": Subscription,
    "source_transaction": Charge,
    "transfer": Transfer,
}
"""Fields that hold the id of an object we can show instead."""
NOUNS: Mapping[type[Any], str] = {
    CheckoutSession: "checkout.session",
    PaymentIntent: "payment_intent",
    Charge: "charge",
    Refund: "refund",
    Dispute: "dispute",
    Price: "price",
    Subscription: "subscription",
    Invoice: "invoice",
    Transfer: "transfer",
    TransferReversal: "transfer_reversal",
    Event: "event",
    Movement: "balance_transaction",
}
"""What Stripe calls each kind when it cannot find one."""
_expand_depth_max = 4


class View:
    """Renders for one sandbox; `base_url` is where its payment pages are."""

    def __init__(self, store: Store, base_url: str) -> None:
        self.store = store
        self.base_url = base_url

    def show(self, record: Record, version: str = api_version) -> dict[str, Any]:
        """The record in Stripe's shape of a version."""
        shape = as_of(version, self._newest(record))
        if version != api_version and isinstance(record, PaymentIntent | Charge):
            intent_id = record.id if isinstance(record, PaymentIntent) else record.payment_intent
            invoices = self.store.many(Invoice, "invoice_of_payment", payment_intent=intent_id)
            shape["invoice"] = invoices[0].id if invoices else None
        return shape

    def _newest(self, record: Record) -> dict[str, Any]:
        match record:
            case CheckoutSession():
                return objects.checkout_session(record, self.base_url)
            case PaymentIntent():
                return objects.payment_intent(record)
            case Charge():
                return objects.charge(record, self._movements(record.id))
            case Refund():
                charge = self.store.get(Charge, record.charge)
                method = charge.payment_method_type if charge else "card"
                return objects.refund(record, self._movements(record.id), method)
            case Dispute():
                return objects.dispute(record, self._movements(record.id))
            case Transfer():
                reversals = [self._newest(each) for each in self._reversals(record.id)]
                return objects_transfers.transfer(record, self._movements(record.id), reversals)
            case TransferReversal():
                return objects_transfers.reversal(record, self._movements(record.id))
            case Event():
                return objects.event(record, json.loads(record.body))
            case Movement():
                return objects.balance_transaction(record)
            case _:
                return self._newest_of_billing(record)

    def _newest_of_billing(self, record: Record) -> dict[str, Any]:
        match record:
            case Price():
                return objects_billing.price(record)
            case Subscription():
                return objects_billing.subscription(record, self._kept(Price, record.price))
            case Invoice():
                subscription = self._kept(Subscription, record.subscription)
                return objects_billing.invoice(record, subscription, self.base_url)
            case _:
                raise TypeError(f"{type(record).__name__} is not shown to anyone")

    def _kept(self, kind: type[R], object_id: str) -> R:
        record = self.store.get(kind, object_id)
        assert record is not None, f"{object_id} is in the books"
        return record

    def _reversals(self, transfer_id: str) -> list[TransferReversal]:
        filters = everything | {"transfer": transfer_id}
        found, _ = self.store.page(TransferReversal, rows=10, after=None, before=None, filters=filters)
        return found

    def expand(self, shape: dict[str, Any], paths: Iterable[str]) -> None:
        """Replaces ids by objects along each dotted path, in place; raises StripeError where it cannot."""
        for path in paths:
            steps = path.split(".")
            if len(steps) > _expand_depth_max:
                raise StripeError("You cannot expand more than 4 levels of a property.", param="expand")
            self._walk(shape, steps, path)

    def _walk(self, shape: dict[str, Any], steps: list[str], path: str) -> None:
        step, rest = steps[0], steps[1:]
        if step == "data" and shape.get("object") == "list":
            for each in shape["data"]:
                self._walk(each, rest, path)
            return
        if step == "refunds" and shape.get("object") == "charge":
            found, more = self.store.page(
                Refund, rows=10, after=None, before=None, filters=everything | {"charge": shape["id"]}
            )
            shape["refunds"] = listed(f"/v1/charges/{shape['id']}/refunds", map(self.show, found), more=more)
        elif step == "line_items" and shape.get("object") == "checkout.session":
            session = self.store.get(CheckoutSession, shape["id"])
            lines = line_items(session) if session else []
            shape["line_items"] = listed(f"/v1/checkout/sessions/{shape['id']}/line_items", lines, more=False)
        elif step == "confirmation_secret" and shape.get("object") == "invoice":
            shape["confirmation_secret"] = self._confirmation_secret(shape["id"])
        elif step in _EXPANDS and isinstance(shape.get(step), str):
            record = self.store.get(_EXPANDS[step], shape[step])
            if record is not None:
                shape[step] = self.show(record)
        elif step not in shape:
            raise StripeError(f"This property cannot be expanded ({path}).", param="expand")
        if rest and isinstance(shape.get(step), dict):
            self._walk(shape[step], rest, path)

    def _confirmation_secret(self, invoice_id: str) -> dict[str, str] | None:
        """What a page confirms the invoice's payment with, None where there is none."""
        invoice = self._kept(Invoice, invoice_id)
        intent = self.store.get(PaymentIntent, invoice.payment_intent or "")
        return None if intent is None else {"client_secret": intent.client_secret, "type": "payment_intent"}

    def _movements(self, source: str) -> list[Movement]:
        return self.store.many(Movement, "list_movement", source=source)


everything: dict[str, object] = {
    "charge": None,
    "payment_intent": None,
    "customer": None,
    "subscription": None,
    "destination": None,
    "transfer": None,
    "transfer_group": None,
    "status": None,
    "types": None,
    "delivered": None,
    "created_min": 0,
    "created_max": 2**62,
}
"""Filters of a list that keep every row; each list query reads those it knows."""


def listed(url: str, data: Iterable[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page in Stripe's list shape."""
    return {"object": "list", "url": url, "has_more": more, "data": list(data)}


def line_items(session: CheckoutSession) -> list[dict[str, Any]]:
    """The lines of a checkout; their ids are derived, so that they never change."""
    return [
        {
            "id": f"li_{session.id[-20:]}{number}",
            "object": "item",
            "amount_discount": 0,
            "amount_subtotal": line["unit_amount"] * line["quantity"],
            "amount_tax": 0,
            "amount_total": line["unit_amount"] * line["quantity"],
            "currency": session.currency,
            "description": line["name"],
            "metadata": {},
            "price": {
                "object": "price",
                "active": False,
                "currency": session.currency,
                "type": "one_time",
                "unit_amount": line["unit_amount"],
                "unit_amount_decimal": str(line["unit_amount"]),
            },
            "quantity": line["quantity"],
        }
        for number, line in enumerate(session.line_items)
    ]
