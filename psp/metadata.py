"""Reads and writes what a PSP's payment says in its metadata that it is for; pure, never guesses. A shop of
ours that makes its own payments writes the same.

Order: `purpose=order`, `orderId`, `buyerId`, optional `sellerId`, `sellerAmount` (minor units), `licences`
(comma list). Plan: `purpose=subscription`, `subscriptionId`, `accountId`, `planId`. The same at every PSP.
"""

from __future__ import annotations

from dataclasses import dataclass

from billing.decision import SYSTEM_PREFIX
from billing.keys import order_key, subscription_key
from billing.terms import OrderTerms, PlanTerms, Terms
from psp.envelope import storable
from psp.strict_json import BadShapeError, Fields

ID_BYTES_MAX = 255
"""Longest account or object id of ours; what is longer was not made by us."""

ORDER = "order"
PURPOSES = (ORDER, "subscription")
"""What a payment may be for, besides a top-up."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a payment says that it pays for: the key, and the whole agreement where the metadata carry it."""

    key: str
    terms: Terms | None


def of(owner: Fields) -> Fields | None:
    """The metadata of an object; None when it has none. Raises BadShapeError for what is no object."""
    return owner.object("metadata") if owner.raw("metadata") is not None else None


def claim(metadata: Fields, amount_minor: int | None, currency: str | None) -> Claim:
    """What a payment of `amount_minor` in `currency` with one of our PURPOSES claims to pay for.

    Terms are complete or None: without amount, currency or buyer only the key is known. Raises BadShapeError
    (`bad_metadata`) for metadata that say nonsense.
    """
    if metadata.raw("purpose") == ORDER:
        return _order(metadata, amount_minor, currency)
    return _plan(metadata, amount_minor, currency)


def of_payment(claimed_key: str) -> dict[str, str]:
    """What a payment that we open for an order or a subscription carries, so that its events find what it
    pays for. The agreement itself stays with us: whoever can edit metadata at the PSP must not be able to
    change it.
    """
    purpose, _, found = claimed_key.partition(":")
    return {"purpose": purpose, "orderId" if purpose == ORDER else "subscriptionId": found}


def account(metadata: Fields, name: str) -> str:
    """The id of an account that money may be booked to. Raises BadShapeError (`bad_metadata`)."""
    found = own_id(metadata, name)
    if found.startswith(SYSTEM_PREFIX):
        raise bad(metadata, name, "is an account of the house")
    return found


def own_id(metadata: Fields, name: str) -> str:
    """An id of ours that must be there. Raises BadShapeError (`bad_metadata`)."""
    found = storable(metadata.raw(name))
    if found is None or found != found.strip() or len(found.encode()) > ID_BYTES_MAX:
        raise bad(metadata, name, "is no id of ours")
    return found


def bad(metadata: Fields, name: str, problem: str) -> BadShapeError:
    """The error for a field that says nonsense; its value is not shown."""
    return BadShapeError(metadata.path(name), problem, "bad_metadata")


def _order(metadata: Fields, amount_minor: int | None, currency: str | None) -> Claim:
    order_id = own_id(metadata, "orderId")
    buyer_id = None if metadata.raw("buyerId") is None else account(metadata, "buyerId")
    seller_id = None if metadata.raw("sellerId") is None else account(metadata, "sellerId")
    licences = _licences(metadata)
    if buyer_id is None or amount_minor is None or currency is None:
        return Claim(order_key(order_id), None)
    seller_amount = _seller_amount(metadata, amount_minor if seller_id is not None else 0)
    terms = OrderTerms(order_id, buyer_id, seller_id, amount_minor, currency, seller_amount, licences)
    return Claim(terms.key, terms)


def _plan(metadata: Fields, amount_minor: int | None, currency: str | None) -> Claim:
    subscription_id = own_id(metadata, "subscriptionId")
    account_id = None if metadata.raw("accountId") is None else account(metadata, "accountId")
    plan_id = None if metadata.raw("planId") is None else own_id(metadata, "planId")
    if account_id is None or plan_id is None or amount_minor is None or currency is None:
        return Claim(subscription_key(subscription_id), None)
    terms = PlanTerms(subscription_id, account_id, plan_id, amount_minor, currency)
    return Claim(terms.key, terms)


def _seller_amount(metadata: Fields, amount_max: int) -> int:
    """The seller's part; all where the metadata do not say, and nothing where there is no seller."""
    if metadata.raw("sellerAmount") is None:
        return amount_max
    try:
        found = metadata.amount_of_text("sellerAmount")
    except BadShapeError as error:
        raise BadShapeError(error.field, "is no amount in minor units", "bad_metadata") from None
    if found > amount_max:
        raise bad(metadata, "sellerAmount", "is more than there is to give")
    return found


def _licences(metadata: Fields) -> tuple[str, ...]:
    listed = metadata.raw("licences")
    if listed is None or listed == "":
        return ()
    names = [storable(part.strip()) for part in listed.split(",")] if isinstance(listed, str) else [None]
    found = tuple(name for name in names if name is not None)
    if len(found) != len(names) or len(set(found)) != len(found):
        raise bad(metadata, "licences", "is no list of different names with commas between them")
    return found
