"""Stripe's ways to find objects by what they are about: invoice payments of a payment, and the search of
payments by metadata; it must never write.
"""

from __future__ import annotations

import re
from typing import Any

from . import limits
from .errors import invalid
from .forms import Params
from .objects_billing import invoice_payment
from .records import Invoice, PaymentIntent
from .view import View, listed

_METADATA = re.compile(r"""metadata\[(["'])(\w+)\1\]:(["'])([^"'\\]*)\3""")
"""The one clause that the sandbox understands. Source: https://docs.stripe.com/search"""


def invoice_payments(view: View, params: Params) -> dict[str, Any]:
    """`payment[type]=payment_intent&payment[payment_intent]=pi_…`: what the payment pays."""
    payment_id = params.inner("payment").required("payment_intent")
    found = view.store.many(Invoice, "invoice_of_payment", payment_intent=payment_id)
    return listed("/v1/invoice_payments", map(invoice_payment, found), more=False)


def search_payments(view: View, params: Params) -> dict[str, Any]:
    """`query=metadata['name']:'value'`, newest first; one page."""
    clause = _METADATA.fullmatch(params.required("query"))
    if clause is None:
        raise invalid("query", "the sandbox searches one metadata field")
    found = view.store.many(
        PaymentIntent,
        "payment_intents_named",
        path=f'$."{clause[2]}"',
        value=clause[4],
        rows=limits.list_rows_max,
    )
    page = listed("/v1/payment_intents/search", map(view.show, found), more=False)
    return page | {"object": "search_result", "next_page": None}
