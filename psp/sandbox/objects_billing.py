"""Renders prices, subscriptions and invoices as Stripe's newest version shows them; it must never change one.

Field names and states are from Stripe's public API reference; `versions` knows the older shape.
"""

from __future__ import annotations

from typing import Any

from .records import Invoice, Price, Subscription

Shape = dict[str, Any]

_INVOICE_NULLS = (
    "account_tax_ids",
    "application",
    "automatically_finalizes_at",
    "custom_fields",
    "customer_account",
    "customer_address",
    "customer_email",
    "customer_name",
    "customer_phone",
    "customer_shipping",
    "default_payment_method",
    "default_source",
    "description",
    "due_date",
    "footer",
    "from_invoice",
    "invoice_pdf",
    "last_finalization_error",
    "latest_revision",
    "next_payment_attempt",
    "on_behalf_of",
    "receipt_number",
    "rendering",
    "shipping_cost",
    "shipping_details",
    "statement_descriptor",
    "test_clock",
    "webhooks_delivered_at",
)
"""Fields that an invoice of ours never fills."""


def price(record: Price) -> Shape:
    """A recurring price per unit."""
    return {
        "id": record.id,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": record.created,
        "currency": record.currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": record.metadata,
        "nickname": record.nickname,
        "product": record.product,
        "recurring": {
            "interval": record.interval,
            "interval_count": 1,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": record.unit_amount,
        "unit_amount_decimal": str(record.unit_amount),
    }


def subscription(record: Subscription, of: Price) -> Shape:
    """A subscription with its one item, which holds the current period."""
    leaves_at = record.current_period_end if record.cancel_at_period_end else None
    return {
        "id": record.id,
        "object": "subscription",
        "billing_cycle_anchor": record.trial_end or record.created,
        "cancel_at": leaves_at,
        "cancel_at_period_end": record.cancel_at_period_end,
        "canceled_at": record.canceled_at,
        "cancellation_details": {
            "comment": None,
            "feedback": None,
            "reason": None if record.canceled_at is None else "cancellation_requested",
        },
        "collection_method": "charge_automatically",
        "created": record.created,
        "currency": record.currency,
        "customer": record.customer,
        "default_payment_method": record.default_payment_method,
        "ended_at": record.ended_at,
        "items": {
            "object": "list",
            "data": [_item(record, of)],
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={record.id}",
        },
        "latest_invoice": record.latest_invoice,
        "livemode": False,
        "metadata": record.metadata,
        "start_date": record.created,
        "status": record.status,
        "trial_end": record.trial_end,
        "trial_start": None if record.trial_end is None else record.created,
    } | _subscription_unused()


def _item(record: Subscription, of: Price) -> Shape:
    """The one line of a subscription, which holds the current period."""
    return {
        "id": record.item,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": record.created,
        "current_period_end": record.current_period_end,
        "current_period_start": record.current_period_start,
        "discounts": [],
        "metadata": {},
        "price": price(of),
        "quantity": record.quantity,
        "subscription": record.id,
        "tax_rates": [],
    }


def _subscription_unused() -> Shape:
    """What a subscription of ours never uses, shown as Stripe shows it then."""
    nothing = (
        "application",
        "application_fee_percent",
        "billing_cycle_anchor_config",
        "billing_thresholds",
        "customer_account",
        "days_until_due",
        "default_source",
        "description",
        "next_pending_invoice_item_invoice",
        "on_behalf_of",
        "pause_collection",
        "pending_invoice_item_interval",
        "pending_setup_intent",
        "pending_update",
        "schedule",
        "test_clock",
        "transfer_data",
    )
    return dict.fromkeys(nothing) | {
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_mode": {"type": "classic"},
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "managed_payments": {"enabled": False},
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    }


def invoice(record: Invoice, of: Subscription, base_url: str) -> Shape:
    """An invoice with its one line; its page is ours, once it is finalized."""
    finalized = record.finalized_at is not None
    payments = [] if record.payment_intent is None else [invoice_payment(record)]
    left = 0 if record.status == "void" else record.amount_due - record.amount_paid
    return {
        "id": record.id,
        "object": "invoice",
        "amount_due": record.amount_due,
        "amount_paid": record.amount_paid,
        "amount_remaining": left,
        "attempt_count": record.attempt_count,
        "attempted": record.attempt_count > 0 or record.status == "paid",
        "auto_advance": record.status in {"draft", "open"},
        "billing_reason": record.billing_reason,
        "collection_method": "charge_automatically",
        "created": record.created,
        "currency": record.currency,
        "customer": record.customer,
        "effective_at": record.finalized_at,
        "ending_balance": 0 if finalized else None,
        "hosted_invoice_url": f"{base_url}/sandbox/invoice/{record.id}" if finalized else None,
        "lines": {
            "object": "list",
            "data": [_line(record, of)],
            "has_more": False,
            "url": f"/v1/invoices/{record.id}/lines",
        },
        "livemode": False,
        "metadata": {},
        "number": record.number if finalized else None,
        "parent": {
            "quote_details": None,
            "subscription_details": {
                "metadata": record.subscription_metadata,
                "subscription": record.subscription,
            },
            "type": "subscription_details",
        },
        "payments": {
            "object": "list",
            "data": payments,
            "has_more": False,
            "url": f"/v1/invoice_payments?invoice={record.id}",
        },
        "period_end": record.period_start,
        "period_start": record.period_start,
        "status": record.status,
        "status_transitions": {
            "finalized_at": record.finalized_at,
            "marked_uncollectible_at": None,
            "paid_at": record.paid_at,
            "voided_at": record.voided_at,
        },
        "subtotal": record.amount_due,
        "subtotal_excluding_tax": record.amount_due,
        "total": record.amount_due,
        "total_excluding_tax": record.amount_due,
    } | _invoice_unused()


def _line(record: Invoice, of: Subscription) -> Shape:
    return {
        "id": f"il_{record.id[3:]}",
        "object": "line_item",
        "amount": record.amount_due,
        "currency": record.currency,
        "description": f"{of.quantity} x {of.price}",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": record.id,
        "livemode": False,
        "metadata": record.subscription_metadata,
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": record.subscription,
                "subscription_item": of.item,
            },
            "type": "subscription_item_details",
        },
        "period": {"end": record.period_end, "start": record.period_start},
        "pretax_credit_amounts": [],
        "pricing": {"price_details": {"price": of.price}, "type": "price_details"},
        "quantity": of.quantity,
        "subtotal": record.amount_due,
        "taxes": [],
    }


def _invoice_unused() -> Shape:
    """What an invoice of ours never uses, shown as Stripe shows it then."""
    zero = (
        "amount_overpaid",
        "amount_shipping",
        "post_payment_credit_notes_amount",
        "pre_payment_credit_notes_amount",
        "starting_balance",
    )
    empty: Shape = {
        name: []
        for name in (
            "customer_tax_ids",
            "default_tax_rates",
            "discounts",
            "total_discount_amounts",
            "total_pretax_credit_amounts",
            "total_taxes",
        )
    }
    tax = ("disabled_reason", "liability", "provider", "status")
    settings = ("default_mandate", "payment_method_options", "payment_method_types")
    return (
        dict.fromkeys(_INVOICE_NULLS)
        | dict.fromkeys(zero, 0)
        | empty
        | {
            "account_country": "US",
            "account_name": "Sandbox",
            "automatic_tax": dict.fromkeys(tax) | {"enabled": False},
            "customer_tax_exempt": "none",
            "issuer": {"type": "self"},
            "payment_settings": dict.fromkeys(settings),
        }
    )


def invoice_payment(record: Invoice) -> Shape:
    """What ties an invoice to the payment intent that pays it."""
    status = {"paid": "paid", "void": "canceled"}.get(record.status, "open")
    return {
        "id": record.payment,
        "object": "invoice_payment",
        "amount_paid": record.amount_paid if status == "paid" else None,
        "amount_requested": record.amount_due,
        "created": record.finalized_at,
        "currency": record.currency,
        "invoice": record.id,
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": record.payment_intent, "type": "payment_intent"},
        "status": status,
        "status_transitions": {"canceled_at": record.voided_at, "paid_at": record.paid_at},
    }
