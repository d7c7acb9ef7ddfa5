"""Opening payments: the key is an argument that must not be empty, and the metadata name our object alone."""

from __future__ import annotations

import pytest

from billing.terms import OrderTerms, PlanTerms, Terms
from psp import metadata as own
from psp.hyperswitch.client import HyperswitchApi
from psp.strict_json import Fields
from psp.stripe.client import StripeApi, TopUp

ORDER = OrderTerms("o_1", "b_1", "s_1", 1_000, "usd", 900, ("font",))
PLAN = PlanTerms("s_1", "b_1", "pro", 900, "eur")
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("terms", [ORDER, PLAN])
def test_a_payment_carries_what_it_is_for_and_no_terms(terms: Terms) -> None:
    """What is read back is the key of what it pays for; the agreement stays in our own log."""
    claim = own.claim(Fields(own.of_payment(terms.key), "metadata"), terms.amount_minor, terms.currency)

    assert claim == own.Claim(terms.key, None)


async def test_an_empty_key_is_loud() -> None:
    """Before anything goes out: a library would make one up, and every retry would be another payment."""
    async with StripeApi("sk_test_x", NOWHERE) as stripe, HyperswitchApi(NOWHERE, "key") as hyperswitch:
        for call in (
            stripe.create_payment(1, "usd", {}, ""),
            stripe.create_refund("pi_1", None, "r_1", ""),
            stripe.open_checkout(TopUp("a", 1, 1, "https://shop.example/"), ""),
            hyperswitch.create_payment("pay_1", 1, "usd", {}, ""),
            hyperswitch.create_refund("pay_1", "ref_1", None, ""),
        ):
            with pytest.raises(ValueError, match="idempotency key"):
                await call
