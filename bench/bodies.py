"""Makes the signed Stripe events of the benches: about 3 KB each, distinct, and cheap to make by the ten
thousand. Never contacts anything.

An event is a template cut at its numbers, so that making one is a join and an HMAC.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from typing import Any

SECRET = "whsec_bench_0123456789abcdefghijkl"  # noqa: S105 - of scratch receivers that live for minutes
ACCOUNTS = 1_000
"""Accounts that the top-ups go to: enough that batches meet different rows, few enough to meet some twice."""
BODY_BYTES = 3_084
"""Length of a typical checkout event; every event of the benches is padded to about this."""
CREATED = 1_795_000_000
_EVENT, _OBJECT, _ACCOUNT, _PARENT, _SECOND = (
    "@E0000000@",
    "@O0000000@",
    "@A0000000@",
    "@P0000000@",
    1_795_999_999,
)


class Template:
    """One kind of event; `make` fills in its numbers."""

    def __init__(self, kind: str, subject: dict[str, Any], previous: dict[str, Any] | None = None) -> None:
        data: dict[str, Any] = {"object": subject}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": f"evt_1Bench{_EVENT}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": _SECOND,
            "data": data,
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        text = json.dumps(event, indent=2)
        subject["description"] = "x" * max(0, BODY_BYTES - len(text) - len('\n      "description": "",') - 2)
        text = json.dumps(event, indent=2)
        for number, marker in enumerate((_EVENT, _OBJECT, _ACCOUNT, _PARENT, str(_SECOND))):
            text = text.replace(marker, f"\0{number}\0")
        parts = text.split("\0")
        self._fixed = [part.encode() for part in parts]
        self._places = [(place, int(parts[place])) for place in range(1, len(parts), 2)]

    def make(self, event: str, number: int, account: int, parent: int = 0, second: int = CREATED) -> bytes:
        """The body of event `event` about object `number` of account `account`, created at `second`."""
        values = (event, f"{number:08d}", f"{account:06d}", f"{parent:08d}", str(second))
        parts = list(self._fixed)
        for place, which in self._places:
            parts[place] = values[which].encode()
        return b"".join(parts)


TOP_UP = Template(
    "checkout.session.completed",
    {
        "id": f"cs_test_bench{_OBJECT}",
        "object": "checkout.session",
        "amount_subtotal": 289,
        "amount_total": 289,
        "automatic_tax": {"enabled": False, "liability": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": "https://shop.example/cancelled",
        "client_reference_id": None,
        "created": CREATED,
        "currency": "usd",
        "customer": f"cus_bench{_ACCOUNT}",
        "customer_details": {"email": "someone@example.com", "name": "Some One", "phone": None},
        "expires_at": CREATED + 86_400,
        "livemode": False,
        "locale": None,
        "metadata": {"purpose": "credits_topup", "accountId": f"bench_{_ACCOUNT}", "credits": "250"},
        "mode": "payment",
        "payment_intent": f"pi_bench{_OBJECT}",
        "payment_method_types": ["card"],
        "payment_status": "paid",
        "shipping_address_collection": None,
        "status": "complete",
        "success_url": "https://shop.example/paid",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "url": None,
    },
)
REFUND = Template(
    "refund.created",
    {
        "id": f"re_bench{_OBJECT}",
        "object": "refund",
        "amount": 100,
        "balance_transaction": None,
        "charge": f"ch_bench{_PARENT}",
        "created": CREATED,
        "currency": "usd",
        "metadata": {},
        "payment_intent": f"pi_bench{_PARENT}",
        "reason": "requested_by_customer",
        "status": "succeeded",
    },
)


def _subscription(status: str) -> dict[str, Any]:
    return {
        "id": f"sub_bench{_OBJECT}",
        "object": "subscription",
        "cancel_at_period_end": False,
        "canceled_at": None,
        "created": CREATED,
        "currency": "usd",
        "customer": f"cus_bench{_ACCOUNT}",
        "ended_at": None,
        "items": {
            "object": "list",
            "data": [
                {
                    "id": f"si_bench{_OBJECT}",
                    "object": "subscription_item",
                    "price": {"id": "price_bench", "object": "price", "currency": "usd", "unit_amount": 2000},
                    "quantity": 1,
                    "current_period_start": CREATED,
                    "current_period_end": CREATED + 2_592_000,
                }
            ],
        },
        "latest_invoice": None,
        "livemode": False,
        "metadata": {"accountId": f"bench_{_ACCOUNT}"},
        "status": status,
        "trial_end": None,
    }


SUBSCRIPTION_MADE = Template("customer.subscription.created", _subscription("active"))
SUBSCRIPTION_LATE = Template("customer.subscription.updated", _subscription("past_due"), {"status": "active"})
CUSTOMER = Template(
    "customer.updated",
    {
        "id": f"cus_bench{_OBJECT}",
        "object": "customer",
        "balance": 0,
        "created": CREATED,
        "currency": "usd",
        "default_source": None,
        "delinquent": False,
        "discount": None,
        "email": f"someone{_OBJECT}@example.com",
        "invoice_prefix": "BENCH",
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": False,
        "metadata": {},
        "name": "Some One",
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
    },
    {"email": "before@example.com"},
)
"""An event that every receiver in the field knows how to store; the benches against peers send it."""
KINDS = {"top_up": TOP_UP, "customer": CUSTOMER}


def mixed(run: str, first: int, count: int) -> list[bytes]:
    """`count` events as a shop has them: of five, three top-ups, one refund of the first of these, and one
    new or late subscription; every object of another number than any other `first` gives.
    """
    made = []
    for number in range(first, first + count):
        account, place = number % ACCOUNTS, number % 5
        event = f"{run}{number:08d}"
        if place < 3:
            made.append(TOP_UP.make(event, number, account))
        elif place == 3:
            made.append(REFUND.make(event, number, account, parent=number - 3))
        elif number % 10 == 4:
            made.append(SUBSCRIPTION_MADE.make(event, number, account))
        else:
            made.append(SUBSCRIPTION_LATE.make(event, number - 5, account, second=CREATED + 60))
    return made


def signature(body: bytes, at_unix_s: int, secret: str = SECRET) -> str:
    """Stripe's header for this body."""
    digest = hmac.digest(secret.encode(), b"%d." % at_unix_s + body, "sha256").hex()
    return f"t={at_unix_s},v1={digest}"


def requests(
    bodies: Sequence[bytes], port: int, path: str, at_unix_s: int, secret: str
) -> list[tuple[bytes, bytes]]:
    """Each body as a signed HTTP request in two pieces, between which a header line may be put."""
    start = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n"
        "Accept: */*; q=0.5, application/xml\r\nCache-Control: no-cache\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
    )
    return [
        (
            f"{start}Content-Length: {len(body)}\r\n"
            f"Stripe-Signature: {signature(body, at_unix_s, secret)}\r\n".encode(),
            b"\r\n" + body,
        )
        for body in bodies
    ]
