"""The keys by which events name the things that they are about: `kind:id` in the PSP's or our ids. Strings
only."""

from __future__ import annotations


def checkout_key(checkout_id: str) -> str:
    """The key of a purchase by its own id."""
    return f"checkout:{checkout_id}"


def payment_key(payment_id: str) -> str:
    """The key of whatever a payment paid."""
    return f"payment:{payment_id}"


def refunds_key(payment_id: str) -> str:
    """What an event waits for that only another refund of this payment can explain."""
    return f"refunds:{payment_id}"


def subscription_key(subscription_id: str) -> str:
    """The key of a subscription by its own id."""
    return f"subscription:{subscription_id}"


def invoice_key(invoice_id: str) -> str:
    """The key of a subscription's invoice by its own id."""
    return f"invoice:{invoice_id}"


def order_key(order_id: str) -> str:
    """The key of an order by our own id, which its payment carries in its metadata."""
    return f"order:{order_id}"


def refund_key(refund_id: str) -> str:
    """The key of whatever a refund gives back, for events that name no payment."""
    return f"refund:{refund_id}"


def transfer_key(transfer_id: str) -> str:
    """The key of an order by a transfer to its seller."""
    return f"transfer:{transfer_id}"
