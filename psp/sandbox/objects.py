"""Renders records as Stripe's newest version shows them (2026-10-28.endive); it must never change a record.

Field names and states are from Stripe's public API reference; this version's charge lists no refunds.
"""

from __future__ import annotations

from typing import Any

from . import limits
from .records import Charge, CheckoutSession, Dispute, Event, Movement, PaymentIntent, Refund

Shape = dict[str, Any]

_DECLINES: dict[str, str] = {
    "card_declined": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "payment_intent_payment_attempt_failed": "The bank could not collect the payment.",
}


def checkout_session(session: CheckoutSession, base_url: str) -> Shape:
    """A hosted checkout in mode `payment`; its `url` is our own payment page, null once it is over."""
    return {
        "id": session.id,
        "object": "checkout.session",
        "amount_subtotal": session.amount_total,
        "amount_total": session.amount_total,
        "cancel_url": session.cancel_url,
        "client_reference_id": session.client_reference_id,
        "created": session.created,
        "currency": session.currency,
        "customer": session.customer,
        "customer_email": session.customer_email,
        "expires_at": session.expires_at,
        "livemode": False,
        "metadata": session.metadata,
        "mode": "payment",
        "payment_intent": session.payment_intent,
        "payment_method_types": ["card", "us_bank_account"],
        "payment_status": session.payment_status,
        "status": session.status,
        "success_url": session.success_url,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted",
        "url": f"{base_url}/sandbox/pay/{session.id}" if session.status == "open" else None,
    } | _session_unused()


def _session_unused() -> Shape:
    """What a session of ours never uses, shown as Stripe shows it then."""
    off = {"enabled": False}
    nothing = (
        "after_expiration",
        "allow_promotion_codes",
        "billing_address_collection",
        "client_secret",
        "collected_information",
        "consent",
        "consent_collection",
        "currency_conversion",
        "customer_account",
        "customer_details",
        "integration_identifier",
        "invoice",
        "locale",
        "origin_context",
        "payment_link",
        "payment_method_configuration_details",
        "permissions",
        "presentment_details",
        "recovered_from",
        "saved_payment_method_options",
        "setup_intent",
        "shipping_address_collection",
        "shipping_cost",
        "submit_type",
        "subscription",
        "wallet_options",
    )
    texts = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    return dict.fromkeys(nothing) | {
        "adaptive_pricing": off,
        "automatic_tax": off | {"liability": None, "provider": None, "status": None},
        "custom_fields": [],
        "custom_text": dict.fromkeys(texts),
        "customer_creation": "if_required",
        "discounts": [],
        "invoice_creation": off | {"invoice_data": None},
        "managed_payments": off,
        "payment_method_collection": "if_required",
        "payment_method_options": {},
        "phone_number_collection": off,
        "shipping_options": [],
    }


def payment_intent(intent: PaymentIntent) -> Shape:
    """A payment that captures by itself."""
    succeeded = intent.status == "succeeded"
    return {
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": intent.amount if succeeded else 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": intent.canceled_at,
        "cancellation_reason": intent.cancellation_reason,
        "capture_method": "automatic",
        "client_secret": intent.client_secret,
        "confirmation_method": "automatic",
        "created": intent.created,
        "currency": intent.currency,
        "customer": intent.customer,
        "customer_account": None,
        "description": intent.description,
        "excluded_payment_method_types": None,
        "last_payment_error": payment_error(intent.last_error),
        "latest_charge": intent.latest_charge,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": intent.metadata,
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": intent.payment_method,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": [intent.payment_method_type],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": intent.status,
        "transfer_data": None,
        "transfer_group": intent.transfer_group,
    }


def payment_error(code: str | None) -> Shape | None:
    """`last_payment_error` of a decline, None where nothing failed."""
    if code is None:
        return None
    bank = code == "payment_intent_payment_attempt_failed"
    return {
        "type": "invalid_request_error" if bank else "card_error",
        "code": code if bank else "card_declined",
        "decline_code": None if bank else {"card_declined": "generic_decline"}.get(code, code),
        "message": _DECLINES[code],
    }


def charge(record: Charge, movements: list[Movement]) -> Shape:
    """An attempt to take money, as the newest version shows it: without its refunds."""
    paid = record.status == "succeeded"
    error = payment_error(record.failure_code)
    return {
        "id": record.id,
        "object": "charge",
        "amount": record.amount,
        "amount_captured": record.amount if paid else 0,
        "amount_refunded": record.amount_refunded,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": next((m.id for m in movements if m.kind == "charge"), None),
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        "calculated_statement_descriptor": "SANDBOX",
        "captured": paid,
        "created": record.created,
        "currency": record.currency,
        "customer": record.customer,
        "description": None,
        "disputed": record.disputed,
        "failure_balance_transaction": None,
        "failure_code": error["code"] if error else None,
        "failure_message": error["message"] if error else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": record.metadata,
        "on_behalf_of": None,
        "outcome": None if record.status == "pending" else _outcome(paid=paid),
        "paid": paid,
        "payment_intent": record.payment_intent,
        "payment_method": record.payment_method,
        "payment_method_details": _method_details(record.payment_method_type),
        "presentment_details": None,
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": record.amount_refunded == record.amount,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": record.status,
        "transfer_data": None,
        "transfer_group": record.transfer_group,
    }


def _method_details(method: str) -> Shape:
    card = {
        "brand": "visa",
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "funding": "credit",
        "last4": "4242",
    }
    bank = {"account_type": "checking", "bank_name": "SANDBOX BANK", "last4": "6789"}
    return {method: card if method == "card" else bank, "type": method}


def _outcome(*, paid: bool) -> Shape:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network" if paid else "declined_by_network",
        "reason": None if paid else "generic_decline",
        "risk_level": "normal",
        "seller_message": "Payment complete." if paid else "The bank declined the payment.",
        "type": "authorized" if paid else "issuer_declined",
    }


def refund(record: Refund, movements: list[Movement], method: str) -> Shape:
    """A refund; a failed one names why and the movement that brought the money back."""
    card = {"reference_status": record.reference_status, "reference_type": "acquirer_reference_number"}
    if record.reference_status == "available":
        card["reference"] = str(record.created).rjust(12, "4")
    shape: Shape = {
        "id": record.id,
        "object": "refund",
        "amount": record.amount,
        "balance_transaction": next((m.id for m in movements if m.kind == "refund"), None),
        "charge": record.charge,
        "created": record.created,
        "currency": record.currency,
        "customer": None,
        "customer_account": None,
        "destination_details": {
            method: card | {"type": "refund"} if method == "card" else {},
            "type": method,
        },
        "metadata": record.metadata,
        "payment_intent": record.payment_intent,
        "payment_method": None,
        "reason": record.reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": record.status,
        "transfer_reversal": None,
    }
    if record.status == "failed":
        shape["failure_reason"] = record.failure_reason
        shape["failure_balance_transaction"] = next(
            (m.id for m in movements if m.kind == "refund_failure"), None
        )
    return shape


def dispute(record: Dispute, movements: list[Movement]) -> Shape:
    """A dispute with the movements of its money, none for an inquiry."""
    inquiry = record.status.startswith("warning")
    return {
        "id": record.id,
        "object": "dispute",
        "amount": record.amount,
        "balance_transactions": [balance_transaction(m) for m in movements],
        "charge": record.charge,
        "created": record.created,
        "currency": record.currency,
        "enhanced_eligibility_types": [],
        "evidence": {"uncategorized_text": "Delivered." if record.evidence_submitted else None},
        "evidence_details": {
            "due_by": record.created + limits.dispute_evidence_s,
            "enhanced_eligibility": {},
            "has_evidence": record.evidence_submitted,
            "past_due": False,
            "submission_count": int(record.evidence_submitted),
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": record.payment_intent,
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": "visa",
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": record.reason,
        "status": record.status,
    }


def balance_transaction(movement: Movement) -> Shape:
    """One movement as the merchant's balance sees it: what leaves it is negative."""
    amount = movement.amount if movement.payee == "merchant" else -movement.amount
    word = {
        "dispute": "adjustment",
        "dispute_reversal": "adjustment",
        "transfer_reversal": "transfer_refund",
    }.get(movement.kind, movement.kind)
    return {
        "id": movement.id,
        "object": "balance_transaction",
        "amount": amount,
        "available_on": movement.created,
        "balance_type": "payments",
        "created": movement.created,
        "currency": movement.currency,
        "description": None,
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": movement.kind,
        "source": movement.source,
        "status": "available",
        "type": word,
    }


def event(record: Event, body: Shape) -> Shape:
    """An event as the API shows it: the body that is delivered, with what is still to be delivered of it."""
    return body | {"pending_webhooks": 0 if record.delivered_at is not None else 1}


def account(account_id: str) -> Shape:
    """The one account of the sandbox."""
    return {
        "id": account_id,
        "object": "account",
        "business_profile": {"name": "Sandbox"},
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "Sandbox", "timezone": "Etc/UTC"}},
        "type": "standard",
    }
